"""dbmigration swap: a restored database in the place of the one in use, all of it or nothing."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from dbmigration.api.reasons import Reason
from dbmigration.errors import DbmigrationError, Permanent, Transient
from dbmigration.migrations.model import HistoryTable
from dbmigration.postgres import claim, lock
from dbmigration.postgres.swap import SwapPlan, _Ending, swap
from tests.engine.command_line import dbmigration, succeeds
from tests.engine.conftest import Database
from tests.engine.dumps import back_up, path_of
from tests.engine.server import OWNER, SUPERUSER, wait_until
from tests.engine.support import PLATFORM

WORDS = ("--dir", str(PLATFORM), "--environment", "production", "--no-backup")


@pytest.fixture
def pair(database_factory: Callable[[], Database]) -> Iterator[tuple[Database, Database]]:
    """The one in use and the restored one, each with a table that says which it is."""
    live, copy = database_factory(), database_factory()
    for each, what in ((live, "live"), (copy, "copy")):
        each.psql(f"CREATE TABLE which AS SELECT '{what}' AS it; ALTER TABLE which OWNER TO {OWNER}", user=OWNER)
    yield live, copy
    kept = live.server.psql(f"SELECT datname FROM pg_database WHERE datname LIKE '{live.name}\\_before\\_%'")
    for name in kept.splitlines():
        live.server.psql(f'DROP DATABASE "{name}" WITH (FORCE)')


def swapped(live: Database, copy: Database, *, user: str = OWNER, confirm: Callable[[SwapPlan], bool] = lambda _: True) -> SwapPlan | None:
    return swap(live.conninfo(user), copy.name, maintenance="postgres", wait_s=0, say=said.append, confirm=confirm)


said: list[str] = []


@pytest.fixture(autouse=True)
def nothing_said() -> None:
    said.clear()


def nothing_happened(live: Database, copy: Database) -> None:
    assert (live.psql("SELECT it FROM which"), copy.psql("SELECT it FROM which")) == ("live", "copy")


def refused(live: Database, copy: Database, *, user: str = OWNER) -> DbmigrationError:
    with pytest.raises(DbmigrationError) as caught:
        swapped(live, copy, user=user)
    nothing_happened(live, copy)
    return caught.value


def test_what_the_name_stands_for_changes_and_back_again(pair: tuple[Database, Database]) -> None:
    live, copy = pair
    done = swapped(live, copy)
    assert done is not None
    old = Database(live.server, done.kept_as)
    assert (live.psql("SELECT it FROM which"), old.psql("SELECT it FROM which")) == ("copy", "live")
    back = swapped(live, old)
    assert back is not None
    assert live.psql("SELECT it FROM which") == "live"


def test_owner_grants_limit_and_settings_go_with_the_name(pair: tuple[Database, Database]) -> None:
    live, copy = pair
    live.psql("DROP ROLE IF EXISTS reader; CREATE ROLE reader")
    live.psql(f"ALTER DATABASE {live.name} OWNER TO {SUPERUSER}")
    live.psql(f"REVOKE ALL ON DATABASE {live.name} FROM PUBLIC; GRANT CONNECT ON DATABASE {live.name} TO reader WITH GRANT OPTION")
    live.psql(f"GRANT CONNECT ON DATABASE {live.name} TO {OWNER}")
    live.psql(f"ALTER DATABASE {live.name} CONNECTION LIMIT 17")
    live.psql(f"ALTER DATABASE {live.name} SET search_path TO 'Odd, one', public")
    live.psql(f"ALTER ROLE reader IN DATABASE {live.name} SET work_mem TO '7MB'")
    copy.psql(f"GRANT TEMPORARY ON DATABASE {copy.name} TO reader; ALTER DATABASE {copy.name} SET work_mem TO '9MB'")
    told = f"""SELECT datacl, datconnlimit, pg_get_userbyid(datdba),
        (SELECT string_agg(setrole || ' ' || setconfig::text, '; ' ORDER BY setrole) FROM pg_db_role_setting WHERE setdatabase = d.oid)
        FROM pg_database AS d WHERE datname = '{live.name}'"""
    before = live.server.psql(told)
    try:
        assert swapped(live, copy, user=SUPERUSER) is not None
        assert live.server.psql(told) == before
        assert "reader=c*/" in before
    finally:
        for (name,) in [(row,) for row in live.server.psql("SELECT datname FROM pg_database WHERE datname LIKE 'test%'").splitlines()]:
            live.server.psql(f'ALTER ROLE reader IN DATABASE "{name}" RESET ALL')
            live.server.psql("DROP OWNED BY reader", database=name)
        live.server.psql("DROP ROLE reader")


def test_sessions_are_ended_and_who_comes_meanwhile_finds_the_new_one(pair: tuple[Database, Database]) -> None:
    live, copy = pair
    stop, seen, errors = threading.Event(), set[str](), list[str]()

    def application() -> None:
        while not stop.is_set():
            try:
                with psycopg.connect(live.dsn, application_name="shop") as connection:
                    seen.add(str(connection.execute("SELECT it FROM which").fetchone()))
            except psycopg.Error as error:
                errors.append(str(error))

    threads = [threading.Thread(target=application) for _ in range(4)]
    plans: list[SwapPlan] = []

    def keep(plan: SwapPlan) -> bool:
        plans.append(plan)
        return True

    with psycopg.connect(live.dsn, application_name="idle in it") as idle:
        idle.execute("SELECT it FROM which")
        for thread in threads:
            thread.start()
        try:
            assert swapped(live, copy, confirm=keep) is not None
            with pytest.raises(psycopg.OperationalError):
                idle.execute("SELECT 1")
        finally:
            stop.set()
            for thread in threads:
                thread.join()
    assert plans[0].sessions["idle in it"] == 1
    assert live.psql("SELECT it FROM which") == "copy"
    assert "('live',)" in seen


def test_the_claim_goes_with_the_name(pair: tuple[Database, Database], tmp_path: Path) -> None:
    live, copy = pair
    owner = claim.Owner("prod", "studio")
    for each in (live, copy):
        succeeds(each, "apply", *WORDS)
    with live.connect() as session:
        claim.write(session, HistoryTable("platform", "schema_migrations"), owner, run_id="r")
    assert swapped(live, copy) is not None
    ended = dbmigration(live, "apply", *WORDS)
    assert ended.status == 1
    assert "prod/studio migrates this database" in ended.err
    assert succeeds(live, "apply", *WORDS, "--claimed-by", "prod/studio").out.endswith("Nothing to do: the database is at version 004.\n")


def test_a_backup_older_than_the_claim(pair: tuple[Database, Database]) -> None:
    live, copy = pair
    with live.connect() as session:
        claim.write(session, HistoryTable("platform", "schema_migrations"), claim.Owner("prod", "studio"), run_id="r")
    assert swapped(live, copy) is not None
    assert ["the next run claims it again" in line for line in said] == [True]


def test_files_that_the_backup_has_not_are_rolled_back_there_and_the_claim_stays(pair: tuple[Database, Database]) -> None:
    live, copy = pair
    succeeds(live, "apply", *WORDS)
    with live.connect() as session:
        claim.write(session, HistoryTable("platform", "schema_migrations"), claim.Owner("prod", "studio"), run_id="r")
    done = swapped(live, copy)
    assert done is not None
    assert len(done.set_aside) == 4
    ended = dbmigration(live, "apply", *WORDS, "--claimed-by", "prod/studio")
    assert (ended.status, "RolledBack" in ended.err) == (1, True)
    assert "prod/studio migrates this database" in dbmigration(live, "apply", *WORDS).err


@contextmanager
def migrating(database: Database) -> Iterator[None]:
    with database.connect() as session:
        lock.acquire(session, wait_s=0, on_wait=said.append)
        yield


@pytest.mark.parametrize("which", [0, 1])
def test_a_running_migration_is_not_cut_off(pair: tuple[Database, Database], which: int) -> None:
    with migrating(pair[which]):
        assert refused(*pair).reason is Reason.LOCK_HELD


@pytest.mark.parametrize("which", [0, 1])
def test_a_subscription_is_named(pair: tuple[Database, Database], which: int) -> None:
    pair[which].psql("CREATE SUBSCRIPTION feed CONNECTION 'dbname=x' PUBLICATION p WITH (connect = false, slot_name = NONE)")
    try:
        error = refused(*pair)
    finally:
        pair[which].psql("DROP SUBSCRIPTION feed")
    assert isinstance(error, Permanent)
    assert f"subscription feed of {pair[which].name}" in error.message


def test_sessions_that_may_not_be_ended(pair: tuple[Database, Database]) -> None:
    live, copy = pair
    with psycopg.connect(**live.conninfo(SUPERUSER).parameters):  # type: ignore[arg-type]
        error = refused(live, copy)
    assert isinstance(error, Transient)
    assert f"the session of {SUPERUSER}" in error.message


def test_a_failed_second_rename_leaves_both_names(pair: tuple[Database, Database]) -> None:
    """The role may not rename the restored one: it does not own it. Carrying the owner over says so before anything is renamed."""
    live, copy = pair
    copy.psql(f"ALTER DATABASE {copy.name} OWNER TO {SUPERUSER}")
    assert refused(live, copy).reason is Reason.PERMISSION_DENIED


def test_the_command_line(pair: tuple[Database, Database], tmp_path: Path) -> None:
    live, _ = pair
    dump = path_of(back_up(live, tmp_path))
    live.psql("UPDATE which SET it = 'lost'")
    copy = Database(live.server, f"{live.name}_restored")
    succeeds(live, "restore", str(dump), "--into", copy.name)
    unasked = dbmigration(live, "swap", copy.name)
    assert (unasked.status, "--yes" in unasked.err) == (2, True)
    ended = succeeds(live, "swap", copy.name, "--yes")
    assert live.psql("SELECT it FROM which") == "live"
    assert f"`dbmigration swap {live.name}_before_" in ended.out
    for wrong in ("nowhere", live.name, "postgres"):
        assert dbmigration(live, "swap", wrong, "--yes").status == 2


def test_who_says_no_changes_nothing(pair: tuple[Database, Database]) -> None:
    live, copy = pair
    assert swapped(live, copy, confirm=lambda _: False) is None
    nothing_happened(live, copy)


def test_who_ends_the_sessions_and_loses_its_own_says_so(pair: tuple[Database, Database]) -> None:
    live, copy = pair
    with copy.connect("ender") as session:
        ending = _Ending(session, (live.name, copy.name))
        copy.psql(f"SELECT pg_terminate_backend({session.pid}, 5000)")
        with ending:
            wait_until(lambda: ending.refused is not None, "it notices")
    assert "connection to the database was lost" in str(ending.refused)
