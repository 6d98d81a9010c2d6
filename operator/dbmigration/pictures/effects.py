"""What a migration does to the schema and to data, from its parse tree: what is left of it when it is over, not how it gets there.

A table that a file makes and drops again, or makes and then alters, is said once or not at all. Nothing is asked of a database.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from dbmigration.lint import operations as op
from dbmigration.lint.definitions import RELATIONS, Column, Constraint, ConstraintKind, Object
from dbmigration.lint.model import Model, Table
from dbmigration.lint.names import Relation, quoted
from dbmigration.lint.operations import Operation
from dbmigration.lint.replay import replay
from dbmigration.lint.script import Parsed, Role, Script, read_script
from dbmigration.migrations.model import MigrationFile


@dataclass(frozen=True, slots=True)
class ColumnEffect:
    """A column of a new table. `marks`: "PK", "not null", "FK → users.id" …"""

    name: str
    type: str
    marks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class IndexEffect:
    """An index of a new table that no constraint brought. `columns`: "" for an expression."""

    name: str
    columns: tuple[str, ...]
    unique: bool


@dataclass(frozen=True, slots=True)
class TableEffect:
    """A new table as it stands at the file's end. `complete` False: columns come from elsewhere too (LIKE, AS, INHERITS)."""

    name: str
    columns: tuple[ColumnEffect, ...]
    indexes: tuple[IndexEffect, ...]
    complete: bool


@dataclass(frozen=True, slots=True)
class Thing:
    """An object: `kind` in words ("view"), `name`, and `on` the table of an index, trigger or policy, "" for others."""

    kind: str
    name: str
    on: str = ""


@dataclass(frozen=True, slots=True)
class Effects:
    """In the order of the file. What belongs to a new table (its indexes) is in `tables`, else in `creates`. `changes`: a table or type
    that was there, and what becomes of it: ("adds column", "`region` (text)"). `data`: ("inserts into", "app.roles"). `unread`: what nobody
    looked into.
    """

    creates: tuple[Thing, ...] = ()
    tables: tuple[TableEffect, ...] = ()
    changes: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = ()
    drops: tuple[Thing, ...] = ()
    data: tuple[tuple[str, str], ...] = ()
    unread: tuple[str, ...] = ()
    transactional: bool = True


def effects_of(files: tuple[MigrationFile, ...]) -> Iterator[tuple[MigrationFile, Effects]]:
    """For each file in order. A file that cannot be read to its end has what stands before the place, and says so in `unread`."""
    model = Model()
    for file in files:
        script = read_script(file.path, Role.MIGRATION, transaction=file.header.transaction, size=file.size, part=file.part)
        collected = _Collector(model)
        for statement in script.statements:
            for operation in statement.operations:
                collected.see(operation)
                replay(model, operation, file.name, statement.line_at)
        yield file, collected.effects(script)


