"""From what came of a run to the report that the operator stores and `--json` prints."""

from typing import TYPE_CHECKING

from dbmigration.api import report as api
from dbmigration.api.backup_record import BackupRecord
from dbmigration.api.checked import Checked
from dbmigration.api.listed import listed
from dbmigration.api.reasons import Reason
from dbmigration.api.states import State
from dbmigration.errors import DbmigrationError, Permanent, Transient
from dbmigration.migrations.model import PlannedMigration
from dbmigration.migrations.prefix import PREFIXES_NAMED, prefix_digests
from dbmigration.run.result import RunResult, now

if TYPE_CHECKING:
    from dbmigration.run.rehearse import Rehearsed

MESSAGE_LIMIT = 1024
"""Characters of a message, as in the resource's conditions."""

DRIFT_LINES = 50
DRIFT_LINE_LIMIT = 300
"""How many differences of the schema a report names, and the characters of each."""
LOSS_LINES = 20
"""How many things that a rollback loses a report names."""
LINT_LINES = 20
"""How many findings of lint a report names, worst first."""

REHEARSED_FILES = 20
REHEARSED_STATEMENTS = 5
REHEARSED_LOCKS = 10
REHEARSED_REWRITES = 5
"""How much of a rehearsal a report names."""
_STATEMENT_SHOWN = 120
NO_ROLLBACK_NAMES = 3
NAMES_SHOWN = 3
"""How many files a failure's message names as applied, and as not begun."""
_SYNTAX_RULE = "syntax-error"

WARNING_LINES = 10
HELD_LOCKS = 5
"""How many warnings and locks a report names."""


def build_report(result: RunResult, *, environment: str | None) -> api.Report:
    """The report of one run. Holds names, numbers and masked statements, never a row value or a Secret."""
    error = result.error
    migrations = result.migrations()
    prefixes = _prefixes(result)
    return api.Report(
        run_id=result.run_id,
        outcome=_outcome(error),
        reason=result.reason,
        message=_stopped(error, result) if error else _clip(_success(result)),
        failure=_failure(error) if error else None,
        executed_sql=result.executed_sql,
        started_at=result.started_at,
        finished_at=result.finished_at or now(),
        database=(
            api.Database(
                identity=result.server.identity,
                name=result.server.database,
                server_version=result.server.version,
                claim=result.owner,
            )
            if result.server
            else None
        ),
        plan_hash=_plan_hash(result),
        approved_hash=result.approved_hash,
        prefix_digest=_pending_prefix(result, prefixes),
        complete=is_complete(result),
        checked=_checked(result),
        environment=environment,
        version=result.version(),
        applied=sum(line.state in (State.APPLIED, State.APPLIED_UNVERIFIED) for line in migrations),
        pending=len(result.pending()),
        skipped=sum(line.state is State.SKIPPED for line in migrations),
        applied_now=tuple(done.name for done in result.applied),
        seeded_now=tuple(done.name for done in result.seeded),
        baselined_now=len(result.baselined),
        rolled_back_now=tuple(done.name for done in result.rolled_back),
        undone_now=tuple(done.name for done in result.undone),
        not_undone=result.not_undone,
        losses=tuple(_clip(str(loss), DRIFT_LINE_LIMIT) for loss in result.rollback.losses[:LOSS_LINES]) if result.rollback else (),
        pending_names=result.pending(),
        source_digest=result.source_digest,
        source_revision=result.source_revision,
        backup=_backup(result),
        backup_reason=result.backup_reason,
        declared_backup=result.declared,
        verified_file=result.verified_file,
        verify_reason=_verify_reason(result),
        drift=tuple(_clip(str(drift), DRIFT_LINE_LIMIT) for drift in result.drift[:DRIFT_LINES]),
        drift_count=len(result.drift),
        schema_compared=result.schema_compared,
        drift_note=_clip(result.drift_note, DRIFT_LINE_LIMIT) if result.drift_note else None,
        lint=tuple(_clip(str(finding), DRIFT_LINE_LIMIT) for finding in sorted(result.findings, key=lambda f: -f.severity)[:LINT_LINES]),
        lint_count=len(result.findings),
        warnings=tuple(_clip(warning, DRIFT_LINE_LIMIT) for warning in result.warnings[:WARNING_LINES]),
        held=_held(result),
        rehearsal=rehearsal_report(result.rehearsal) if result.rehearsal is not None else None,
        migrations=tuple(_migration(line, error, each) for line, each in zip(migrations, _named(prefixes), strict=True)),
        seeds=tuple(_migration(line, error) for line in result.seeds()),
    )


