"""BEGIN, COMMIT and what they do not reach."""

from collections.abc import Iterator

from dbmigration.lint.finding import Severity
from dbmigration.lint.rule import NO_VERIFY, Hit, ScriptView, script_rule
from dbmigration.lint.script import Parsed
from dbmigration.migrations.statements import Kind

_CONTROL = (Kind.BEGIN, Kind.COMMIT, Kind.ROLLBACK)


@script_rule(Severity.WARNING, "Several statements without BEGIN and COMMIT", roles=NO_VERIFY)
def missing_transaction(view: ScriptView) -> Iterator[Hit]:
    script = view.script
    if script.count > 1 and script.transactional and not any(s.kind in _CONTROL for s in script.statements):
        yield Hit(
            "psql -f commits each statement on its own, and leaves half of the file done when one fails: wrap it in BEGIN; … COMMIT; "
            "(dbmigration runs it in one transaction either way)"
        )


@script_rule(Severity.ERROR, "BEGIN in a transaction, or COMMIT outside of one", roles=NO_VERIFY)
def nested_transaction(view: ScriptView) -> Iterator[Hit]:
    for statement in view.script.statements:
        if statement.kind is Kind.BEGIN and statement.opened:
            yield Hit(
                f"the transaction that line {statement.opened} begins is still open: PostgreSQL only warns, and the first COMMIT "
                "ends both. Use SAVEPOINT, or take this BEGIN and its COMMIT away",
                line=statement.line,
            )
        elif statement.kind in (Kind.COMMIT, Kind.ROLLBACK) and not statement.opened and not _prepared(statement):
            yield Hit(
                "no transaction is open here: PostgreSQL only warns, and what stands above was committed piece by piece",
                line=statement.line,
                severity=Severity.WARNING if statement.kind is Kind.COMMIT else None,  # what it asks for has happened
            )


@script_rule(Severity.ERROR, "BEGIN without COMMIT", roles=NO_VERIFY)
def unclosed_transaction(view: ScriptView) -> Iterator[Hit]:
    opened: Parsed | None = None
    for statement in view.script.statements:
        if statement.kind is Kind.BEGIN:
            opened = opened or statement
        elif statement.kind in (Kind.COMMIT, Kind.ROLLBACK):
            opened = None
            if statement.word == b"PREPARE":
                yield Hit("PREPARE TRANSACTION leaves a transaction, with its locks, that nobody ends: write COMMIT", line=statement.line)
    if opened is not None:
        yield Hit("this BEGIN has no COMMIT: psql rolls everything back at the end of the file, without an error", line=opened.line)


@script_rule(Severity.WARNING, "Several transactions in one file, or SQL outside of its transaction", roles=NO_VERIFY)
def several_transactions(view: ScriptView) -> Iterator[Hit]:
    statements = view.script.statements
    begins = [s for s in statements if s.kind is Kind.BEGIN and not s.opened]
    if len(begins) > 1:
        yield Hit(
            "a failure in this transaction leaves the one before it committed, and the file half done: one transaction a file",
            line=begins[1].line,
        )
    elif begins:
        outside = [s for s in statements if not s.opened and s.kind not in (*_CONTROL, Kind.SESSION, Kind.NO_TRANSACTION)]
        if outside:
            yield Hit(
                "this stands outside of the file's BEGIN and COMMIT, and is committed whatever becomes of those", line=outside[0].line
            )


@script_rule(Severity.ERROR, "ROLLBACK in a script", roles=NO_VERIFY)
def rollback_in_migration(view: ScriptView) -> Iterator[Hit]:
    for statement in view.script.statements:
        if statement.kind is Kind.ROLLBACK and statement.opened:
            yield Hit(
                f"what stands between line {statement.opened} and here is undone, and the file is recorded as applied all the same",
                line=statement.line,
            )


@script_rule(Severity.ERROR, "CONCURRENTLY, VACUUM and the like in a transaction", roles=NO_VERIFY)
def concurrently_in_transaction(view: ScriptView) -> Iterator[Hit]:
    for statement in view.script.statements:
        if statement.kind is not Kind.NO_TRANSACTION:
            continue
        if statement.opened:
            where = f"in the transaction that line {statement.opened} begins"
        elif view.script.transaction_header:
            where = "under `Transaction: single` of the header"
        else:
            continue
        if statement.word.lower() == b"do":
            continue
        yield Hit(f"PostgreSQL refuses this {where} (25001): a file of its own, without BEGIN and COMMIT", line=statement.line)


@script_rule(Severity.WARNING, "CONCURRENTLY and the like beside other statements")
def mixed_non_transactional(view: ScriptView) -> Iterator[Hit]:
    alone = [s for s in view.script.statements if s.kind is Kind.NO_TRANSACTION]
    if not alone or view.script.transaction_header:
        return
    other = next((s for s in view.script.statements if s.kind not in (*_CONTROL, Kind.NO_TRANSACTION, Kind.SESSION)), None)
    if other is not None:
        yield Hit(
            f"because of line {alone[0].line} the whole file runs without a transaction: a failure leaves what stands above it done. "
            "Give that statement a file of its own",
            line=other.line,
        )


def _prepared(statement: Parsed) -> bool:
    return b"prepared" in statement.sql.lower()
