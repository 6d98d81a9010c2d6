"""One value for the bytes of a whole folder: the operator takes it of a ConfigMap, the runner of the mounted files."""

import hashlib
from collections.abc import Mapping

CONFIG_NAME = "dbmigration.toml"
"""The file beside the migrations that holds what belongs to the set."""


def counts(name: str) -> bool:
    """Whether a file of this name is part of a migration set: .sql in any case (a misnamed one too), the same with .gz, and
    dbmigration.toml; no dotfile."""
    return name == CONFIG_NAME or (name[-7:].lower().removesuffix(".gz").endswith(".sql") and not name.startswith("."))


def digest_bytes(files: Mapping[str, bytes]) -> str:
    """ "sha256:<hex>" of the content by file name; names that do not count are ignored."""
    return digest_hashes({name: hashlib.sha256(data).hexdigest() for name, data in files.items() if counts(name)})


def digest_hashes(hashes: Mapping[str, str]) -> str:
    """The same from the SHA-256 (hex) of each file's raw bytes. Every name given is taken."""
    total = hashlib.sha256()
    for name in sorted(hashes):
        total.update(f"{name}\0{hashes[name]}\n".encode())
    return f"sha256:{total.hexdigest()}"
