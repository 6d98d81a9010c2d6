"""The first step: a folder becomes a set of migrations, or an error that names file and line."""

from dbmigration.api.reasons import Reason
from dbmigration.errors import Transient
from dbmigration.migrations.folder import read_set
from dbmigration.migrations.model import HistoryTable, MigrationSet
from dbmigration.run.options import RunOptions


def read_source(options: RunOptions) -> MigrationSet:
    """Read the folder. Raises what `read_set` raises, and Transient(SourceChanging) when its bytes are not those that were promised."""
    # Files whose digest somebody took were all put into one folder: the seeds too.
    files = read_set(options.directory, options.layout, seeds_beside=options.expected_digest is None)
    if options.expected_digest is not None and files.digest != options.expected_digest:
        raise Transient(
            Reason.SOURCE_CHANGING,
            f"the mounted files have the digest {_short(files.digest)}, not {_short(options.expected_digest)} that was planned: "
            "the source changed meanwhile; it is looked at again",
        )
    return files


def history_table(options: RunOptions, files: MigrationSet) -> HistoryTable:
    """What was asked for, else what dbmigration.toml says, else the default place."""
    return options.history or files.config.history or HistoryTable()


def _short(digest: str) -> str:
    return digest.removeprefix("sha256:")[:12]