@dataclass(slots=True)
class _Collector:
    """One file on its way. Dictionaries keep the order in which things first happened."""

    model: Model
    made: dict[tuple[Object, Relation], Relation | None] = field(default_factory=dict)  # -> the table of a trigger, index or policy
    gone: dict[tuple[Object, Relation], Relation | None] = field(default_factory=dict)
    changed: dict[Relation, dict[tuple[str, str], None]] = field(default_factory=dict)
    data: dict[tuple[str, Relation], None] = field(default_factory=dict)
    passing: set[Relation] = field(default_factory=set)  # temporary tables: gone with the session
    code: int = 0

    def see(self, operation: Operation) -> None:
        match operation:
            case op.CreateTable(table=name, temporary=True) | op.Create(name=name, temporary=True):
                self.passing.add(name)
            case op.CreateTable(table=name):
                self._make(Object.TABLE, name, None)
            case op.Create(kind=kind, name=name, table=table):
                self._make(kind, name, table)
            case op.CreateIndex(table=table, name=name, columns=columns):
                shown = Relation(table.schema, name or "_".join((table.name, *filter(None, columns), "idx")))
                self._make(Object.INDEX, shown, table)
            case op.Drop(kind=kind, name=name, table=table):
                self._drop(kind, name, table)
            case op.Rename():
                self._rename(operation)
            case op.Code(runs=True):
                self.code += 1
            case op.Insert(table=name):
                self._change_data("inserts into", name)
            case op.Update(table=name):
                self._change_data("updates", name)
            case op.Delete(table=name):
                self._change_data("deletes from", name)
            case op.Truncate(table=name):
                self._change_data("empties", name)
            case op.Refresh(name=name):
                self._change_data("refreshes", name)
            case _:
                for table, verb, what in _changes(operation, self.model):
                    self._change(table, verb, what)

    def effects(self, script: Script) -> Effects:
        """Call it when the model has seen the whole file."""
        creates = (
            _thing(kind, name, table)
            for (kind, name), table in self.made.items()
            if not (kind is Object.INDEX and table and self._is_made(table))
        )
        tables = tuple(describe(found) for kind, name in self.made if kind is Object.TABLE and (found := self.model.find(name)) is not None)
        deep = [statement for statement in script.statements if statement.word != b"DO" and _runs_code(statement)]
        blocks = self.code - len(deep)
        unread = [f"{_count(blocks, 'DO block')}: code that runs at once"] if blocks else []
        unread += [f"line {statement.line}: nested too deeply for this parser" for statement in deep]
        unread += [f"line {s.line}: no statement that this parser knows" for s in script.statements if s.problem is not None]
        if script.refused is not None:
            unread.append(f"the file from line {script.refused.place.line} on: {script.refused.message}")
        return Effects(
            creates=tuple(creates),
            tables=tables,
            changes=tuple((str(table), tuple(words)) for table, words in self.changed.items() if not self._is_made(table)),
            drops=tuple(_thing(kind, name, table) for (kind, name), table in self.gone.items()),
            data=tuple((verb, str(name)) for verb, name in self.data),
            unread=tuple(unread),
            transactional=script.transactional,
        )

    def _make(self, kind: Object, name: Relation, table: Relation | None) -> None:
        if table in self.passing:
            return
        self.gone.pop((kind, name), None)  # dropped to be made anew
        self.made[kind, name] = table

    def _drop(self, kind: Object, name: Relation, table: Relation | None) -> None:
        own = next((key for key in self.made if key[0] is kind and key[1].name == name.name), None)
        if own is not None:
            self.made = {key: owner for key, owner in self.made.items() if key != own and owner != name}
        elif name not in self.passing:
            self.gone[kind, name] = table
            self.changed.pop(name, None)

    def _rename(self, operation: op.Rename) -> None:
        kind, name = operation.kind, operation.name
        new = Relation(operation.new, name.name) if operation.to_schema else Relation(name.schema, operation.new)
        if (kind, name) in self.made:
            self.made = {((kind, new) if key == (kind, name) else key): owner for key, owner in self.made.items()}
        elif kind in (Object.COLUMN, Object.CONSTRAINT, Object.ENUM_VALUE):
            self._change(name, f"renames {kind.value}", f"`{operation.old}` to `{operation.new}`")
        elif operation.to_schema:
            self._change(name, "moves to schema", f"`{operation.new}`")
        else:
            self._change(name, "is renamed to", f"`{new}`")

    def _change(self, table: Relation, verb: str, what: str) -> None:
        if not self._is_made(table):
            self.changed.setdefault(table, {})[verb, what] = None

    def _change_data(self, verb: str, table: Relation) -> None:
        if table not in self.passing:
            self.data[verb, table] = None

    def _is_made(self, name: Relation) -> bool:
        """A relation or type of this file, or a passing one."""
        return name in self.passing or any((kind, name) in self.made for kind in (*RELATIONS, Object.TYPE, Object.DOMAIN))


def _runs_code(statement: Parsed) -> bool:
    return any(isinstance(operation, op.Code) and operation.runs for operation in statement.operations)


