"""One lock for each database: who holds it may migrate."""

from collections.abc import Callable

from dbmigration.postgres.session import Session


def acquire(session: Session, *, wait_s: float, on_wait: Callable[[str], None]) -> None:
    raise NotImplementedError


def check(session: Session) -> None:
    raise NotImplementedError


def release(session: Session) -> None:
    raise NotImplementedError