def internal_error(run_id: str, error: BaseException) -> api.Report:
    """A bug of ours. Only the error's type is told: its text may hold anything."""
    moment = now()
    message = f"{type(error).__name__} in the runner: this is a bug; the run's log says where (kubectl logs)"
    return api.Report(
        run_id=run_id,
        outcome=api.Outcome.FAILED,
        reason=Reason.INTERNAL_ERROR,
        message=message,
        failure=api.Failure(reason=Reason.INTERNAL_ERROR, message=message, transient=False),
        started_at=moment,
        finished_at=moment,
    )


def _stopped(error: DbmigrationError, result: RunResult) -> str:
    """What stopped it and, where that was for good and nothing was taken back, how far it had come."""
    far = []
    if isinstance(error, Permanent) and result.executed_sql and result.rollback is None and not (result.undone or result.not_undone):
        done = [each.name for each in (*result.applied, *result.seeded)]
        rest = [name for name in result.pending() if name != result.working_on]
        far += [f"this run had applied {_some(done)}, which stay{'' if len(done) > 1 else 's'}"] if done else []
        far += [f"not begun: {_some(rest)}"] if rest else []
    said = "".join(f"; {each}" for each in far)
    return _clip(error.message, MESSAGE_LIMIT - len(said)) + said


def _some(names: list[str]) -> str:
    return listed((_clip(name, 60) for name in names), NAMES_SHOWN)


def _outcome(error: DbmigrationError | None) -> api.Outcome:
    if error is None:
        return api.Outcome.SUCCEEDED
    return api.Outcome.INTERRUPTED if error.reason in (Reason.INTERRUPTED, Reason.WINDOW_CLOSED) else api.Outcome.FAILED


def _success(result: RunResult) -> str:
    version = result.version()
    at = f"the database is at version {version}" if version else "no migration is applied"
    if result.plan is None:
        return f"backed up: {result.backup.uri}" if result.backup else "done"
    done = [
        f"{verb} {f'{len(files)} {what}' if len(files) > 1 else files[0].name}"
        for verb, files, what in (
            ("applied", result.applied, "migrations"),
            ("ran", result.seeded, "seeds"),
            ("rolled back", result.rolled_back, "migrations"),
        )
        if files
    ]
    if result.baselined:
        done.insert(0, f"recorded {len(result.baselined)} as applied without running them (baseline)")
    if result.prepared:
        count = len(result.rollback.files) if result.rollback else len(result.pending())
        return f"{count} {'to roll back' if result.rollback else 'pending'}, planned{_rehearsed(result)}, nothing executed; {at}"
    if done:
        longest = next((f"; {held.file} held {held.mode} on {held.table} for up to {held.ms / 1000:.1f} s" for held in _held(result)), "")
        return f"{', '.join(done)}; {at}{longest}"
    if result.rollback is not None:
        return f"rolled back as asked: {at}"
    return f"nothing to do: {at}"


def _rehearsed(result: RunResult) -> str:
    """What whoever decides wants to know before anything else."""
    from dbmigration.decide.fit import lasting

    if not result.rehearsed_ms:
        return ""
    words = f", rehearsed in {lasting(sum(result.rehearsed_ms.values()))}"
    found = result.rehearsal
    if found is not None:
        words += next((f" (longest lock: {lock})" for lock in sorted(found.locks, key=lambda lock: -lock.ms) if lock.keeps_others_out), "")
    return words


def _failure(error: DbmigrationError) -> api.Failure:
    place = error.place
    return api.Failure(
        reason=error.reason,
        message=_clip(error.message),
        transient=isinstance(error, Transient),
        file=place.file,
        line=place.line,
        sqlstate=place.sqlstate,
        statement=place.statement[:200] if place.statement else None,
    )


def _plan_hash(result: RunResult) -> str | None:
    """What is agreed to is what is about to be done."""
    if result.rollback is not None and result.rollback.files:
        return result.rollback.hash
    return result.plan.hash if result.plan else None


def _checked(result: RunResult) -> Checked | None:
    """About the plan as it was before anything ran. None where there was nothing to apply, or the plan itself was refused."""
    plan = result.plan
    if plan is None or not result.accepted or result.rollback is not None or not (plan.pending or plan.pending_seeds):
        return None
    files = (*plan.pending, *plan.pending_seeds)
    ours = {file.name for file in files}
    syntax = next((finding for finding in result.findings if finding.rule == _SYNTAX_RULE and finding.file in ours), None)
    missing = [file.name for file in plan.pending if file.rollback is None]
    return Checked(
        files=len(files),
        to=plan.pending[-1].version if plan.pending else None,
        dependencies=sum(len(file.header.dependencies) for file in files),
        parsed=result.linted and syntax is None,
        syntax=_clip(str(syntax), DRIFT_LINE_LIMIT) if syntax is not None else None,
        no_rollback=tuple(_clip(name, 100) for name in missing[:NO_ROLLBACK_NAMES]),
        no_rollback_count=len(missing),
    )


