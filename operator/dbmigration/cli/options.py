"""The options that several commands share, and what their words mean."""

import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from dbmigration.api.dumps import COMPRESSION_PATTERN, DumpFormat
from dbmigration.cli import words
from dbmigration.migrations.layout import Layout as FolderLayout
from dbmigration.migrations.model import HistoryTable
from dbmigration.run.options import DriftPolicy, LintPolicy
from dbmigration.run.options import OnFailure as OnFailurePolicy

if TYPE_CHECKING:
    from dbmigration.backup.s3 import Bucket
    from dbmigration.postgres.conninfo import ConnInfo
    from dbmigration.run.options import BackupTarget, ExternalBackup, Rehearsal

PRODUCTION = "production"

Dsn = Annotated[
    str | None,
    words.Option(
        "--dsn",
        metavar="URI",
        show_default=False,
        help="The database, as URI or key=value words. Without it: DATABASE_URL, else the PG* variables. Other users of this machine "
        "can see a password given here; DATABASE_URL, PGPASSWORD or a PGPASSFILE keep it out of the process list.",
    ),
]
Directory = Annotated[Path, words.Option("--dir", metavar="DIR", help="The folder of migrations.")]
Layout = Annotated[
    FolderLayout | None,
    words.Option(
        "--layout", help="Whose names and markers the files have; default: what dbmigration.toml says, else numbered.", show_default=False
    ),
]
Environment = Annotated[
    str | None,
    words.Option("--environment", "-e", metavar="NAME", help="Where this is: required when a file's header names an environment."),
]
History = Annotated[
    str | None,
    words.Option("--history", metavar="SCHEMA.TABLE", help="The history table; default: what dbmigration.toml says.", show_default=False),
]
Json = Annotated[bool, words.Option("--json", help="Print one JSON report instead of lines and tables.")]
ShowValues = Annotated[
    bool, words.Option("--show-values", help="Show PostgreSQL's DETAIL, HINT and CONTEXT of an error: they can hold row values.")
]
Target = Annotated[
    str | None, words.Option("--target", metavar="VERSION", help="The newest migration to apply; default: all.", show_default=False)
]
OutOfOrder = Annotated[bool, words.Option("--out-of-order", help="Allow a file whose number is below the applied version.")]
Reapply = Annotated[bool, words.Option("--reapply", help="Take files that were rolled back by a person as pending again.")]
BackupDir = Annotated[
    str | None,
    words.Option(
        "--backup-dir",
        metavar="DIR",
        help="Back up into this folder, or s3://BUCKET/PREFIX, first, if anything is to be done.",
        show_default=False,
    ),
]
NoBackup = Annotated[
    bool,
    words.Option("--no-backup", help="Go on without a backup. In production this, --backup-dir or --external-backup is required."),
]
BackupFormat = Annotated[
    DumpFormat,
    words.Option("--backup-format", help="One file, or a folder with a file for each table, which several connections can dump at once."),
]
BackupJobs = Annotated[int, words.Option("--backup-jobs", metavar="N", help="Connections that dump at once, in a folder.")]
BackupCompression = Annotated[
    str | None,
    words.Option(
        "--backup-compression",
        metavar="METHOD",
        help="none, gzip, lz4 or zstd, and a level if need be (zstd:3); lz4 and zstd from PostgreSQL 16 on.",
        show_default=False,
    ),
]
External = Annotated[
    str | None,
    words.Option(
        "--external-backup",
        metavar="WORDS",
        help="Take no dump: this protects the database, like 'pgBackRest, stanza studio'. It is said in the result, and not proved.",
        show_default=False,
    ),
]
LockTimeout = Annotated[
    str, words.Option("--lock-timeout", metavar="TIME", help="How long one try of a statement waits for a table's lock; grows with tries.")
]
StatementTimeout = Annotated[str, words.Option("--statement-timeout", metavar="TIME", help="How long a statement may run; 0: for ever.")]
Drift = Annotated[
    DriftPolicy | None,
    words.Option(
        "--drift",
        help="When the schema is not what migrations made: say so, refuse, or do not look; default: dbmigration.toml's, else report.",
        show_default=False,
    ),
]
Lint = Annotated[
    LintPolicy | None,
    words.Option(
        "--lint",
        help="Refuse what lint finds in the pending files from this severity on, only say it (never), or do not look; "
        "default: dbmigration.toml's, else error.",
        show_default=False,
    ),
]
ScratchDsn = Annotated[
    str | None,
    words.Option("--scratch-dsn", metavar="URI", help="Make the scratch database on this server.", show_default=False),
]
Private = Annotated[
    bool, words.Option("--private", help="Start a private server for the scratch database, from programs that this machine has.")
]
Rehearse = Annotated[bool, words.Option("--rehearse", help="Run the files in a restored copy of the backup first; needs --backup-dir.")]
MaxLock = Annotated[
    str | None,
    words.Option("--max-lock", metavar="TIME", help="Fail when a rehearsed file keeps others from a table longer.", show_default=False),
]
FailOnRewrite = Annotated[bool, words.Option("--fail-on-rewrite", help="Fail when a rehearsed file has a table with rows written anew.")]
OnFailure = Annotated[
    OnFailurePolicy,
    words.Option("--on-failure", help="When a file fails for good: leave what this run applied, or undo it with its rollback scripts."),
]
ClaimedBy = Annotated[
    str | None,
    words.Option(
        "--claimed-by",
        metavar="NAMESPACE/NAME",
        help="You know that this resource migrates the database, and act in its place; its claim stays.",
        show_default=False,
    ),
]
Wait = Annotated[str, words.Option("--wait", metavar="TIME", help="How long to wait for another run on the same database to end.")]

