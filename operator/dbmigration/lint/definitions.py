"""What operations are about: kinds of objects, and columns and constraints as they are written. `at` as in `operations`."""

from dataclasses import dataclass
from enum import Enum

from dbmigration.lint.names import Relation, TypeName


class Object(Enum):
    """Kinds of objects, in words."""

    TABLE = "table"
    VIEW = "view"
    MATERIALIZED_VIEW = "materialized view"
    INDEX = "index"
    SEQUENCE = "sequence"
    SCHEMA = "schema"
    TYPE = "type"
    DOMAIN = "domain"
    FUNCTION = "function"
    EXTENSION = "extension"
    TRIGGER = "trigger"
    POLICY = "policy"
    ROLE = "role"
    FOREIGN_TABLE = "foreign table"
    COLUMN = "column"
    CONSTRAINT = "constraint"
    ENUM_VALUE = "enum value"
    OTHER = "object"


RELATIONS = (Object.TABLE, Object.VIEW, Object.MATERIALIZED_VIEW, Object.SEQUENCE, Object.FOREIGN_TABLE)
"""What shares one namespace with tables."""


class Volatility(Enum):
    """Of an expression: what PostgreSQL asks before it evaluates a default once or for every row."""

    FIXED = "fixed"
    """Immutable or stable."""
    VOLATILE = "volatile"
    UNKNOWN = "unknown"


class ConstraintKind(Enum):
    CHECK = "CHECK"
    NOT_NULL = "NOT NULL"
    UNIQUE = "UNIQUE"
    PRIMARY_KEY = "PRIMARY KEY"
    FOREIGN_KEY = "FOREIGN KEY"
    EXCLUSION = "EXCLUDE"


@dataclass(frozen=True, slots=True)
class Constraint:
    """`columns`: of UNIQUE, PRIMARY KEY, FOREIGN KEY. `references`: the table a foreign key points to. `proves_not_null`: the column of a
    CHECK (column IS NOT NULL). `index`: of USING INDEX.
    """

    kind: ConstraintKind
    at: int
    name: str = ""
    columns: tuple[str, ...] = ()
    references: Relation | None = None
    referenced_columns: tuple[str, ...] = ()
    valid: bool = True
    index: str = ""
    proves_not_null: str = ""


@dataclass(frozen=True, slots=True)
class Column:
    """A column as CREATE TABLE or ADD COLUMN has it. `functions`: those that the default calls, in lower case."""

    name: str
    type: TypeName
    at: int
    not_null: bool = False
    default: Volatility | None = None
    functions: tuple[str, ...] = ()
    serial: bool = False
    identity: bool = False
    generated: bool = False
    constraints: tuple[Constraint, ...] = ()

    @property
    def filled(self) -> bool:
        """Whether rows that are there already get a value."""
        return self.default is not None or self.serial or self.identity or self.generated
