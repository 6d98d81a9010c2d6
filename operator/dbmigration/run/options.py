"""What either face, Job or command line, asks of the engine."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from dbmigration.backup.shape import ONE_FILE, DumpShape
from dbmigration.migrations.layout import Layout
from dbmigration.migrations.model import HistoryTable
from dbmigration.postgres.settings import Execution

if TYPE_CHECKING:
    from dbmigration.backup.s3 import Bucket
    from dbmigration.postgres.claim import Owner
    from dbmigration.postgres.conninfo import ConnInfo
    from dbmigration.run.fetched import Fetch
    from dbmigration.run.rehearsal_server import ServerBeside


@dataclass(frozen=True, slots=True)
class BackupTarget:
    """Where a dump goes: `directory` is the volume's root, `prefix` a folder below it (made when missing).

    `uri_base` is how the root is called outside of this machine, like "pvc://claim"; None: as a file. `keep_last` and `keep_days`: which of
    the folder's backups stay once there is a newer one, if either is given (see `backup.retention`). `bucket`: it goes there instead, in
    one file, and `directory` is not looked at. `conninfo`: who takes the dump, where it is not the role that migrates.
    """

    directory: Path
    prefix: str = ""
    uri_base: str | None = None
    keep_last: int | None = None
    keep_days: int | None = None
    bucket: "Bucket | None" = None
    shape: DumpShape = ONE_FILE
    conninfo: "ConnInfo | None" = None


@dataclass(frozen=True, slots=True)
class ExternalBackup:
    """What somebody else does to protect the database, in their words: `spec.backup.external`."""

    provider: str
    recovery_point: str | None = None
    restore_tested_on: date | None = None
    restore_guide: str | None = None


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """Run the pending files in a restored copy first. `server` None: the copy is made beside the database, on its own server; `beside`: on
    one of the run's own instead; `private`: on one that is started on this machine (`run.rehearse.rehearse` alone can).

    `max_lock_ms` and `fail_on_rewrite`: what is refused although it ran (None, False: nothing). `jobs`: connections of pg_restore.
    `proved_plan`: the hash of a plan that passed before and is taken at its word, as is what an interrupted run left of it; `proved_ms`:
    how long its files took ("*": all that are not named).
    """

    server: "ConnInfo | None" = None
    beside: "ServerBeside | None" = None
    private: bool = False
    max_lock_ms: int | None = None
    fail_on_rewrite: bool = False
    jobs: int = 1
    proved_plan: str | None = None
    proved_ms: Mapping[str, int] = field(default_factory=dict)

    def times_of(self, names: AbstractSet[str]) -> dict[str, int]:
        """How long these took in the rehearsal that passed before; with "*" where one of them is not named there."""
        others = () if names <= self.proved_ms.keys() else ("*",)
        return {name: ms for name, ms in self.proved_ms.items() if name in (*names, *others)}


class DriftPolicy(StrEnum):
    """What to do when the schema is not what migrations made."""

    REPORT = "report"
    REFUSE = "refuse"
    OFF = "off"


class LintPolicy(StrEnum):
    """What a run does about what lint finds in the pending files: refuse from this severity on, only say it, or do not look."""

    ERROR = "error"
    WARNING = "warning"
    NEVER = "never"
    OFF = "off"


class OnFailure(StrEnum):
    """What becomes of the files that a run applied before one of its files failed for good."""

    STOP = "stop"
    ROLLBACK = "rollback"


@dataclass(frozen=True, slots=True)
class RunOptions:
    """One run. `history` None: what dbmigration.toml says, else the default place. `backup` None: no dump, and the result says so,
    and what `external` declares instead.

    `actor` stands in the database's own record of what was done (None: the database user). `expected_digest`: refuse a folder whose bytes
    are not those (SourceChanging; SourceMoved with `fetch`). `fetch` gets the files first, and `directory` is not looked at then.
    `lock_wait` in seconds. `layout` None: what dbmigration.toml says, else our own. `reapply_rolled_back`: a person asks, so files that a
    person rolled back are pending again. `drift` None: what dbmigration.toml says, else to report. `lint`
    None: what dbmigration.toml says, else to refuse errors; `lint_ignore` names rules that are left out. `owner`: the resource that asks,
    None at the command line. `claimed_by`: the owner whose claim is no obstacle, as `postgres.claim.Owner` writes it. `baseline`: where
    nothing is recorded yet, record up to this version without running it, before anything else. `on_failure`: see `run.undoing`.
    `rehearsal`: see `run.rehearse`; None: none.
    `prepare`: plan, compare and lint, back up and rehearse if that is asked for, then end with Prepared instead of executing. `closes_at`:
    no file is begun from then on, or that would not be done by then (WindowClosed); `window_ms`: how long the longest window to come is.
    `approved`: hashes of the only plans that may be executed, any other ends with Prepared (see `run.approval`); None: every plan may.
    `promoted`: the only plan that an earlier environment has proved, in the same way.
    """

    directory: Path
    run_id: str
    actor: str | None = None
    environment: str | None = None
    target: str | None = None
    history: HistoryTable | None = None
    execution: Execution = field(default_factory=Execution)
    out_of_order: bool = False
    backup: BackupTarget | None = None
    external: ExternalBackup | None = None
    expected_digest: str | None = None
    fetch: "Fetch | None" = None
    reapply_rolled_back: bool = False
    lock_wait: float = 60.0
    layout: Layout | None = None
    drift: DriftPolicy | None = None
    lint: LintPolicy | None = None
    lint_ignore: tuple[str, ...] = ()
    owner: "Owner | None" = None
    claimed_by: str | None = None
    baseline: str | None = None
    on_failure: OnFailure = OnFailure.STOP
    rehearsal: Rehearsal | None = None
    prepare: bool = False
    closes_at: datetime | None = None
    window_ms: int | None = None
    approved: tuple[str, ...] | None = None
    promoted: str | None = None
