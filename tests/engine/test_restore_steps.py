"""The steps of a DatabaseRestore: done once, whatever became of the pod that did them, and only with what was restored."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from dbmigration.api.reasons import Reason
from dbmigration.api.request import ResourceRef
from dbmigration.api.restore_report import RestoredDatabase
from dbmigration.api.restore_request import RestoreRequest, RestoreStep
from dbmigration.backup import restore as restore_module
from dbmigration.backup.restore import PREFIX
from dbmigration.errors import DbmigrationError, Permanent, Transient
from dbmigration.migrations.model import HistoryTable
from dbmigration.postgres import claim, lock
from dbmigration.run import restore as steps
from dbmigration.run.restore import StepDone, restore_step, swap_step
from dbmigration.run.stop import StopRequest
from tests.engine.command_line import dbmigration, succeeds
from tests.engine.conftest import Database
from tests.engine.dumps import back_up, path_of
from tests.engine.server import OWNER

HISTORY = HistoryTable()
FIRST = "CREATE TABLE orders (id int PRIMARY KEY);\nINSERT INTO orders SELECT generate_series(1, 100);\n"
LOSES = "DELETE FROM orders WHERE id > 10;\n"


@dataclass
class Case:
    """A database whose second migration lost data, the backup before that, and what a DatabaseRestore `back` of it asks."""

    live: Database
    dump: Path
    folder: Path
    request: RestoreRequest
    said: list[str] = field(default_factory=list)

    @property
    def into(self) -> Database:
        return Database(self.live.server, self.request.into)

    def restore(self, **changes: object) -> StepDone:
        done = StepDone()
        restore_step(self.request.model_copy(update=changes), self.live.conninfo(), self.dump, done, self.said.append, StopRequest())
        return done

    def restored(self) -> RestoredDatabase:
        found = self.restore().restored
        assert found is not None
        return found

    def swap(self, restored: RestoredDatabase, **changes: object) -> StepDone:
        done = StepDone()
        given: dict[str, object] = {"step": RestoreStep.SWAP, "restored_identity": restored.identity, "live_identity": self.identity()}
        given |= {"live_name": self.live.name} | changes
        swap_step(self.request.model_copy(update=given), self.live.conninfo(), done, self.said.append, StopRequest())
        return done

    def identity(self) -> str:
        with self.live.connect() as session:
            return session.server.identity

    def apply(self, *words: str) -> tuple[int, str]:
        ended = dbmigration(
            self.live, "apply", "--dir", str(self.folder), "--environment", "production", "--no-backup", "--lint", "never", *words
        )
        return ended.status, ended.err

    def databases(self) -> list[str]:
        return self.live.server.psql(
            f"SELECT datname FROM pg_database WHERE datname LIKE '{self.live.name}%' OR datname LIKE '{PREFIX}%' ORDER BY 1"
        ).splitlines()


@pytest.fixture
def case(database: Database, tmp_path: Path) -> Iterator[Case]:
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "001_orders.sql").write_text(FIRST)
    words = ("--dir", str(folder), "--environment", "production", "--no-backup", "--lint", "never")
    succeeds(database, "apply", *words)
    dump = path_of(back_up(database, tmp_path))
    (folder / "002_tidy.sql").write_text(LOSES)
    succeeds(database, "apply", *words)
    request = RestoreRequest(
        resource=ResourceRef(namespace="studio", name="back", uid="uid-r"),
        migration=ResourceRef(namespace="studio", name="studio", uid="uid-m"),
        run_id="back-restore-1",
        step=RestoreStep.RESTORE,
        uri="pvc://backups/studio/1.dump",
        into=f"{database.name}_restored",
    )
    yield Case(database, dump, folder, request)
    for name in database.server.psql(f"SELECT datname FROM pg_database WHERE datname LIKE '{database.name}\\_%'").splitlines():
        database.server.psql(f'DROP DATABASE "{name}" WITH (FORCE)')


def refused(work: Callable[[], object]) -> DbmigrationError:
    with pytest.raises(DbmigrationError) as caught:
        work()
    return caught.value


def test_restored_swapped_and_the_file_that_lost_data_does_not_run_again(case: Case) -> None:
    restored = case.restored()
    assert (restored.rows >= 100, case.into.psql("SELECT count(*) FROM orders"), case.live.psql("SELECT count(*) FROM orders")) == (
        True,
        "100",
        "10",
    )
    done = case.swap(restored).swapped
    assert done is not None
    assert done.set_aside == ("002_tidy.sql",)
    assert case.live.psql("SELECT count(*) FROM orders") == "100"
    assert case.databases() == [case.live.name, str(done.old_database)]
    status, said = case.apply()
    assert (status, "RolledBack" in said, case.live.psql("SELECT count(*) FROM orders")) == (1, True, "100")
    (case.folder / "002_tidy.sql").write_text("ALTER TABLE orders ADD COLUMN note text;\n")
    assert case.apply()[0] == 0
    assert case.live.psql("SELECT count(*) FROM orders") == "100"


def test_a_restore_whose_report_was_lost_is_found_and_not_done_again(case: Case) -> None:
    first = case.restored()
    case.said.clear()
    again = case.restore()
    assert again.restored == first
    assert again.backup is not None
    assert any("by an earlier attempt" in line for line in case.said)


def test_a_database_of_that_name_which_is_not_ours_is_left_alone(case: Case) -> None:
    case.restored()
    other = case.request.resource.model_copy(update={"uid": "uid-of-another"})
    assert refused(lambda: case.restore(resource=other)).reason is Reason.SPEC_INVALID
    case.into.psql(f"COMMENT ON DATABASE {case.into.name} IS 'somebody''s'")
    assert refused(case.restore).reason is Reason.SPEC_INVALID
    assert case.into.psql("SELECT count(*) FROM orders") == "100"


def test_a_swap_whose_report_was_lost_is_found_and_not_done_again(case: Case) -> None:
    restored, before = case.restored(), case.identity()
    first = case.swap(restored).swapped
    again = case.swap(restored, live_identity=before).swapped
    assert first is not None
    assert again is not None
    assert (again.name, again.old_database) == (first.name, first.old_database)
    assert len(case.databases()) == 2


def test_what_was_put_in_the_restored_ones_place_is_not_swapped_in(case: Case) -> None:
    restored = case.restored()
    case.live.psql(f"DROP DATABASE {case.into.name}")
    assert refused(lambda: case.swap(restored)).reason is Reason.SWAP_FAILED
    case.live.psql(f"CREATE DATABASE {case.into.name} OWNER {OWNER}")
    error = refused(lambda: case.swap(restored))
    assert isinstance(error, Permanent)
    assert (error.reason, "made since" in error.message) == (Reason.SWAP_FAILED, True)
    assert case.live.psql("SELECT count(*) FROM orders") == "10"


def test_a_secret_that_leads_elsewhere_now_replaces_no_other_database(case: Case) -> None:
    restored = case.restored()
    assert refused(lambda: case.swap(restored, live_name="shop")).reason is Reason.SWAP_FAILED
    assert refused(lambda: case.swap(restored, restored_identity=f"1/{restored.identity}")).reason is Reason.SWAP_FAILED
    assert case.live.psql("SELECT count(*) FROM orders") == "10"


def test_another_resources_database_is_neither_restored_for_nor_swapped(case: Case) -> None:
    restored = case.restored()
    with case.live.connect() as session:
        claim.write(session, HISTORY, claim.Owner("studio", "other"), run_id="r")
    assert refused(case.restore).reason is Reason.DATABASE_CLAIMED
    assert refused(lambda: case.swap(restored)).reason is Reason.DATABASE_CLAIMED
    assert case.swap(restored, claimed_by="studio/other").swapped is not None


def test_the_claim_is_the_resources_afterwards(case: Case) -> None:
    with case.live.connect() as session:
        claim.write(session, HISTORY, claim.Owner("studio", "studio", "uid-m"), run_id="r")
    case.swap(case.restored())
    with case.live.connect() as session:
        text = session.query("SELECT value FROM dbmigration.meta WHERE key = 'claim'")[0][0]
        found = claim.read(text, session.server.identity)
    assert found is not None
    assert str(found.owner) == "studio/studio"


def test_a_restore_waits_for_a_run_and_lets_none_begin(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "RESTORE_LOCK_WAIT_S", 0.0)
    with case.live.connect() as session:
        lock.acquire(session, wait_s=0, on_wait=case.said.append)
        error = refused(case.restore)
    assert isinstance(error, Transient)
    assert (error.reason, case.databases()) == (Reason.LOCK_HELD, [case.live.name])

    seen: list[int] = []
    real = restore_module.restore_backup

    def meanwhile(*given: object, **options: object) -> object:
        seen.append(case.apply("--wait", "0s")[0])
        return real(*given, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(restore_module, "restore_backup", meanwhile)
    case.restored()
    assert seen == [3], "try again later: the lock is held"


def test_a_damaged_or_missing_backup_leaves_nothing(case: Case) -> None:
    case.dump.write_bytes(case.dump.read_bytes()[:-1])
    assert refused(case.restore).reason is Reason.RESTORE_FAILED
    case.dump.unlink()
    assert refused(case.restore).reason is Reason.RESTORE_FAILED
    assert case.databases() == [case.live.name]


def test_a_stop_leaves_nothing(case: Case) -> None:
    stop, done = StopRequest(), StepDone()

    def say(line: str) -> None:
        if "comparing" in line:
            stop.set()

    error = refused(lambda: restore_step(case.request, case.live.conninfo(), case.dump, done, say, stop))
    assert (error.reason, done.restored, case.databases()) == (Reason.INTERRUPTED, None, [case.live.name])


def test_the_note_goes_and_the_databases_own_comment_comes(case: Case) -> None:
    case.live.psql(f"COMMENT ON DATABASE {case.live.name} IS 'the shop''s'")
    told = f"SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = '{case.live.name}'"
    restored = case.restored()
    assert '"uid": "uid-r"' in case.live.psql(told.replace(f"= '{case.live.name}'", f"= '{case.into.name}'"))
    case.swap(restored)
    assert case.live.psql(told) == "the shop's"


def test_a_backup_from_before_the_first_migration(case: Case, tmp_path: Path, database_factory: Callable[[], Database]) -> None:
    """The restored database has nothing of ours: what must not run again is recorded there all the same."""
    empty = path_of(back_up(database_factory(), tmp_path))
    done = replace(case, dump=empty).swap(replace(case, dump=empty).restored()).swapped
    assert done is not None
    assert done.set_aside == ("001_orders.sql", "002_tidy.sql")
    status, said = case.apply()
    assert (status, "RolledBack" in said) == (1, True)
    assert case.apply("--reapply")[0] == 0


def test_slots_are_no_obstacle_when_a_person_says_so(case: Case) -> None:
    restored = case.restored()
    case.live.psql("CREATE SUBSCRIPTION feed CONNECTION 'dbname=x' PUBLICATION p WITH (connect = false, slot_name = NONE)")
    assert refused(lambda: case.swap(restored)).reason is Reason.SWAP_FAILED
    done = case.swap(restored, allow_slots=True).swapped
    assert done is not None
    Database(case.live.server, str(done.old_database)).psql("DROP SUBSCRIPTION feed")


def test_a_stop_before_the_renames_changes_nothing(case: Case) -> None:
    restored, stop = case.restored(), StopRequest()
    request = case.request.model_copy(update={"step": RestoreStep.SWAP, "restored_identity": restored.identity})

    def say(line: str) -> None:
        if "sessions to end" in line:
            stop.set()

    error = refused(lambda: swap_step(request, case.live.conninfo(), StepDone(), say, stop))
    assert error.reason is Reason.INTERRUPTED
    assert case.live.psql("SELECT count(*) FROM orders") == "10"
