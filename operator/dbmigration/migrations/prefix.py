"""Digests of ordered lists of files: whether two databases were given the same ones up to some file, however many there are."""

import hashlib
from collections.abc import Iterable, Iterator
from typing import Final

from dbmigration.api.states import State

PREFIXES_NAMED: Final = 50
"""For so many of the newest files a report has the digest of the list that ends with it: a status names no more."""
DONE: Final = (State.APPLIED, State.SKIPPED)
"""What has been in a database, with its checksum known, or is not for it."""

Listed = tuple[str, State, str | None]
"""Name, state and checksum of a file or seed."""


def prefix_digests(files: Iterable[Listed], seeds: Iterable[Listed]) -> Iterator[tuple[str, bool]]:
    """For each file, in order: SHA-256, hex, over names and checksums of all seeds and of the files up to it; whether they all are done."""
    total, done = hashlib.sha256(), True
    for name, state, checksum in seeds:
        total.update(f"{name}\0{checksum or ''}\n".encode())
        done = done and state in DONE
    total.update(b"\n")
    for name, state, checksum in files:
        total.update(f"{name}\0{checksum or ''}\n".encode())
        done = done and state in DONE
        yield total.hexdigest(), done