def describe(table: Table) -> TableEffect:
    """A table of the model in words."""
    keys = {
        name
        for placed in table.constraints.values()
        if placed.constraint.kind is ConstraintKind.PRIMARY_KEY
        for name in placed.constraint.columns
    }
    columns = []
    for name, column in table.columns.items():
        marks = ["PK"] if name in keys else ["not null"] if column.not_null else []
        marks += [
            mark for placed in table.constraints.values() if placed.constraint.columns == (name,) and (mark := _mark(placed.constraint))
        ]
        columns.append(ColumnEffect(quoted(name), str(column.type), tuple(marks)))
    indexes = (IndexEffect(quoted(i.name), i.columns, i.unique) for i in table.indexes.values() if not i.constraint)
    return TableEffect(str(table.name), tuple(columns), tuple(indexes), table.complete)


def _changes(operation: Operation, model: Model) -> Iterator[tuple[Relation, str, str]]:
    """What becomes of a table or type that was there: (which, verb, what)."""
    match operation:
        case op.AddColumn(table=table, column=column):
            known = model.find(table)
            if known is None or column.name not in known.columns:
                yield table, "adds column", f"`{quoted(column.name)}` ({', '.join((str(column.type), *_marks(column)))})"
        case op.DropColumn(table=table, column=name):
            yield table, "drops column", f"`{quoted(name)}`"
        case op.ChangeType(table=table, column=name, type=new):
            yield table, "changes the type of", f"`{quoted(name)}` to {new}"
        case op.SetNotNull(table=table, column=name):
            yield table, "forbids null in", f"`{quoted(name)}`"
        case op.DropNotNull(table=table, column=name):
            yield table, "allows null in", f"`{quoted(name)}`"
        case op.AddConstraint(table=table, constraint=constraint):
            yield table, "adds", _constraint(constraint)
        case op.DropConstraint(table=table, name=name):
            yield table, "drops constraint", f"`{quoted(name)}`"
        case op.ValidateConstraint(table=table, name=name):
            yield table, "validates constraint", f"`{quoted(name)}`"
        case op.RewriteTable(table=table, what=what):
            yield table, "is rewritten by", f"`{what}`"
        case op.AlterOther(table=table):
            yield table, "changes", "other settings"
        case op.AttachPartition(table=table, partition=partition):
            yield table, "attaches partition", f"`{partition}`"
        case op.DetachPartition(table=table, partition=partition):
            yield table, "detaches partition", f"`{partition}`"
        case op.AddEnumValue(type=name, value=value):
            yield name, "adds value", f"`{value}`"
        case op.ConstrainDomain(name=name):
            yield name, "adds", "a constraint"


def _marks(column: Column) -> list[str]:
    """Of a column that is added."""
    return (["not null"] if column.not_null else []) + [mark for constraint in column.constraints if (mark := _mark(constraint))]


def _mark(constraint: Constraint) -> str:
    """Of a constraint on one column, what a reader of the table wants to know."""
    if constraint.kind is ConstraintKind.UNIQUE:
        return "unique"
    if constraint.kind is ConstraintKind.FOREIGN_KEY and constraint.references is not None:
        return f"FK → {'.'.join((constraint.references.name, *constraint.referenced_columns))}"
    return ""


def _constraint(constraint: Constraint) -> str:
    kind = {
        ConstraintKind.PRIMARY_KEY: "primary key",
        ConstraintKind.FOREIGN_KEY: "foreign key",
        ConstraintKind.UNIQUE: "unique constraint",
        ConstraintKind.CHECK: "check constraint",
        ConstraintKind.NOT_NULL: "not-null constraint",
        ConstraintKind.EXCLUSION: "exclusion constraint",
    }[constraint.kind]
    name = f" `{quoted(constraint.name)}`" if constraint.name else ""
    columns = f" ({', '.join(map(quoted, constraint.columns))})" if constraint.columns else ""
    target = f" → `{constraint.references}`" if constraint.references is not None else ""
    return f"{kind}{name}{columns}{target}{'' if constraint.valid else ', not valid yet'}"


def _thing(kind: Object, name: Relation, table: Relation | None) -> Thing:
    return Thing(kind.value, str(name)) if table is None else Thing(kind.value, quoted(name.name), str(table))


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
