"""SQL text of values and names, for the messages that cannot carry parameters (manual, 4.1)."""


def literal(value: str) -> str:
    """A constant that means the same whatever standard_conforming_strings is."""
    quoted = value.replace("'", "''")
    return f"'{quoted}'" if "\\" not in quoted else "E'" + quoted.replace("\\", "\\\\") + "'"


def identifier(name: str) -> str:
    """A name in double quotes."""
    return '"' + name.replace('"', '""') + '"'


def qualified(schema: str, name: str) -> str:
    return f"{identifier(schema)}.{identifier(name)}"