def is_complete(result: RunResult) -> bool:
    """What another environment may go by: all that is in the folder is done here, and nothing is in doubt."""
    lines = (*result.migrations(), *result.seeds())
    return result.error is None and result.plan is not None and all(line.state in (State.APPLIED, State.SKIPPED) for line in lines)


def _backup(result: RunResult) -> BackupRecord | None:
    if result.backup is None:
        return None
    return BackupRecord.model_validate(result.backup, from_attributes=True)


def _held(result: RunResult) -> tuple[api.HeldLock, ...]:
    files = (*result.applied, *result.seeded, *result.rolled_back)
    found = [api.HeldLock(file=done.name, mode=held.mode, table=held.table, ms=held.ms) for done in files for held in done.held]
    return tuple(sorted(found, key=lambda held: -held.ms)[:HELD_LOCKS])


def rehearsal_report(found: "Rehearsed", *, files: int | None = REHEARSED_FILES) -> api.RehearsalReport:
    """`files`: how many of them are named at most; None: all."""
    rewrites = sorted(found.rewrites, key=lambda rewrite: -rewrite.bytes)[:REHEARSED_REWRITES]
    return api.RehearsalReport(
        passed=found.passed,
        plan_hash=found.plan_hash,
        backup_uri=found.backup_uri or None,
        server=found.server_version or None,
        started_at=found.started_at,
        completed_at=found.completed_at,
        restore_ms=int(found.restore_s * 1000),
        duration_ms=sum(done.duration_ms for done in found.files),
        files=tuple(
            api.RehearsedFile(name=done.name, statements=done.statements, duration_ms=done.duration_ms) for done in found.files[:files]
        ),
        slowest=tuple(
            api.RehearsedStatement(file=each.file, line=each.line, statement=_clip(each.statement, _STATEMENT_SHOWN), duration_ms=each.ms)
            for each in found.slowest[:REHEARSED_STATEMENTS]
        ),
        locks=tuple(
            api.RehearsedLock(table=lock.table, mode=lock.mode, held_ms=lock.ms, file=lock.file, line=lock.line)
            for lock in found.locks[:REHEARSED_LOCKS]
        ),
        rewrites=tuple(api.RehearsedRewrite(table=each.table, bytes=each.bytes, file=each.file, line=each.line) for each in rewrites),
        lost=tuple(_clip(line, DRIFT_LINE_LIMIT) for line in found.lost),
        failed_at=str(found.failure.place) or None if found.failure is not None else None,
        message=_clip(found.failure.message, DRIFT_LINE_LIMIT) if found.failure is not None else None,
    )


def _verify_reason(result: RunResult) -> Reason:
    if result.error is not None and result.error.reason is Reason.VERIFY_FAILED:
        return Reason.VERIFY_FAILED
    if result.rolled_back:
        return Reason.ROLLED_BACK
    if not result.applied:
        return Reason.VERIFY_PASSED if result.verified_again else Reason.NOTHING_PENDING
    return Reason.VERIFY_PASSED if result.applied[-1].verified else Reason.NO_VERIFY_FILE


def _migration(line: PlannedMigration, error: DbmigrationError | None, prefix: str | None = None) -> api.MigrationReport:
    failed = error if error is not None and line.state is State.FAILED else None
    return api.MigrationReport(
        name=line.name,
        state=line.state,
        checksum=line.file.checksum if line.file else None,
        applied_at=line.applied_at,
        duration_ms=line.duration_ms,
        sqlstate=failed.place.sqlstate if failed else None,
        line=failed.place.line if failed else None,
        statement=failed.place.statement if failed else None,
        message=_clip(failed.message) if failed else None,
        prefix_digest=prefix,
    )


def _prefixes(result: RunResult) -> tuple[tuple[str, bool], ...]:
    """For each migration the digest of the list that ends with it, and whether all of that is done."""
    files, seeds = (
        [(line.name, line.state, line.file.checksum if line.file else None) for line in lines]
        for lines in (result.migrations(), result.seeds())
    )
    return tuple(prefix_digests(files, seeds))


def _named(prefixes: tuple[tuple[str, bool], ...]) -> list[str | None]:
    """Those of lists that are done, of the newest files."""
    first = len(prefixes) - PREFIXES_NAMED
    return [digest if done and number >= first else None for number, (digest, done) in enumerate(prefixes)]


def _pending_prefix(result: RunResult, prefixes: tuple[tuple[str, bool], ...]) -> str | None:
    """The digest of the list that ends with the newest pending file, or with the newest of all where only seeds are pending."""
    pending = set(result.pending())
    if not pending:
        return None
    lines = tuple(zip(result.migrations(), prefixes, strict=True))
    newest = next((digest for line, (digest, _) in reversed(lines) if line.name in pending), None)
    return newest or next((digest for line, (digest, _) in reversed(lines) if not line.beyond_target), None)


def _clip(text: str, limit: int = MESSAGE_LIMIT) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
