"""The dump that a rehearsal restores, as a file that pg_restore can read: the run's own backup, or one that is taken for it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from dbmigration.api.reasons import Reason
from dbmigration.errors import Permanent
from dbmigration.run.engine import Engine
from dbmigration.run.options import BackupTarget
from dbmigration.run.progress import Step

if TYPE_CHECKING:
    from dbmigration.backup.record import Backup


@contextmanager
def as_file(engine: Engine, target: BackupTarget, backup: "Backup") -> Iterator[Path]:
    """The dump where pg_restore can read it: on its volume, or fetched from its bucket."""
    if target.bucket is None:
        yield _on_volume(target, backup)
        return
    from dbmigration.backup.to_s3 import fetch

    with TemporaryDirectory(prefix="dbmigration-") as folder:
        engine.say(Step.REHEARSE, f"fetching {backup.uri}")
        try:
            path = fetch(backup.uri, target.bucket, Path(folder), engine.stop)
        except OSError as error:
            raise Permanent(
                Reason.RESTORE_FAILED,
                f"the dump ({backup.bytes / 1e6:.0f} MB) cannot be kept in {folder} for the rehearsal: {error.strerror}: give the pod more "
                "ephemeral storage, or back up to a volume",
            ) from None
        yield path


def _on_volume(target: BackupTarget, backup: "Backup") -> Path:
    if target.uri_base is None:
        return Path(unquote(urlsplit(backup.uri).path))
    return target.directory / backup.uri.removeprefix(f"{target.uri_base.rstrip('/')}/")


def fresh_backup(engine: Engine, folder: Path) -> Path:
    """A backup of its own in `folder`. Raises what stopped it."""
    taken = replace(engine, options=replace(engine.options, backup=BackupTarget(folder))).back_up()
    if taken.error is not None:
        raise taken.error
    return next(folder.glob("*.dump"))