LOCK_TIMEOUT = "2s"
STATEMENT_TIMEOUT = "0"
WAIT = "60s"
ON_FAILURE = OnFailurePolicy.STOP
DIRECTORY = Path("migrations")
BACKUP_FORMAT = DumpFormat.CUSTOM

_MOST_JOBS = 64

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|min|h)", re.ASCII)
_UNIT_MS = {"ms": 1, "s": 1000, "m": 60_000, "min": 60_000, "h": 3_600_000}


@dataclass(frozen=True, slots=True, repr=False)
class Asked:
    """What every command that talks to a database was given. No repr: `dsn` may hold a password."""

    dsn: str | None
    directory: Path
    environment: str | None
    history: HistoryTable | None
    as_json: bool
    show_values: bool
    layout: FolderLayout | None = None

    @property
    def conninfo(self) -> "ConnInfo":
        """Raises Usage."""
        from dbmigration.postgres.conninfo import ConnInfo

        return ConnInfo.from_dsn(self.dsn) if self.dsn else ConnInfo.from_environment(os.environ)


def asked(
    dsn: str | None,
    directory: Path,
    environment: str | None,
    history: str | None,
    as_json: bool,
    show_values: bool,
    layout: FolderLayout | None = None,
) -> Asked:
    """Raises words.BadParameter."""
    return Asked(dsn, directory, environment, read_history(history), as_json, show_values, layout)


def read_history(text: str | None) -> HistoryTable | None:
    """ "platform.schema_migrations". Raises words.BadParameter."""
    if text is None:
        return None
    schema, dot, table = text.partition(".")
    if not (schema and dot and table) or "." in table:
        raise words.BadParameter(f"{text!r} is not SCHEMA.TABLE, like platform.schema_migrations", param_hint="--history")
    return HistoryTable(schema, table)


def read_duration_ms(text: str, option: str) -> int:
    """Milliseconds in "500ms", "2s", "5m" ("5min"), "1h" or "0". Raises words.BadParameter."""
    match = _DURATION.fullmatch(text.strip())
    if match:
        return round(float(match[1]) * _UNIT_MS[match[2]])
    if text.strip() == "0":
        return 0
    raise words.BadParameter(f"{text!r} is no time: give a number with its unit, like 500ms, 2s, 5m or 1h", param_hint=option)


