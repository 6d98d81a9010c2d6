"""`python -m tests.docs.reference [--check]`: docs/reference from the CRDs and the commands, with no field and no option missing."""

import sys
from collections.abc import Iterator, Mapping
from enum import Enum
from inspect import Parameter, cleandoc, signature
from pathlib import Path
from typing import Any, Final, get_args

import yaml

from dbmigration.cli.main import DBMIGRATION
from dbmigration.cli.plugin.main import PLUGIN
from dbmigration.cli.program import Program
from dbmigration.cli.words import Argument

ROOT: Final = Path(__file__).resolve().parents[2]
FOLDER: Final = ROOT / "docs" / "reference"
Schema = Mapping[str, Any]


def pages() -> dict[str, str]:
    """Every page of docs/reference by its file's name."""
    kinds = [yaml.safe_load(path.read_text()) for path in sorted((ROOT / "crds").glob("dbmigration.dev_*.yaml"))]
    return {"command-line.md": program(DBMIGRATION), "kubectl-dbmigration.md": program(PLUGIN)} | {
        f"{crd['spec']['names']['kind'].lower()}.md": kind(crd) for crd in kinds
    }


def kind(crd: Schema) -> str:
    """A kind's fields, as `kubectl explain --recursive` has them, with the rules that refuse a resource."""
    names, version = crd["spec"]["names"], crd["spec"]["versions"][0]
    schema = version["schema"]["openAPIV3Schema"]
    short = f", short name `{names['shortNames'][0]}`" if names.get("shortNames") else ""
    lines = [
        f"# {names['kind']}: every field",
        "",
        f"Generated from the CustomResourceDefinition. `{crd['spec']['group']}/{version['name']}`{short}. {schema.get('description', '')}",
        "",
    ]
    for part in ("spec", "status"):
        if part not in schema["properties"]:
            continue
        found = schema["properties"][part]
        lines += [f"## {part}", ""]
        lines += [_text(found["description"]), ""] if found.get("description") else []
        lines += ["| field | type | default | meaning |", "|---|---|---|---|"]
        lines += list(_fields(found, ""))
        lines.append("")
    lines += ["## Refused at `kubectl apply`", "", "| where | what is said |", "|---|---|"]
    lines += [f"| `{where or 'spec'}` | {_text(message)} |" for where, message in _rules(schema["properties"]["spec"], "")]
    return "\n".join([*lines, ""])


def program(found: Program) -> str:
    """Each command's arguments and options, from its signature: argparse lays its help out differently with each Python."""
    lines = [f"# {found.name}: every option", "", "Generated from the commands. [The command line](../cli.md) says how they are used.", ""]
    for name in found.commands:
        command = found.command_of(name)
        assert command is not None
        lines += [f"## {found.name} {name}", "", _text(cleandoc(command.__doc__ or "")), ""]
        lines += ["| word | default | meaning |", "|---|---|---|", *(_word(each) for each in signature(command).parameters.values()), ""]
    return "\n".join(lines)


def _word(parameter: Parameter) -> str:
    kind, said, *_ = get_args(parameter.annotation)
    if isinstance(said, Argument):
        shown = f"`{said.metavar}`"
    else:
        value = f" {said.metavar or _choices(kind)}" if "bool" not in str(kind) else ""
        shown = f"`{', '.join(said.names)}{value}`"
    missing = parameter.default is Parameter.empty
    silent = parameter.default in (None, False) or not getattr(said, "show_default", True)
    default = "required" if missing else "" if silent else f"`{parameter.default}`"
    return f"| {shown.replace('|', chr(92) + '|')} | {default} | {_text(said.help)} |"


def _choices(kind: Any) -> str:
    for each in (kind, *get_args(kind)):
        if isinstance(each, type) and issubclass(each, Enum):
            return "|".join(str(member.value) for member in each)
    return "VALUE"


def _fields(schema: Schema, path: str) -> Iterator[str]:
    required = schema.get("required", ())
    for name, field in schema.get("properties", {}).items():
        place = f"{path}.{name}" if path else name
        inner = field.get("items", field)
        default = f"`{_value(field['default'])}`" if field.get("default") not in (None, {}) else "required" if name in required else ""
        yield f"| `{place}` | {_type(field)} | {default} | {_text(field.get('description') or inner.get('description') or '')} |"
        yield from _fields(inner, f"{place}[]" if inner is not field else place)


def _type(field: Schema) -> str:
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    if field.get("type") == "array":
        return f"list of {_type(field['items'])}"
    if "additionalProperties" in field and isinstance(field["additionalProperties"], dict):
        return f"map to {_type(field['additionalProperties'])}"
    return str(field.get("type") or ("integer or string" if field.get("x-kubernetes-int-or-string") else "anything"))


def _value(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _rules(schema: Schema, path: str) -> Iterator[tuple[str, str]]:
    for found in schema.get("x-kubernetes-validations", ()):
        if found.get("message"):
            yield path, found["message"]
    for name, field in schema.get("properties", {}).items():
        inner = field.get("items", field)
        place = f"{path}.{name}" if path else name
        yield from _rules(inner, f"{place}[]" if inner is not field else place)


def _text(text: str) -> str:
    """One line of a table."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def main(arguments: list[str]) -> int:
    """Write the pages, or with --check say which are stale; the exit status."""
    wanted = pages()
    stale = [name for name, text in wanted.items() if not (FOLDER / name).exists() or (FOLDER / name).read_text() != text]
    stale += [path.name for path in FOLDER.glob("*.md") if path.name not in wanted] if FOLDER.exists() else []
    if "--check" in arguments:
        if stale:
            sys.stderr.write(f"stale: {', '.join(f'docs/reference/{name}' for name in stale)}: make reference\n")
        return 1 if stale else 0
    FOLDER.mkdir(exist_ok=True)
    for path in FOLDER.glob("*.md"):
        path.unlink()
    for name, text in wanted.items():
        (FOLDER / name).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
