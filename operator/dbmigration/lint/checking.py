"""The whole way from files to findings. Needs no database, and imports the parser only when there is something to parse."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from dbmigration.errors import Permanent
from dbmigration.lint.catalog import Catalog, Size
from dbmigration.lint.context import Context
from dbmigration.lint.finding import Finding, Severity
from dbmigration.lint.model import Model
from dbmigration.lint.names import Relation
from dbmigration.lint.operations import Create, CreateTable, Drop, Operation, Rename, Use
from dbmigration.lint.policy import Policy, severity_of
from dbmigration.lint.registry import INVALID_SET, operation_rules, rules_of
from dbmigration.lint.relevance import named_by, relevant
from dbmigration.lint.replay import replay
from dbmigration.lint.rule import Hit, Kind, Rule, ScriptView
from dbmigration.lint.script import Parsed, Role, Script, read_script, read_script_file
from dbmigration.migrations.folder import read_set
from dbmigration.migrations.layout import Layout
from dbmigration.migrations.model import MigrationFile, MigrationSet
from dbmigration.migrations.statements import Kind as StatementKind


def check(files: MigrationSet, pending: Sequence[MigrationFile], *, catalog: Catalog | None = None) -> tuple[Finding, ...]:
    """What is dangerous or wrong in the `pending` files and seeds of the set and in their rollback and verify scripts, by file and line.

    Earlier files are read to know what they made; without `catalog`, whatever no file makes and nothing contradicts is taken to be there.
    With it (the database as it is before the pending files) sizes move severities, what neither has is an error, and of the earlier files
    only those are parsed that name what the pending ones name.
    """
    linted = {file.name for file in pending}
    if not linted:
        return ()
    run = _Run(files, linted, catalog)
    last = max((index for index, file in enumerate(files.files) if file.name in linted), default=-1)
    earlier = [file for file in files.files[: last + 1] if file.name not in linted]
    parsed = {file.name for file in earlier} if catalog is None else relevant(earlier, catalog.asked_for or named_by(pending))
    for index, file in enumerate(files.files):
        if index <= last and file.name not in linted and file.name not in parsed:
            continue
        # Later files are read on: they may validate a constraint, or index a foreign key, of a pending one.
        run.file(file, replayed_only=index > last)
    for seed in files.seeds:
        if seed.name in linted:
            run.seed(seed)
    run.end()
    return run.policy.findings()


def check_folder(directory: Path, names: Sequence[str] = (), layout: Layout | None = None) -> tuple[Finding, ...]:
    """The same for a folder, all of it or the migrations that `names` are (a rollback or verify script stands for its migration).

    What cannot be read as a set is one finding, `invalid-set`. Raises Transient SOURCE_MISSING where there is no folder, and KeyError with
    the first of `names` that is not in it.
    """
    try:
        files = read_set(directory, layout)
    except Permanent as error:
        place = error.place
        return (Finding(INVALID_SET.name, Severity.ERROR, place.file or directory.name, place.line, error.message),)
    if not names:
        found = check(files, (*files.files, *files.seeds))
    else:
        owners = {name: file for file in (*files.files, *files.seeds) for name in _names_of(file)}
        found = check(files, tuple({owners[name].name: owners[name] for name in names}.values()))
    if not files.config.seeds:
        return found
    elsewhere = {seed.name: f"{files.config.seeds}/{seed.name}" for seed in files.seeds if seed.path.parent != directory}
    return tuple(replace(finding, file=elsewhere.get(finding.file, finding.file)) for finding in found)


def _names_of(file: MigrationFile) -> tuple[str, ...]:
    return (file.name, *(script.name for script in (file.rollback, file.verify) if script is not None))


class _Run:
    """One check on its way through the set."""

    def __init__(self, files: MigrationSet, linted: set[str], catalog: Catalog | None) -> None:
        self.policy = Policy(
            files.config.lint, [name for file in (*files.files, *files.seeds) if file.name in linted for name in _names_of(file)]
        )
        self._files = {file.name: file for file in files.files}
        self._linted = linted
        self._catalog = catalog
        self._model = Model(catalog)
        self._rules = operation_rules()
        self._makers: dict[Relation, list[tuple[int, str]]] | None = None

    def file(self, file: MigrationFile, *, replayed_only: bool) -> None:
        script = read_script(file.path, Role.MIGRATION, transaction=file.header.transaction, size=file.size, part=file.part)
        if replayed_only or file.name not in self._linted:
            self._replay(script)
            return
        self._lint(script, file, self._model)
        if file.rollback is not None:
            self._lint(read_script_file(file.rollback, Role.ROLLBACK), file, self._model.fork())
        if file.verify is not None:
            self._lint(read_script_file(file.verify, Role.VERIFY), file, self._model.fork())

    def seed(self, seed: MigrationFile) -> None:
        """It runs when all migrations are in."""
        script = read_script(seed.path, Role.SEED, transaction=True, size=seed.size)
        self._lint(script, seed, self._model.fork())

    def end(self) -> None:
        for rule in rules_of(Kind.SET):
            for name, hit in rule.check(self._model):
                if name in self._linted:
                    self._add(rule, hit, name, hit.line)

    def _replay(self, script: Script) -> None:
        for statement in script.statements:
            for operation in statement.operations:
                replay(self._model, operation, script.name, statement.line_at)

    def _lint(self, script: Script, file: MigrationFile, model: Model) -> None:
        self.policy.take_ignores(script.name, script.ignores)
        view = ScriptView(script, file, self._files)
        said = set[tuple[str, str]]()
        context: Context | None = None
        for statement in script.statements:
            if context is None:
                context = Context(script, statement, model, lambda name: self._made_later(name, file.number))
            context.statement = statement
            if statement.kind in (StatementKind.COMMIT, StatementKind.ROLLBACK):
                context.held.clear()
            for operation in statement.operations:
                self._look(operation, context, said)
                if script.role is Role.MIGRATION:
                    _note_need(operation, statement, model, view)
                context.advance(operation)
                replay(model, operation, script.name, statement.line_at)
        for rule in rules_of(Kind.SCRIPT):
            if script.role in rule.roles:
                for hit in rule.check(view):
                    self._add(rule, hit, script.name, hit.line)

    def _look(self, operation: Operation, context: Context, said: set[tuple[str, str]]) -> None:
        for rule in self._rules.get(type(operation), ()):
            if context.script.role not in rule.roles:
                continue
            for hit in rule.check(operation, context):
                if hit.once and (rule.name, hit.once) in said:
                    continue
                said.add((rule.name, hit.once))
                line = context.statement.line_at(operation.at if hit.at is None else hit.at)
                size = None if hit.table is None else context.size(hit.table)
                self._add(rule, hit, context.script.name, line, size)

    def _add(self, rule: Rule, hit: Hit, file: str, line: int | None, size: Size | None = None) -> None:
        if size is None and self._catalog is not None and hit.table is not None:
            size = self._catalog.size(hit.table)
        table = None if hit.table is None else str(hit.table)
        self.policy.add(Finding(rule.name, severity_of(rule, hit, size), file, line, hit.message, table))

    def _made_later(self, name: Relation, number: int) -> str | None:
        """Asked about unknown names only: all files are read once more, which a clean set never pays for."""
        if self._makers is None:
            self._makers = {}
            for file in self._files.values():
                script = read_script(file.path, Role.MIGRATION, transaction=file.header.transaction, size=file.size, part=file.part)
                for operation in (o for s in script.statements for o in s.operations):
                    made = _made(operation)
                    if made is not None:
                        self._makers.setdefault(made, []).append((file.number, file.name))
        makers = self._makers.get(name, []) + (self._makers.get(Relation("", name.name), []) if name.schema else [])
        return next((file for at, file in makers if at > number), None)


def _made(operation: Operation) -> Relation | None:
    if isinstance(operation, CreateTable):
        return operation.table
    if isinstance(operation, Rename) and not operation.to_schema:
        return Relation(operation.name.schema, operation.new)
    return operation.name if isinstance(operation, Create) else None


def _note_need(operation: Operation, statement: Parsed, model: Model, view: ScriptView) -> None:
    name = operation.relation if isinstance(operation, Use) else operation.name if isinstance(operation, Drop) else None
    table = model.find(name) if name is not None else None
    if table is None or name is None:
        return
    files = [table.file]
    if isinstance(operation, Use):
        files += [table.columns[column].file for column in operation.columns if column in table.columns]
    for file in files:
        if file and file != view.file.name:
            view.needs.setdefault(file, (statement.line_at(operation.at), str(name)))
