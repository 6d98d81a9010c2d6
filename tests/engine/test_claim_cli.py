"""dbmigration claim: whose a database is, and the release of a claim that names its owner."""

from dataclasses import replace
from pathlib import Path

import pytest

from dbmigration.api.reasons import Reason
from dbmigration.postgres import lock
from dbmigration.postgres.claim import Owner
from dbmigration.postgres.session import connect
from dbmigration.postgres.settings import Settings
from dbmigration.run.claiming import Claimed, look_at_claim, release_claim
from dbmigration.run.engine import Engine
from dbmigration.run.options import RunOptions
from dbmigration.run.result import RunResult
from dbmigration.run.stop import StopRequest
from tests.engine.command_line import dbmigration
from tests.engine.conftest import Database
from tests.engine.support import write_files

FIRST, SECOND = Owner("studio", "studio", "uid-1"), Owner("other", "studio", "uid-2")


def engine(database: Database, folder: Path, owner: Owner | None = None, **options: object) -> Engine:
    asked = replace(RunOptions(directory=folder, run_id="test", owner=owner, lock_wait=0), **options)  # type: ignore[arg-type]
    return Engine(asked, database.conninfo(), lambda _: None, StopRequest())


def run(database: Database, folder: Path, owner: Owner, name: str, **options: object) -> RunResult:
    write_files(folder, {name: f"CREATE TABLE {name[4:-4]} (id int);"})
    return engine(database, folder, owner, **options).run()


@pytest.fixture
def claimed(database: Database, tmp_path: Path) -> Path:
    """A folder whose first file the first owner has applied."""
    assert run(database, tmp_path, FIRST, "001_a.sql").succeeded
    return tmp_path


def test_a_database_of_nobody_says_so(database: Database, tmp_path: Path) -> None:
    assert look_at_claim(engine(database, tmp_path))[1] == Claimed(None)
    told = dbmigration(database, "claim")
    assert (told.status, told.out.splitlines()[0]) == (0, "No resource has claimed this database.")
    assert dbmigration(database, "claim", "--release", "studio/studio").status == 1


def test_the_claim_is_shown_with_its_time_and_the_owner_before(database: Database, claimed: Path) -> None:
    _, found = look_at_claim(engine(database, claimed))
    assert (found.owner, found.taken.run_id, found.taken.before) == ("studio/studio", "test", None)
    assert run(database, claimed, SECOND, "002_b.sql", claimed_by="studio/studio").succeeded
    _, found = look_at_claim(engine(database, claimed))
    assert (found.owner, found.taken.before) == ("other/studio", "studio/studio")
    told = dbmigration(database, "claim")
    assert told.out.startswith("other/studio migrates this database since ")
    assert "before that, studio/studio did" in told.out


def test_only_the_claim_of_the_named_owner_is_released_and_then_the_next_one_claims(database: Database, claimed: Path) -> None:
    refused = release_claim(engine(database, claimed), "other/studio")
    assert refused.reason is Reason.DATABASE_CLAIMED
    assert run(database, claimed, SECOND, "002_b.sql").reason is Reason.DATABASE_CLAIMED
    told = dbmigration(database, "claim", "--release", "studio/studio")
    assert told.status == 0, told.err
    assert (
        database.psql("SELECT kind || ' ' || ((detail ->> 'before')::jsonb ->> 'name') FROM dbmigration.event ORDER BY id DESC LIMIT 1")
        == "released studio"
    )
    assert run(database, claimed, SECOND, "002_b.sql").succeeded
    assert look_at_claim(engine(database, claimed))[1].owner == "other/studio"


def test_no_claim_is_released_while_a_run_is_at_work(database: Database, claimed: Path) -> None:
    with connect(database.conninfo(), application_name="other", settings=Settings()) as session:
        lock.acquire(session, wait_s=0, on_wait=lambda _: None)
        assert release_claim(engine(database, claimed), "studio/studio").reason is Reason.LOCK_HELD
    assert look_at_claim(engine(database, claimed))[1].owner == "studio/studio"
