"""What a dump and a database hold, told alike, so that the two can be compared: objects with their owners, and every row.

Both sides are read as the text that pg_dump makes of data: of the dump by pg_restore, of the database by pg_dump itself.
"""

import re
import subprocess
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from dbmigration.api.reasons import Reason
from dbmigration.backup.access import Access, no_access
from dbmigration.backup.clients import Client
from dbmigration.backup.stream import Command, StopRequest, raise_if_stopped, running
from dbmigration.errors import Permanent

_COPY: Final = re.compile(rb"COPY (.+?) +(\(.*\) )?FROM stdin;\n")
_LARGE_OBJECT: Final = re.compile(rb"SELECT pg_catalog\.lo_open\('(\d+)', \d+\);\n")
_CHUNK_OF_ONE: Final = b"SELECT pg_catalog.lowrite("
_SEQUENCE: Final = re.compile(rb"SELECT pg_catalog\.setval\('(.*)', (-?\d+), (true|false)\);\n")
_END: Final = b"\\.\n"
_DIGEST_MASK: Final = (1 << 64) - 1
_STOP_EVERY_LINES: Final = 1 << 16

_NUMBERS: Final = re.compile(r"\d+; \d+ \d+ ")
_NO_OBJECT: Final = (
    "TABLE DATA ", "SEQUENCE SET ", "MATERIALIZED VIEW DATA ", "STATISTICS DATA ", "BLOBS ", "BLOB ", "BLOB METADATA ", "DATABASE ",
)  # fmt: skip
_OF_DATABASE: Final = re.compile(r"(COMMENT|ACL|SECURITY LABEL) - (DATABASE|LARGE OBJECTS?) ")
_SHOWN: Final = 5


@dataclass(slots=True)
class Rows:
    """Rows of one table, in any order: how many, and the sum of their hashes (which mean something in this process only)."""

    count: int = 0
    digest: int = 0


@dataclass(slots=True)
class Contents:
    """`tables` by name and columns as COPY has them, `sequences` by name, `large_objects` by oid, `objects` as pg_restore lists them."""

    tables: dict[str, Rows] = field(default_factory=dict)
    sequences: dict[str, str] = field(default_factory=dict)
    large_objects: dict[str, Rows] = field(default_factory=dict)
    objects: Counter[str] = field(default_factory=Counter)

    @property
    def rows(self) -> int:
        return sum(table.count for table in self.tables.values())


def contents_of_dump(dump: Path, client: Client, stop: StopRequest) -> Contents:
    """Reads the whole file. Raises Permanent RESTORE_FAILED where pg_restore cannot, Transient INTERRUPTED."""
    found, offline = Contents(), no_access()
    _read(Command("pg_restore", (str(client.pg_restore), "--data-only", "--file=-", str(dump)), offline), found, stop, ())
    with running(Command("pg_restore", (str(client.pg_restore), "--list", str(dump)), offline), stdout=subprocess.PIPE) as listing:
        found.objects = _objects(listing.lines)
        listing.wait(stop)
        _must_succeed(listing.failure(()), "The backup cannot be listed")
    return found


def contents_of_database(client: Client, access: Access, stop: StopRequest) -> Contents:
    """Reads every row of the database that `access` leads to. Raises as `contents_of_dump`."""
    found = Contents()
    pg_dump = (str(client.pg_dump), "--no-password")
    _read(access.command("pg_dump", (*pg_dump, "--format=plain", "--data-only")), found, stop, access.hide)
    with (
        running(access.command("pg_dump", (*pg_dump, "--format=custom", "--schema-only")), stdout=subprocess.PIPE) as schema,
        running(
            Command("pg_restore", (str(client.pg_restore), "--list"), no_access()), stdin=schema.output, stdout=subprocess.PIPE
        ) as listing,
    ):
        found.objects = _objects(listing.lines)
        schema.output.close()  # or pg_dump would wait for a reader that ended early
        for child in (schema, listing):
            child.wait(stop)
            _must_succeed(child.failure(access.hide), "The restored database cannot be read")
    return found


def differences(backup: Contents, restored: Contents) -> list[str]:
    """What the restored database has otherwise, one sentence each; none: it is what the backup holds."""
    said: list[str] = []
    for name, wanted in backup.tables.items():
        got = restored.tables.get(name, Rows())
        if got != wanted:
            words = f"{got.count} rows instead of {wanted.count}" if got.count != wanted.count else "rows with other values"
            said.append(f"table {name} has {words}")
    said += [f"table {name} was not in the backup" for name in restored.tables.keys() - backup.tables.keys()]
    for name, place in backup.sequences.items():
        if (got_place := restored.sequences.get(name)) != place:
            said.append(f"sequence {name} stands at {got_place or 'nothing'} instead of {place}")
    changed = [oid for oid, content in backup.large_objects.items() if restored.large_objects.get(oid) != content]
    if changed:
        said.append(f"{len(changed)} large objects differ, the first is {changed[0]}")
    said += _named(backup.objects - restored.objects, "is missing")
    said += _named(restored.objects - backup.objects, "was not in the backup")
    return said


def _named(objects: Counter[str], what: str) -> list[str]:
    names = sorted(objects.elements())
    more = len(names) - _SHOWN
    return [f"{name} {what}" for name in names[:_SHOWN]] + ([f"{more} more: each {what}"] if more > 0 else [])


def _read(command: Command, into: Contents, stop: StopRequest, hide: Sequence[str]) -> None:
    """Every row's hash is added to its table's sum: rows of a restored table can stand in another order than they came in."""
    with running(command, stdout=subprocess.PIPE) as child:
        lines = child.lines
        large: Rows | None = None
        for line in lines:
            if large is not None and line.startswith(_CHUNK_OF_ONE):
                large.count += 1
                large.digest = hash((large.digest, line))
            elif match := _COPY.fullmatch(line):
                name = (match[1] + b" " + match[2].rstrip()).decode() if match[2] else match[1].decode()
                into.tables[name] = _rows(lines, stop)
            elif match := _SEQUENCE.fullmatch(line):
                into.sequences[match[1].decode()] = f"{int(match[2])}" + ("" if match[3] == b"true" else ", not yet taken")
            elif match := _LARGE_OBJECT.fullmatch(line):
                large = into.large_objects.setdefault(match[1].decode(), Rows())
        child.wait(stop)
        _must_succeed(child.failure(hide), "Its rows cannot be read")


def _rows(lines: Iterable[bytes], stop: StopRequest) -> Rows:
    count = digest = 0
    for line in lines:
        if line == _END:
            break
        count += 1
        digest += hash(line)
        if not count % _STOP_EVERY_LINES:
            raise_if_stopped(stop)
    return Rows(count, digest & _DIGEST_MASK)


def _objects(lines: Iterable[bytes]) -> Counter[str]:
    """What the table of contents lists, without its numbers; data and what belongs to the database itself left out."""
    entries = (_NUMBERS.sub("", line.decode("utf-8", "replace").rstrip("\n"), count=1) for line in lines if not line.startswith(b";"))
    return Counter(entry for entry in entries if entry and not entry.startswith(_NO_OBJECT) and not _OF_DATABASE.match(entry))


def _must_succeed(why: str | None, what: str) -> None:
    if why:
        raise Permanent(Reason.RESTORE_FAILED, f"{what}: {why}")
