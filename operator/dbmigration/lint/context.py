"""What a rule may look at beside the operation itself: the script, the set before it, the database where there is one."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from dbmigration.lint import operations as op
from dbmigration.lint.catalog import Size
from dbmigration.lint.definitions import RELATIONS, ConstraintKind, Object
from dbmigration.lint.model import Model, Table
from dbmigration.lint.names import Relation
from dbmigration.lint.operations import Operation
from dbmigration.lint.script import Parsed, Script


@dataclass(frozen=True, slots=True)
class Held:
    """An ACCESS EXCLUSIVE lock that the open transaction holds on a table that was there before the script."""

    table: Relation
    line: int
    what: str
    statement: int = 0  # its index


@dataclass(slots=True)
class Context:
    """The state just before an operation. `made`: relations of this script; `added`: columns of this script, by table and name.

    `held`: the locks of the open transaction. `made_later` names the file after this one that creates a relation, None when none does.
    """

    script: Script
    statement: Parsed
    model: Model
    made_later: Callable[[Relation], str | None] = lambda _: None
    made: set[Relation] = field(default_factory=set)
    added: set[tuple[Relation, str]] = field(default_factory=set)
    held: dict[Relation, Held] = field(default_factory=dict)

    @property
    def in_transaction(self) -> bool:
        return self.script.in_transaction(self.statement)

    def table(self, name: Relation) -> Table | None:
        return self.model.find(name)

    def is_new(self, name: Relation) -> bool:
        """This script made it, so nobody uses it and nothing is in it that the script did not put there."""
        found = self.model.find(name)
        return found is not None and (found.temporary or found.name in self.made)

    def is_new_column(self, table: Relation, column: str) -> bool:
        found = self.model.find(table)
        return self.is_new(table) or ((found.name if found else table), column) in self.added or self._made_by_run(found, column)

    def _made_by_run(self, table: Table | None, column: str) -> bool:
        """An earlier file of the same run added it: the database has no column of the name that it was added under."""
        made = table.columns.get(column) if table is not None else None
        facts = self.model.catalog.facts(table.name) if table is not None and self.model.catalog is not None else None
        there = facts.columns if facts is not None else None
        return made is not None and bool(made.file) and there is not None and made.made_as not in there

    def size(self, name: Relation) -> Size | None:
        """Of the table in the database, None without one. ABSENT only where the set makes the table: one that it only renames has rows."""
        if self.model.catalog is None:
            return None
        size = self.model.catalog.size(name)
        if size is not Size.ABSENT:
            return size
        found = self.model.find(name)
        made = found is not None and found.made_as is not None and not self.model.catalog.has(found.made_as)
        return Size.ABSENT if made else Size.UNKNOWN

    def is_made_again(self, drop: op.Drop) -> bool:
        """The script creates an object of this kind and name after dropping it, for which CREATE OR REPLACE may not be enough."""
        after = (statement for statement in self.script.statements if statement.index > self.statement.index)
        return any(
            isinstance(o, op.Create) and o.kind is drop.kind and o.name == drop.name for statement in after for o in statement.operations
        )

    def advance(self, operation: Operation) -> None:
        """Note what the operation makes and locks; the model is changed by `replay` after this."""
        if isinstance(operation, op.CreateTable):
            known = self.model.find(operation.table) is not None or self.model.in_catalog(operation.table)
            if not (operation.optional and known):
                self.made.add(operation.table)
        elif isinstance(operation, op.Create) and operation.kind in RELATIONS:
            if self.model.find(operation.name) is None:
                self.made.add(operation.name)
        elif isinstance(operation, op.AddColumn):
            found = self.model.find(operation.table)
            if found is None or operation.column.name not in found.columns:
                self.added.add((found.name if found else operation.table, operation.column.name))
        elif isinstance(operation, op.Rename) and operation.kind in RELATIONS and self.is_new(operation.name):
            self.made.add(
                Relation(operation.new, operation.name.name) if operation.to_schema else Relation(operation.name.schema, operation.new)
            )
        lock = self.exclusive_lock(operation)
        if lock is not None and self.in_transaction and not self.is_new(lock.table):
            self.held.setdefault(lock.table, replace(lock, statement=self.statement.index))

    def exclusive_lock(self, operation: Operation) -> Held | None:
        """The ACCESS EXCLUSIVE lock that the operation takes on a table, whether new or not (manual 13.3, and each command's page)."""
        line = self.statement.line_at(operation.at)
        match operation:
            case (
                op.AddColumn(table=table)
                | op.DropColumn(table=table)
                | op.ChangeType(table=table)
                | op.SetNotNull(table=table)
                | op.DropNotNull(table=table)
                | op.DropConstraint(table=table)
                | op.RewriteTable(table=table)
            ):
                return Held(table, line, "ALTER TABLE")
            case op.AlterOther(table=table, exclusive=True):
                return Held(table, line, "ALTER TABLE")
            case op.AddConstraint(table=table, constraint=constraint) if constraint.kind is not ConstraintKind.FOREIGN_KEY:
                return Held(table, line, "ALTER TABLE")
            case op.DetachPartition(table=table, concurrently=False):
                return Held(table, line, "DETACH PARTITION")
            case op.AttachPartition(partition=partition):
                return Held(partition, line, "ATTACH PARTITION")
            case op.Truncate(table=table):
                return Held(table, line, "TRUNCATE")
            case op.Vacuum(table=Relation() as table, what=what):
                return Held(table, line, what)
            case op.Lock(table=table, exclusive=True):
                return Held(table, line, "LOCK TABLE")
            case op.Rename(kind=kind, name=table) if kind in (Object.TABLE, Object.COLUMN, Object.CONSTRAINT):
                return Held(table, line, "RENAME")
            case op.Create(kind=Object.POLICY, table=Relation() as table):
                return Held(table, line, "CREATE POLICY")
            case op.Drop(kind=kind, table=Relation() as table) if kind in (Object.TRIGGER, Object.POLICY):
                return Held(table, line, f"DROP {kind.value.upper()}")
            case op.Drop(kind=Object.INDEX, name=name, concurrently=False):
                owner = self.model.index_table.get(name.name)
                return Held(owner, line, "DROP INDEX") if owner is not None else None
            case op.Refresh(name=name, concurrently=False):
                return Held(name, line, "REFRESH MATERIALIZED VIEW")
            case _:
                return None
