"""What a statement does, as far as rules and the model of the set care: the parse tree put into plain words.

`at` is the offset in bytes in the statement's text where the operation is written. What is optional in SQL (IF EXISTS, IF NOT EXISTS) is
`optional`.
"""

from dataclasses import dataclass

from dbmigration.lint.definitions import Column, Constraint, Object, Volatility
from dbmigration.lint.names import Relation, TypeName


@dataclass(frozen=True, slots=True)
class Operation:
    at: int


@dataclass(frozen=True, slots=True)
class Use(Operation):
    """The statement needs the relation, and these columns of it, to be there already."""

    relation: Relation
    columns: tuple[str, ...] = ()
    optional: bool = False
    columns_optional: bool = False


@dataclass(frozen=True, slots=True)
class CreateTable(Operation):
    """`complete`: the text tells every column (no LIKE, INHERITS, AS, PARTITION OF)."""

    table: Relation
    columns: tuple[Column, ...] = ()
    constraints: tuple[Constraint, ...] = ()
    optional: bool = False
    temporary: bool = False
    partitioned: bool = False
    partition_of: Relation | None = None
    complete: bool = True
    from_query: bool = False


@dataclass(frozen=True, slots=True)
class AddColumn(Operation):
    table: Relation
    column: Column
    optional: bool = False


@dataclass(frozen=True, slots=True)
class DropColumn(Operation):
    table: Relation
    column: str
    optional: bool = False
    cascade: bool = False


@dataclass(frozen=True, slots=True)
class ChangeType(Operation):
    """`converted`: USING holds more than the column itself or a cast of it to the new type."""

    table: Relation
    column: str
    type: TypeName
    converted: bool = False


@dataclass(frozen=True, slots=True)
class SetNotNull(Operation):
    table: Relation
    column: str


@dataclass(frozen=True, slots=True)
class DropNotNull(Operation):
    table: Relation
    column: str


@dataclass(frozen=True, slots=True)
class AddConstraint(Operation):
    table: Relation
    constraint: Constraint


@dataclass(frozen=True, slots=True)
class DropConstraint(Operation):
    table: Relation
    name: str
    optional: bool = False


@dataclass(frozen=True, slots=True)
class ValidateConstraint(Operation):
    table: Relation
    name: str


@dataclass(frozen=True, slots=True)
class RewriteTable(Operation):
    """`what`: SET LOGGED, SET TABLESPACE … in words."""

    table: Relation
    what: str


@dataclass(frozen=True, slots=True)
class AlterOther(Operation):
    """Any other ALTER TABLE. `exclusive`: under ACCESS EXCLUSIVE."""

    table: Relation
    exclusive: bool


@dataclass(frozen=True, slots=True)
class AttachPartition(Operation):
    table: Relation
    partition: Relation


@dataclass(frozen=True, slots=True)
class DetachPartition(Operation):
    table: Relation
    partition: Relation
    concurrently: bool


@dataclass(frozen=True, slots=True)
class Create(Operation):
    """Anything but a table or an index. `optional`: IF NOT EXISTS; `replaces`: OR REPLACE. `table`: of a trigger or policy."""

    kind: Object
    name: Relation
    optional: bool = False
    replaces: bool = False
    temporary: bool = False
    values: tuple[str, ...] = ()  # of an enum
    is_enum: bool = False
    constrained: bool = False  # a domain with CHECK or NOT NULL
    base: TypeName | None = None  # of a domain
    volatility: Volatility = Volatility.VOLATILE  # of a function
    table: Relation | None = None


@dataclass(frozen=True, slots=True)
class CreateIndex(Operation):
    """`columns` in order, "" for an expression; `only`: ON ONLY a partitioned table, which builds nothing."""

    table: Relation
    name: str
    columns: tuple[str, ...]
    unique: bool = False
    concurrently: bool = False
    optional: bool = False
    partial: bool = False
    only: bool = False


@dataclass(frozen=True, slots=True)
class Drop(Operation):
    """One object of a DROP. `table`: of a trigger or policy."""

    kind: Object
    name: Relation
    optional: bool = False
    cascade: bool = False
    concurrently: bool = False
    table: Relation | None = None


@dataclass(frozen=True, slots=True)
class Rename(Operation):
    """RENAME and SET SCHEMA. `name`: the object, or the table of a column; `old` and `new` are single names."""

    kind: Object
    name: Relation
    old: str
    new: str
    to_schema: bool = False
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Truncate(Operation):
    table: Relation
    cascade: bool


@dataclass(frozen=True, slots=True)
class Delete(Operation):
    table: Relation
    filtered: bool


@dataclass(frozen=True, slots=True)
class Update(Operation):
    """`filtered`: has WHERE (or FROM, which joins)."""

    table: Relation
    columns: tuple[str, ...]
    filtered: bool


@dataclass(frozen=True, slots=True)
class Insert(Operation):
    """INSERT or COPY. `rows`: how many statements of this kind on this table followed each other; `from_query`: INSERT … SELECT.

    `guarded`: with ON CONFLICT, or from a query with a WHERE; False where nobody looked.
    """

    table: Relation
    from_query: bool = False
    copy: bool = False
    rows: int = 1
    guarded: bool = False


@dataclass(frozen=True, slots=True)
class Query(Operation):
    """Reads tables: SELECT, VALUES, EXECUTE, CALL, and the query of a view."""


@dataclass(frozen=True, slots=True)
class Code(Operation):
    """DO, or the body of a function: text that is not looked into but for names. `runs`: DO, which runs at once."""

    text: str
    runs: bool


@dataclass(frozen=True, slots=True)
class Lock(Operation):
    table: Relation
    mode: str
    exclusive: bool


@dataclass(frozen=True, slots=True)
class Vacuum(Operation):
    """VACUUM FULL, CLUSTER: `table` None for every table."""

    table: Relation | None
    what: str


@dataclass(frozen=True, slots=True)
class Reindex(Operation):
    kind: str
    name: Relation
    concurrently: bool


@dataclass(frozen=True, slots=True)
class Refresh(Operation):
    name: Relation
    concurrently: bool


@dataclass(frozen=True, slots=True)
class AddEnumValue(Operation):
    type: Relation
    value: str
    optional: bool


@dataclass(frozen=True, slots=True)
class ConstrainDomain(Operation):
    """ALTER DOMAIN ADD CONSTRAINT or SET NOT NULL."""

    name: Relation
    valid: bool


@dataclass(frozen=True, slots=True)
class Password(Operation):
    """CREATE ROLE, ALTER ROLE or a user mapping with a password in it."""

    what: str
