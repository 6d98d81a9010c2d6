"""The set as a database: what its files, read in order, have made so far. Built from operations, never from a connection.

Names without a schema are kept as such, and found by name: the search_path is not in the files. What the set did not make is unknown, not
absent: who asks decides what that means.
"""

import copy
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from dbmigration.lint.catalog import Catalog
from dbmigration.lint.definitions import Column, Constraint, ConstraintKind, Object, Volatility
from dbmigration.lint.names import Relation, TypeName
from dbmigration.lint.operations import Create


@dataclass(slots=True)
class ColumnModel:
    """`file`: which one made it. `made_as`: under which name."""

    type: TypeName
    not_null: bool
    file: str
    made_as: str = ""


@dataclass(frozen=True, slots=True)
class IndexModel:
    """`columns` in order, "" for an expression. `constraint`: it came with UNIQUE or PRIMARY KEY."""

    name: str
    columns: tuple[str, ...]
    unique: bool = False
    partial: bool = False
    constraint: bool = False


@dataclass(frozen=True, slots=True)
class PlacedConstraint:
    """A constraint of a table, and where it was written."""

    constraint: Constraint
    name: str
    file: str
    line: int
    valid: bool


@dataclass(slots=True)
class Table:
    """A relation. `complete`: every column is known. `file`: which one made it, None when it was there before the set. `made_as`: under
    which name, which a later file may have changed.
    """

    name: Relation
    kind: Object
    file: str | None
    complete: bool = False
    partitioned: bool = False
    temporary: bool = False
    made_as: Relation | None = None
    columns: dict[str, ColumnModel] = field(default_factory=dict)
    indexes: dict[str, IndexModel] = field(default_factory=dict)
    constraints: dict[str, PlacedConstraint] = field(default_factory=dict)

    def covers(self, columns: tuple[str, ...]) -> bool:
        """Whether an index begins with these columns, in whatever order: what a lookup by a foreign key can use."""
        wanted = set(columns)
        return any(
            set(index.columns[: len(columns)]) == wanted for index in self.indexes.values() if not index.partial or len(columns) == 1
        )

    def proves_not_null(self, column: str) -> bool:
        """A valid CHECK (column IS NOT NULL) is there: SET NOT NULL then scans nothing (PostgreSQL 12)."""
        return any(
            placed.valid and (placed.constraint.proves_not_null == column or _is_not_null(placed.constraint, column))
            for placed in self.constraints.values()
        )


@dataclass(slots=True)
class TypeModel:
    """A type or domain of the set. `constrained`: a domain with CHECK or NOT NULL, to which nothing can change without a rewrite."""

    name: Relation
    file: str
    is_enum: bool = False
    values: tuple[str, ...] = ()
    constrained: bool = False
    base: TypeName | None = None