def read_scratch(dsn: str | None, private: bool) -> "ConnInfo | None":
    """Raises Usage for a bad connection string, words.BadParameter for two places at once."""
    if dsn is not None and private:
        raise words.BadParameter("--scratch-dsn and --private exclude each other", param_hint="--private")
    if dsn is None:
        return None
    from dbmigration.postgres.conninfo import ConnInfo

    return ConnInfo.from_dsn(dsn)


def read_backup(environment: str | None, directory: str | None, no_backup: bool, external: str | None = None) -> "BackupTarget | None":
    """Where to back up to; None: a person said not to, or what does it, or it is no production. Raises words.BadParameter."""
    if (directory is not None) + no_backup + (external is not None) > 1:
        raise words.BadParameter("--backup-dir, --external-backup and --no-backup exclude each other", param_hint="--no-backup")
    if directory is None:
        if environment == PRODUCTION and not no_backup and external is None:
            raise words.BadParameter(
                "in production one of --backup-dir, --external-backup and --no-backup has to be given: nothing is skipped silently",
                param_hint="--backup-dir",
            )
        return None
    from dbmigration.run.options import BackupTarget

    if "://" in directory:
        return BackupTarget(Path(), bucket=read_bucket(directory, "--backup-dir"))
    return BackupTarget(Path(directory))


def read_shape(target: "BackupTarget | None", format: DumpFormat, jobs: int, compression: str | None) -> "BackupTarget | None":
    """The same target, asked for a dump of this shape. Raises words.BadParameter."""
    if compression is not None and not re.fullmatch(COMPRESSION_PATTERN.strip("^$"), compression):
        raise words.BadParameter("write none, gzip, lz4 or zstd, and a level if need be, like zstd:3", param_hint="--backup-compression")
    if not 1 <= jobs <= _MOST_JOBS or (jobs > 1 and format is not DumpFormat.DIRECTORY):
        raise words.BadParameter(
            f"give 1 to {_MOST_JOBS}, and more than 1 with --backup-format {DumpFormat.DIRECTORY}", param_hint="--backup-jobs"
        )
    if target is None:
        return None
    if target.bucket is not None and format is DumpFormat.DIRECTORY:
        raise words.BadParameter("a folder of files goes to a folder, not to a bucket", param_hint="--backup-format")
    from dbmigration.backup.shape import DumpShape

    return replace(target, shape=DumpShape(format, jobs, compression))


def read_external(text: str | None) -> "ExternalBackup | None":
    """Raises words.BadParameter."""
    if text is None:
        return None
    from dbmigration.run.options import ExternalBackup

    if not text.strip() or not text.isprintable():
        raise words.BadParameter("say in one line what takes the backups", param_hint="--external-backup")
    return ExternalBackup(text.strip())


def read_rehearsal(rehearse: bool, max_lock: str | None, fail_on_rewrite: bool, directory: str | None, jobs: int) -> "Rehearsal | None":
    """Raises words.BadParameter for limits of no rehearsal, and for one of no backup."""
    if not rehearse:
        if max_lock is not None or fail_on_rewrite:
            raise words.BadParameter("--max-lock and --fail-on-rewrite are limits of --rehearse: give that, too", param_hint="--rehearse")
        return None
    if directory is None:
        raise words.BadParameter("--rehearse restores the run's own backup: give --backup-dir, too", param_hint="--rehearse")
    from dbmigration.run.options import Rehearsal

    limit = None if max_lock is None else read_duration_ms(max_lock, "--max-lock")
    return Rehearsal(max_lock_ms=limit, fail_on_rewrite=fail_on_rewrite, jobs=jobs)


def read_bucket(uri: str, option: str) -> "Bucket":
    """s3://BUCKET/PREFIX; endpoint, region and keys are in the variables that AWS's tools read. Raises words.BadParameter."""
    from dbmigration.backup.s3 import Bucket, read_secrets

    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    try:
        bucket = Bucket.from_uri(uri)
    except ValueError as error:
        raise words.BadParameter(str(error), param_hint=option) from None
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    return replace(bucket, endpoint=endpoint, region=region, secrets=read_secrets(os.environ))
