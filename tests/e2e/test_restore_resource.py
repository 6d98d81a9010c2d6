"""DatabaseRestore on a real cluster: a migration loses data, and the backup before it brings every row back."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final

import pytest

from dbmigration.api.conditions import ConditionType
from dbmigration.api.names import RESTORE_UID_LABEL
from dbmigration.api.reasons import Reason
from dbmigration.postgres.lock import KEY
from tests.cluster.operator import InstalledOperator
from tests.cluster.postgres import psql
from tests.cluster.steps import wait_until
from tests.e2e.databases import WAIT_AT_GATE, Owned
from tests.e2e.prometheus import scrape, total
from tests.e2e.restart import restart_operator
from tests.e2e.restores import Restore, suspend
from tests.e2e.studio import CLAIM_NAME, REQUIRE_BACKUP, Studio
from tests.e2e.volume import run_on_volume

FIRST: Final = {
    "001_orders.sql": "CREATE TABLE orders (id int PRIMARY KEY, what text);\n"
    "INSERT INTO orders SELECT g, md5(g::text) FROM generate_series(1, 1000) AS g;"
}
LOSES: Final = {"002_tidy.sql": "DELETE FROM orders WHERE id > 10;\nALTER TABLE orders DROP COLUMN what;"}
MENDED: Final = {"002_tidy.sql": "ALTER TABLE orders ADD COLUMN note text;"}
NO_LINT: Final[dict[str, Any]] = {"failOn": "never"}
EVERY_ROW: Final = "SELECT id, what FROM orders ORDER BY id"


@dataclass(frozen=True)
class Lossy:
    """Two migrations were applied, with a backup before each, and the second lost data. `whole`: every row before it."""

    studio: Studio
    whole: list[str]

    @property
    def into(self) -> str:
        return f"{self.studio.database.name}_restored"

    def rows_in(self, database: str) -> list[str]:
        """Every row of the table in another database of the server."""
        return psql(self.studio.cluster, replace(self.studio.database.admin, database=database), EVERY_ROW).splitlines()

    def databases(self) -> list[str]:
        """Every database whose name begins like ours, or that is of an unfinished restore."""
        name = self.studio.database.name
        return self.studio.database.administer(
            f"SELECT datname FROM pg_database WHERE starts_with(datname, '{name}') OR starts_with(datname, 'dbmigration_') ORDER BY 1"
        )


@pytest.fixture
def lossy(studio: Studio) -> Lossy:
    return lose(studio)


def lose(studio: Studio, **backup: Any) -> Lossy:
    studio.put_volume()
    studio.start(FIRST, backup=REQUIRE_BACKUP | backup, lint=NO_LINT)
    whole = studio.database.rows(EVERY_ROW)
    studio.put_files(FIRST | LOSES)
    studio.wait_ready(version="002")
    assert (len(whole), studio.database.rows("SELECT count(*) FROM orders")) == (1000, ["10"])
    return Lossy(studio, whole)


def may_make_databases(studio: Studio) -> None:
    studio.database.administer(f'ALTER ROLE "{studio.database.user}" CREATEDB')


def test_every_row_comes_back_and_what_lost_them_does_not_run_again(lossy: Lossy) -> None:
    studio, database, restore = lossy.studio, lossy.studio.database, Restore(lossy.studio, "back")
    may_make_databases(studio)
    before = studio.look()
    restore.make(lossy.into)
    watched = studio.plugin("watch", "dbr/back")
    assert watched.returncode == 0, watched.stderr
    assert "Running: restore, attempt 1" in watched.stdout
    assert "Ready  Restored" in watched.stdout
    restored = restore.wait_ready(Reason.RESTORED)
    assert restored.status.restored is not None
    assert restored.status.restored.name == lossy.into
    assert restored.status.restored.rows >= len(lossy.whole)
    assert before.status.backup is not None
    assert restored.status.backup_uri == before.status.backup.uri
    assert lossy.rows_in(lossy.into) == lossy.whole
    assert database.rows("SELECT count(*) FROM orders") == ["10"], "the database in use is not touched"
    tested = studio.wait(lambda seen: seen.status.backup is not None and seen.status.backup.restored_at is not None, "a tested backup")
    assert tested.status.backup is not None
    assert tested.status.backup.restored_at == restored.status.restored.completed_at
    assert (tested.ready, tested.status.run) == (True, before.status.run), "and nothing else changes"

    restore.patch(swap=True)
    waits = restore.wait_reason(Reason.MIGRATION_NOT_SUSPENDED)
    assert f"kubectl patch -n {studio.namespace} dbm studio" in waits.message
    assert lossy.databases() == [database.name, lossy.into]
    suspend(studio)
    swapped = restore.wait_ready(Reason.SWAPPED)
    assert swapped.true(ConditionType.SWAPPED)
    assert swapped.status.swapped is not None
    assert swapped.status.swapped.set_aside == ("002_tidy.sql",)
    old = str(swapped.status.swapped.old_database)
    assert lossy.databases() == [database.name, old]
    assert database.rows(EVERY_ROW) == lossy.whole
    assert database.history() == ["001_orders.sql"]
    assert psql(studio.cluster, replace(database.admin, database=old), "SELECT count(*) FROM orders").split() == ["10"]

    # What the resource said of the old database is gone, and the very file that lost data does not run again by itself.
    forgotten = studio.wait(lambda seen: seen.status.replaced is not None and seen.reason == Reason.SUSPENDED, "Suspended after the swap")
    assert forgotten.status.version is None
    assert forgotten.status.replaced is not None
    assert forgotten.status.replaced.by == "back"
    suspend(studio, suspended=False)
    refused = studio.wait_reason(Reason.ROLLED_BACK, stalled=True)
    assert "002_tidy.sql" in refused.message
    assert database.rows(EVERY_ROW) == lossy.whole

    studio.put_files(FIRST | MENDED)
    seen = studio.wait_ready(version="002")
    assert database.rows("SELECT count(*), count(what), count(note) FROM orders") == ["1000|1000|0"]
    assert seen.status.database is not None
    assert seen.status.database.claim == f"{studio.namespace}/studio"
    assert before.status.database is not None
    assert seen.status.database.identity != before.status.database.identity
    database.administer(f'DROP DATABASE "{old}"')


def test_a_backup_that_is_damaged_or_not_there_leaves_nothing(lossy: Lossy, operator: InstalledOperator) -> None:
    studio = lossy.studio
    gone, damaged = Restore(studio, "gone"), Restore(studio, "damaged")
    may_make_databases(studio)
    gone.make(lossy.into, {"uri": f"pvc://{CLAIM_NAME}/studio/nothing.dump"})
    assert "nothing.dump" in gone.wait_stalled(Reason.RESTORE_FAILED).message
    status = studio.plugin("status", "databaserestore/gone").stdout
    assert "Stalled  RestoreFailed" in status
    assert f"into        {lossy.into}" in status
    assert studio.plugin("watch", "dbr/gone").returncode == 1
    metrics = scrape(studio.cluster, operator)
    assert total(metrics, "dbmigration_restore_condition", namespace=studio.namespace, name="gone", type="Stalled") == 1
    assert total(metrics, "dbmigration_restore_runs_total", namespace=studio.namespace, migration="studio", outcome="Failed") == 1

    backup = studio.look().status.backup
    assert backup is not None
    dump = backup.uri.removeprefix(f"pvc://{CLAIM_NAME}/")
    flip = f"printf X | dd of=/volume/{dump} bs=1 seek=$(($(stat -c %s /volume/{dump}) / 2)) conv=notrunc status=none"
    run_on_volume(studio.cluster, studio.namespace, CLAIM_NAME, flip)
    damaged.make(lossy.into)
    failed = damaged.wait_stalled(Reason.RESTORE_FAILED)
    assert "its bytes changed after the backup" in failed.message
    found = failed.condition(ConditionType.RESTORED)
    assert found is not None
    assert found.status == "False"
    assert lossy.databases() == [studio.database.name]
    assert studio.database.rows("SELECT count(*) FROM orders") == ["10"]


def test_a_role_that_may_not_make_databases_may_later(lossy: Lossy) -> None:
    restore = Restore(lossy.studio, "back")
    restore.make(lossy.into)
    restore.wait_stalled(Reason.PERMISSION_DENIED)
    may_make_databases(lossy.studio)
    lossy.studio.kubectl("annotate", "dbr", "back", "dbmigration.dev/retry=now")
    restore.wait_ready(Reason.RESTORED)
    assert lossy.rows_in(lossy.into) == lossy.whole
    lossy.studio.database.administer(f'DROP DATABASE "{lossy.into}"')


def test_a_backup_as_a_folder_comes_back_with_several_connections(studio: Studio) -> None:
    lossy, restore = lose(studio, format="Directory", jobs=2), Restore(studio, "back")
    may_make_databases(studio)
    restore.make(lossy.into, jobs=2)
    restore.wait_ready(Reason.RESTORED)
    assert lossy.rows_in(lossy.into) == lossy.whole
    studio.database.administer(f'DROP DATABASE "{lossy.into}"')


def test_a_restore_waits_for_a_migration(lossy: Lossy) -> None:
    studio, restore = lossy.studio, Restore(lossy.studio, "back")
    may_make_databases(studio)
    studio.database.close_gate()
    studio.put_files(FIRST | LOSES | {"003_slow.sql": WAIT_AT_GATE})
    studio.database.wait_for_runner_at_gate()
    backup = studio.look().status.runs[0].backup_uri
    restore.make(lossy.into, {"uri": str(backup)})
    assert "DatabaseMigration studio" in restore.wait_reason(Reason.MIGRATION_RUNNING).message
    assert lossy.databases() == [studio.database.name]
    studio.database.open_gate()
    restore.wait_ready(Reason.RESTORED)
    assert lossy.rows_in(lossy.into) == lossy.whole
    lossy.studio.database.administer(f'DROP DATABASE "{lossy.into}"')


def test_a_migration_waits_for_a_restore(lossy: Lossy) -> None:
    studio, restore = lossy.studio, Restore(lossy.studio, "back")
    may_make_databases(studio)
    with lock_held(studio.database):
        restore.make(lossy.into)
        restore.wait_for_the_lock()
        studio.put_files(FIRST | LOSES | {"003_more.sql": "CREATE TABLE more (id int);"})
        assert "DatabaseRestore back" in studio.wait_reason(Reason.RESTORE_RUNNING, stalled=False).message
        assert studio.database.tables() == ["orders"]
    studio.wait_ready(version="003")
    assert restore.wait_ready(Reason.RESTORED).status.restored is not None
    assert lossy.rows_in(lossy.into) == lossy.whole
    lossy.studio.database.administer(f'DROP DATABASE "{lossy.into}"')


def test_an_operator_that_is_killed_finds_its_restore_again_and_a_deleted_one_leaves_nothing(
    lossy: Lossy, operator: InstalledOperator
) -> None:
    studio, back, given_up = lossy.studio, Restore(lossy.studio, "back"), Restore(lossy.studio, "given-up")
    may_make_databases(studio)
    with lock_held(studio.database):
        given_up.make(f"{lossy.into}_2")
        given_up.wait_for_the_lock()
        studio.kubectl("delete", "dbr", "given-up", "--timeout=60s")
        studio.kubectl("wait", "--for=delete", "pod", "-l", RESTORE_UID_LABEL, "--timeout=90s")
        back.make(lossy.into)
        back.wait_for_the_lock()
        restart_operator(studio.cluster, operator)
    back.wait_ready(Reason.RESTORED)
    assert lossy.rows_in(lossy.into) == lossy.whole
    assert len(studio.kubectl("get", "jobs", "-l", RESTORE_UID_LABEL, "-o", "name").split()) == 1
    assert lossy.databases() == [studio.database.name, lossy.into]
    studio.database.administer(f'DROP DATABASE "{lossy.into}"')


def test_what_makes_no_sense_is_refused_when_it_is_applied(studio: Studio) -> None:
    restore = Restore(studio, "back")
    both = {"latest": True, "uri": "pvc://backups/studio/1.dump"}
    for into, backup in (("new", {}), ("new", both), ("new", {"latest": False}), ("new", {"uri": "1.dump"}), ("dbmigration_x", None)):
        with pytest.raises(subprocess.CalledProcessError) as caught:
            restore.make(into, {"latest": True} if backup is None else backup)
        said = str(caught.value.output)
        assert any(words in said for words in ("exactly one of backup.latest", "pvc://CLAIM", "name of a new database")), said
    restore.make("new")
    waits = restore.wait_reason(Reason.MIGRATION_MISSING)
    assert waits.true(ConditionType.RECONCILING)
    assert "make another DatabaseRestore" in restore.refused(into="other")
    assert "make another DatabaseRestore" in restore.refused(backup={"latest": None, "uri": "pvc://backups/studio/1.dump"})
    restore.patch(swap=True)
    assert "not taken back" in restore.refused(swap=False)
    columns = studio.kubectl("get", "dbr", "back").split("\n")[0].split()
    assert columns == ["NAME", "MIGRATION", "INTO", "READY", "REASON", "TAKEN", "ROWS", "SWAPPED", "AGE"]


@contextmanager
def lock_held(database: Owned) -> Iterator[None]:
    """Somebody else's run holds the database's lock while the context lasts."""
    sql = f"SELECT pg_advisory_lock({KEY}); SELECT pg_sleep(600);"
    pod = ["-n", database.admin.namespace, f"{database.admin.name}-0", "--"]
    holder = database.cluster.start_kubectl(
        "exec", *pod, "psql", f"--username={database.admin.user}", "--host=/tmp", f"--dbname={database.name}", f"--command={sql}"
    )
    held = "FROM pg_locks AS l JOIN pg_stat_activity AS a USING (pid) WHERE l.locktype = 'advisory' AND l.granted"
    held += " AND a.application_name = 'psql' AND a.datname = current_database()"
    try:
        wait_until("the lock is held", lambda: database.administer(f"SELECT count(*) > 0 {held}") == ["t"], seconds=30)
        yield
    finally:
        database.administer(f"SELECT pg_terminate_backend(a.pid) {held}")
        holder.communicate(timeout=30)


def test_status_is_small_and_holds_no_secret(lossy: Lossy) -> None:
    restore = Restore(lossy.studio, "back")
    restore.make(lossy.into)
    restore.wait_stalled(Reason.PERMISSION_DENIED)
    shown = lossy.studio.kubectl("get", "dbr,jobs,events", "-o", "json")
    assert lossy.studio.database.password not in shown
    assert len(json.dumps(json.loads(shown)["items"][0]["status"])) < 32 * 1024