@dataclass(slots=True)
class Model:
    """See the module. Lookups never raise."""

    catalog: Catalog | None = None
    tables: dict[Relation, Table] = field(default_factory=dict)
    by_name: dict[str, tuple[Relation, ...]] = field(default_factory=dict)
    schemas: dict[str, str] = field(default_factory=dict)  # name -> file
    types: dict[str, TypeModel] = field(default_factory=dict)  # by the last part of the name
    functions: dict[str, Volatility] = field(default_factory=dict)
    index_table: dict[str, Relation] = field(default_factory=dict)  # index -> its table
    gone: dict[Relation, str] = field(default_factory=dict)  # dropped or renamed relation -> the file that did it
    opaque: list[str] = field(default_factory=list)  # code of DO blocks and functions that make or change things
    _shared: bool = False
    _owned: set[Relation] = field(default_factory=set)

    def fork(self) -> "Model":
        """A copy to play on with: changes of either are not seen by the other."""
        self._shared = True
        self._owned = set()
        return Model(
            self.catalog,
            dict(self.tables),
            dict(self.by_name),
            dict(self.schemas),
            dict(self.types),
            dict(self.functions),
            dict(self.index_table),
            dict(self.gone),
            list(self.opaque),
            _shared=True,
        )

    def find(self, name: Relation) -> Table | None:
        """The relation of this name, if the set made it or changed it. A missing schema on either side is any schema."""
        found = self.tables.get(name)
        if found is not None:
            return found
        keys = self.by_name.get(name.name, ())
        if name.schema:
            loose = Relation("", name.name)
            return self.tables.get(loose) if loose in keys else None
        return self.tables[keys[0]] if keys else None

    def edit(self, name: Relation) -> Table:
        """The relation to change it; one that the set did not make is noted as there before."""
        found = self.find(name)
        if found is None:
            found = Table(name, Object.TABLE, None)
            self._put(found)
        elif self._shared and found.name not in self._owned:
            found = copy.copy(found)
            found.columns, found.indexes, found.constraints = dict(found.columns), dict(found.indexes), dict(found.constraints)
            self.tables[found.name] = found
            self._owned.add(found.name)
        return found

    def add(self, table: Table) -> None:
        self.gone.pop(table.name, None)
        table.made_as = table.name
        self._put(table)

    def remove(self, name: Relation, file: str) -> None:
        found = self.find(name)
        key = found.name if found is not None else name
        self.gone[name] = self.gone[key] = file
        if found is not None:
            del self.tables[key]
            left = tuple(other for other in self.by_name[key.name] if other != key)
            if left:
                self.by_name[key.name] = left
            else:
                del self.by_name[key.name]
            for index in found.indexes:
                self.index_table.pop(index, None)

    def rename(self, name: Relation, to: Relation, file: str) -> None:
        found = self.find(name)
        if found is None:
            self.gone[name] = file
            if self.find(to) is None:
                self._put(Table(to, Object.TABLE, None))
            return
        table = self.edit(name)
        self.remove(name, file)
        table.name = to
        self.gone.pop(to, None)
        self._put(table)
        for index in table.indexes:
            self.index_table[index] = to

    def _put(self, table: Table) -> None:
        if table.name not in self.tables:
            self.by_name[table.name.name] = (*self.by_name.get(table.name.name, ()), table.name)
        self.tables[table.name] = table
        self._owned.add(table.name)

    def in_catalog(self, name: Relation) -> bool:
        """Whether the database has it. Without a schema: in any."""
        return self.catalog is not None and self.catalog.has(name)

    def mentioned(self, name: str) -> bool:
        """Whether code that makes or changes things, and that nobody looked into, holds the name."""
        word = re.compile(rf"\b{re.escape(name)}\b", re.IGNORECASE)
        return any(word.search(text) for text in self.opaque)

    def volatility(self, column: Column) -> tuple[Volatility | None, tuple[str, ...]]:
        """(of the column's default, knowing the functions that the set made; the functions that make it so, each once)."""
        if column.default is None or column.default is Volatility.FIXED:
            return column.default, ()
        from dbmigration.lint.volatility import volatility_of

        each = {name: self.functions[name] if name in self.functions else volatility_of((name,)) for name in column.functions}
        for worst in (Volatility.VOLATILE, Volatility.UNKNOWN):
            if found := tuple(name for name, volatility in each.items() if volatility is worst):
                return worst, found
        return Volatility.FIXED, ()

    def make_type(self, created: Create, file: str) -> None:
        self.types[created.name.name] = TypeModel(
            created.name, file, created.is_enum, created.values, constrained=created.constrained, base=created.base
        )

    def resolve(self, type_: TypeName) -> tuple[TypeName, bool]:
        """(the type under domains without constraints, whether a domain with constraints is on the way)."""
        for _ in range(10):
            known = self.types.get(type_.name.rpartition(".")[2])
            if known is None or known.base is None:
                return type_, False
            if known.constrained:
                return known.base, True
            type_ = known.base
        return type_, False

    def all_constraints(self) -> Iterator[tuple[Table, PlacedConstraint]]:
        for table in self.tables.values():
            for placed in table.constraints.values():
                yield table, placed


def _is_not_null(constraint: Constraint, column: str) -> bool:
    return constraint.kind in (ConstraintKind.NOT_NULL, ConstraintKind.PRIMARY_KEY) and column in constraint.columns
