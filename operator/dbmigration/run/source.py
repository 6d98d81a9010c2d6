"""The first step: a folder becomes a set of migrations, or an error that names file and line."""

from collections.abc import Callable

from dbmigration.api.reasons import Reason
from dbmigration.errors import Permanent, Transient
from dbmigration.migrations.folder import read_set
from dbmigration.migrations.model import HistoryTable, MigrationSet
from dbmigration.run.options import RunOptions


def read_source(options: RunOptions, say: Callable[[str], None]) -> tuple[MigrationSet, str | None]:
    """The files, and what they were taken from where the run got them itself.

    Raises what `options.fetch` and `read_set` raise, and when the bytes are not those that were promised Transient SOURCE_CHANGING, or
    Permanent SOURCE_MOVED where nobody but an earlier run had seen them.
    """
    if options.fetch is not None:
        directory, revision = options.fetch(say)
        files = read_set(directory, options.layout)
        if options.expected_digest not in (None, files.digest):
            raise Permanent(
                Reason.SOURCE_MOVED,
                f"the files have the digest {_short(files.digest)}, and an earlier run of the same spec was given "
                f"{_short(str(options.expected_digest))}: what spec.source names has moved. Name it by digest or commit",
            )
        return files, revision
    # Files whose digest somebody took were all put into one folder: the seeds too.
    files = read_set(options.directory, options.layout, seeds_beside=options.expected_digest is None)
    if options.expected_digest is not None and files.digest != options.expected_digest:
        raise Transient(
            Reason.SOURCE_CHANGING,
            f"the mounted files have the digest {_short(files.digest)}, not {_short(options.expected_digest)} that was planned: "
            "the source changed meanwhile; it is looked at again",
        )
    return files, None


def history_table(options: RunOptions, files: MigrationSet) -> HistoryTable:
    """What was asked for, else what dbmigration.toml says, else the default place."""
    return options.history or files.config.history or HistoryTable()


def _short(digest: str) -> str:
    return digest.removeprefix("sha256:")[:12]
