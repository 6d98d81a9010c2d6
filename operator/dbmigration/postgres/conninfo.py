"""Where the database is and who we are there, without ever showing the password."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol


class SecretKeyNames(Protocol):
    """Which files of a mounted Secret hold what; None: the well-known names are tried."""

    @property
    def uri(self) -> str | None: ...
    @property
    def host(self) -> str | None: ...
    @property
    def port(self) -> str | None: ...
    @property
    def dbname(self) -> str | None: ...
    @property
    def user(self) -> str | None: ...
    @property
    def password(self) -> str | None: ...


@dataclass(frozen=True, slots=True, repr=False)
class ConnInfo:
    """libpq connection parameters."""

    parameters: Mapping[str, str] = field(repr=False)

    @classmethod
    def from_dsn(cls, dsn: str) -> "ConnInfo":
        raise NotImplementedError

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> "ConnInfo":
        raise NotImplementedError

    @classmethod
    def from_secret(
        cls, directory: Path, keys: SecretKeyNames | None = None, *, tls_mode: str | None = None, ca_file: Path | None = None
    ) -> "ConnInfo":
        raise NotImplementedError

    def libpq_environment(self) -> dict[str, str]:
        raise NotImplementedError
