"""Names, types and expressions of the parse tree."""

from collections.abc import Iterable, Iterator
from typing import Any

from postgast import pg_query_pb2 as pb

from dbmigration.lint.definitions import Volatility
from dbmigration.lint.names import Relation, TypeName
from dbmigration.lint.operations import Use
from dbmigration.lint.volatility import volatility_of

_SERIAL = {"smallserial": "int2", "serial2": "int2", "serial": "int4", "serial4": "int4", "bigserial": "int8", "serial8": "int8"}
_INTERVAL_FULL_RANGE = 32767  # INTERVAL_FULL_RANGE of timestamp.h: no fields are named
_MAX_DEPTH = 200


def relation(range_var: Any) -> Relation:
    return Relation(range_var.schemaname, range_var.relname)


def words(nodes: Iterable[Any]) -> list[str]:
    """The strings of a list of String nodes."""
    return [node.string.sval for node in nodes]


def dotted(names: list[str]) -> Relation:
    """["a", "b"] is a.b; of a name with a database in front, the last two."""
    return Relation(names[-2] if len(names) > 1 else "", names[-1] if names else "")


def is_serial(type_node: Any) -> bool:
    return len(type_node.names) == 1 and type_node.names[0].string.sval in _SERIAL


def type_name(node: Any, collation: Iterable[Any] = ()) -> TypeName:
    """As `TypeName` describes. serial is the integer behind it."""
    names = words(node.names)
    name = ".".join(names[1:] if names[:1] == ["pg_catalog"] else names)
    modifiers = [mod.a_const.ival.ival for mod in node.typmods if mod.WhichOneof("node") == "a_const"]
    if name == "interval" and modifiers[:1] == [_INTERVAL_FULL_RANGE]:
        modifiers = modifiers[1:]
    return TypeName(_SERIAL.get(name, name), tuple(modifiers), len(node.array_bounds), ".".join(words(collation)))


def functions_of(node: Any) -> tuple[str, ...]:
    """The functions that an expression calls, by their last name, and the operators' names left out: those are hardly ever volatile."""
    return tuple(call.funcname[-1].string.sval.lower() for call in _find(node, pb.FuncCall, 0) if call.funcname)


def expression_volatility(functions: Iterable[str]) -> Volatility:
    return volatility_of(functions)


def column_under_casts(node: Any) -> str | None:
    """The column's name when the expression is a column, with or without one cast around it."""
    if node.WhichOneof("node") == "type_cast":
        node = node.type_cast.arg
    if node.WhichOneof("node") != "column_ref":
        return None
    fields = node.column_ref.fields
    return fields[-1].string.sval if fields and fields[-1].WhichOneof("node") == "string" else None


def tables_read(message: Any, *, at: int = 0) -> Iterator[Use]:
    """Every relation that a query names, but those it makes itself (WITH)."""
    made = {cte.ctename for cte in _find(message, pb.CommonTableExpr, 0)}
    for var in _find(message, pb.RangeVar, 0):
        if var.relname and not (var.relname in made and not var.schemaname):
            yield Use(var.location if var.location > 0 else at, relation(var))


def _find(message: Any, kind: type, depth: int) -> Iterator[Any]:
    if isinstance(message, kind):
        yield message
    if depth > _MAX_DEPTH:
        return  # nobody writes that by hand
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        for part in value if isinstance(value, Iterable) else (value,):
            yield from _find(part, kind, depth + 1)
