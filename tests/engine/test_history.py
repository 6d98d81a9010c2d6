"""The history table and what stands beside it: adopted, refused, moved, missing, written as whoever."""

from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from dbmigration.api.reasons import Reason
from dbmigration.errors import DbmigrationError, Permanent, Transient
from dbmigration.migrations.model import History, HistoryTable
from dbmigration.postgres.applied import applied_names as applied_names_of
from dbmigration.postgres.apply import RolledBackBy, rollback_file
from dbmigration.postgres.conninfo import ConnInfo
from dbmigration.postgres.history import read_history
from dbmigration.postgres.session import connect
from dbmigration.postgres.settings import Execution, Settings
from dbmigration.postgres.sizes import column_values, row_counts, table_sizes
from dbmigration.postgres.temporary import definition_of
from tests.engine.conftest import Database
from tests.engine.support import OUR_TABLE, applied_names, apply_all, apply_pending, dump_schema, history_of, roll_back, write_files

ONE = {"001_one.sql": "CREATE TABLE one (id int);\n", "rollback-001.sql": "DROP TABLE one;\n"}
TWO = {"002_two.sql": "CREATE TABLE two (id int);\n", "rollback-002.sql": "DROP TABLE two;\n"}


def refused(database: Database, table: HistoryTable) -> DbmigrationError:
    with pytest.raises(DbmigrationError) as caught, database.connect() as session:
        read_history(session, table)
    return caught.value


def test_an_empty_database_has_an_empty_history_and_reading_it_writes_nothing(database: Database) -> None:
    before = dump_schema(database, without=())
    assert history_of(database) == History()
    assert history_of(database, HistoryTable("nowhere", "x")) == History()
    assert dump_schema(database, without=()) == before


@pytest.mark.parametrize(
    "columns",
    ["version bigint PRIMARY KEY, dirty boolean NOT NULL", "version varchar PRIMARY KEY", "id int, migration_name text", "a int", ""],
    ids=["golang-migrate", "rails-dbmate", "two-of-three", "some", "none"],
)
def test_foreign_schema_migrations_is_refused_and_never_altered(database: Database, tmp_path: Path, columns: str) -> None:
    database.psql(f"CREATE TABLE public.schema_migrations ({columns}); ALTER TABLE public.schema_migrations OWNER TO platform_owner")
    before = dump_schema(database, without=())
    assert refused(database, HistoryTable("public", "schema_migrations")).reason is Reason.HISTORY_FOREIGN
    files = write_files(tmp_path, ONE | {"dbmigration.toml": '[history]\nschema = "public"\ntable = "schema_migrations"\n'})
    with pytest.raises(Permanent) as caught:
        apply_all(database, files)
    assert caught.value.reason is Reason.HISTORY_FOREIGN
    assert dump_schema(database, without=()) == before


def test_a_foreign_table_that_the_first_file_itself_makes_rolls_that_file_back(database: Database, tmp_path: Path) -> None:
    text = "CREATE TABLE public.schema_migrations (version text PRIMARY KEY);\n"
    files = write_files(tmp_path, {"001_one.sql": text, "dbmigration.toml": '[history]\nschema = "public"\ntable = "schema_migrations"\n'})
    with pytest.raises(Permanent) as caught:
        apply_all(database, files)
    assert caught.value.reason is Reason.HISTORY_FOREIGN
    assert database.psql("SELECT to_regclass('public.schema_migrations') IS NULL") == "t"


def test_a_table_made_by_hand_without_its_constraints_and_with_another_owner_is_adopted(database: Database, tmp_path: Path) -> None:
    database.psql(
        "CREATE TABLE public.schema_migrations (applied_at timestamptz DEFAULT now(), migration_name text, id bigserial);"
        "INSERT INTO public.schema_migrations (migration_name) VALUES ('001_one.sql'), ('001_one.sql');"
        "GRANT SELECT, INSERT ON public.schema_migrations TO platform_owner;"
        "GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO platform_owner"
    )
    table = HistoryTable("public", "schema_migrations")
    files = write_files(tmp_path, ONE | TWO | {"dbmigration.toml": '[history]\nschema = "public"\ntable = "schema_migrations"\n'})
    assert [(row.name, row.checksum) for row in history_of(database, table).applied] == [("001_one.sql", None)]
    assert apply_all(database, files).files == ["002_two.sql"]
    assert [(row.name, row.checksum) for row in history_of(database, table).applied] == [
        ("001_one.sql", None),
        ("002_two.sql", files.files[1].checksum),
    ]
    assert database.psql("SELECT tableowner FROM pg_tables WHERE tablename = 'schema_migrations'") == "postgres"


def test_an_adopted_table_is_never_dropped_and_the_rollback_that_needs_it_gone_says_so(database: Database, tmp_path: Path) -> None:
    database.psql(
        "CREATE SCHEMA app; CREATE TABLE app.h (id serial, migration_name text, applied_at timestamptz DEFAULT now());"
        "INSERT INTO app.h (migration_name) VALUES ('001_app.sql'); ALTER SCHEMA app OWNER TO platform_owner;"
        "ALTER TABLE app.h OWNER TO platform_owner"
    )
    files = write_files(
        tmp_path,
        {
            "001_app.sql": "CREATE SCHEMA app;\n",
            "rollback-001.sql": "DROP SCHEMA app;\n",
            "dbmigration.toml": '[history]\nschema = "app"\ntable = "h"\n',
        },
    )
    with pytest.raises(Permanent) as caught, database.connect() as session:
        roll_back(session, files, "001_app.sql")
    assert (caught.value.reason, caught.value.place.sqlstate) == (Reason.SQL_FAILED, "2BP01")
    assert "app.h" in caught.value.message
    assert applied_names(database, HistoryTable("app", "h")) == ["001_app.sql"]


def test_a_table_that_others_depend_on_has_nothing_to_do_with_the_history(database: Database, tmp_path: Path) -> None:
    files = write_files(
        tmp_path,
        {
            "001_a.sql": "CREATE TABLE a (id int PRIMARY KEY);\nCREATE TABLE b (a int REFERENCES a);\n",
            "rollback-001.sql": "DROP TABLE a;\n",
            "002_b.sql": "SELECT 1;\n",
        },
    )
    apply_all(database, files)
    with pytest.raises(Permanent) as caught, database.connect() as session:
        roll_back(session, files, "001_a.sql")
    assert (caught.value.place.sqlstate, caught.value.place.line) == ("2BP01", 1)
    assert "history" not in caught.value.message


def test_a_right_that_is_missing_on_the_history_rolls_the_file_back_and_is_for_a_person_to_grant(
    database: Database, tmp_path: Path
) -> None:
    database.psql(
        "CREATE TABLE public.h (id serial, migration_name text, applied_at timestamptz DEFAULT now());"
        "GRANT SELECT ON public.h TO platform_owner"
    )
    files = write_files(tmp_path, ONE | {"dbmigration.toml": '[history]\nschema = "public"\ntable = "h"\n'})
    with pytest.raises(Transient) as caught:
        apply_all(database, files)
    assert (caught.value.reason, caught.value.place.sqlstate, caught.value.place.file) == (Reason.PERMISSION_DENIED, "42501", "001_one.sql")
    assert database.psql("SELECT to_regclass('one') IS NULL") == "t"
    database.psql("GRANT INSERT ON public.h TO platform_owner; GRANT USAGE ON SEQUENCE public.h_id_seq TO platform_owner")
    assert apply_all(database, files).files == ["001_one.sql"]


def test_another_place_is_refused_once_files_are_recorded(database: Database, tmp_path: Path) -> None:
    apply_all(database, write_files(tmp_path, ONE))
    assert refused(database, HistoryTable("public", "other")).reason is Reason.HISTORY_MOVED
    assert database.psql("SELECT to_regclass('public.other') IS NULL") == "t"


def test_a_history_that_vanished_is_not_taken_for_an_empty_database(database: Database, tmp_path: Path) -> None:
    apply_all(database, write_files(tmp_path, ONE))
    database.psql("DROP TABLE dbmigration.schema_migrations")
    assert refused(database, OUR_TABLE).reason is Reason.HISTORY_MOVED


def test_a_layout_of_a_newer_version_is_refused(database: Database, tmp_path: Path) -> None:
    apply_all(database, write_files(tmp_path, ONE))
    database.psql("UPDATE dbmigration.meta SET value = '999' WHERE key = 'layout'")
    assert refused(database, OUR_TABLE).reason is Reason.HISTORY_FOREIGN


def test_a_role_that_may_not_read_the_history_is_told_so(database: Database, tmp_path: Path) -> None:
    apply_all(database, write_files(tmp_path, ONE))
    database.psql("ALTER TABLE dbmigration.checksum OWNER TO postgres; REVOKE ALL ON dbmigration.checksum FROM platform_owner")
    error = refused(database, OUR_TABLE)
    assert (type(error), error.reason) == (Transient, Reason.PERMISSION_DENIED)


@pytest.mark.parametrize("place", ['schema = "made", table = "h"', 'schema = "Odd \\" schema", table = "Odd table\'s"'])
def test_the_history_schema_may_be_made_by_us(database: Database, tmp_path: Path, place: str) -> None:
    files = write_files(tmp_path, ONE | {"dbmigration.toml": f"history = {{ {place} }}\n"})
    apply_all(database, files)
    table = files.config.history
    assert table is not None
    assert [row.name for row in history_of(database, table).applied] == ["001_one.sql"]
    with database.connect() as session:
        roll_back(session, files, "001_one.sql")
    assert history_of(database, table).applied == ()


@pytest.mark.parametrize("cascade", ["", " CASCADE"])
def test_a_file_that_makes_the_schema_of_the_history_can_be_rolled_back_and_applied_again(
    database: Database, tmp_path: Path, cascade: str
) -> None:
    files = write_files(
        tmp_path,
        {
            "001_app.sql": "CREATE SCHEMA app;\n",
            "rollback-001.sql": f"DROP SCHEMA app{cascade};\n",
            "dbmigration.toml": '[history]\nschema = "app"\ntable = "h"\n',
        },
    )
    with database.connect() as session:
        for _ in range(2):
            assert apply_pending(session, files, reapply_rolled_back=True).files == ["001_app.sql"]
            roll_back(session, files, "001_app.sql")
            assert database.psql("SELECT to_regnamespace('app') IS NULL") == "t"
    assert database.psql("SELECT string_agg(kind, ' ' ORDER BY id) FROM dbmigration.event") == "applied rolled_back applied rolled_back"


def test_a_rollback_that_fails_changes_nothing(database: Database, tmp_path: Path) -> None:
    files = write_files(tmp_path, ONE | {"rollback-001.sql": "DROP TABLE one;\nDROP TABLE nothing;\n"})
    apply_all(database, files)
    with pytest.raises(Permanent) as caught, database.connect() as session:
        roll_back(session, files, "001_one.sql")
    assert (caught.value.reason, caught.value.place.file, caught.value.place.line) == (Reason.SQL_FAILED, "rollback-001.sql", 2)
    assert applied_names(database) == ["001_one.sql"]
    assert history_of(database).rolled_back == {}
    assert database.psql("SELECT to_regclass('one') IS NOT NULL") == "t"


def test_a_rollback_that_is_missing_is_refused(database: Database, tmp_path: Path) -> None:
    files = write_files(tmp_path, {"001_one.sql": ONE["001_one.sql"]})
    apply_all(database, files)
    with pytest.raises(Permanent) as caught, database.connect() as session:
        roll_back(session, files, "001_one.sql")
    assert caught.value.reason is Reason.ROLLBACK_MISSING


def test_what_a_person_rolled_back_stays_so_and_what_a_failed_run_undid_is_pending_again(database: Database, tmp_path: Path) -> None:
    files = write_files(tmp_path, ONE | TWO)
    with database.connect() as session:
        apply_pending(session, files)
        for file, by in ((files.files[1], RolledBackBy.FAILED_RUN), (files.files[0], RolledBackBy.PERSON)):
            rollback_file(session, file, table=OUR_TABLE, execution=Execution(), run_id="r", on_progress=lambda _: None, by=by)
        assert read_history(session, OUR_TABLE).rolled_back == {"001_one.sql": files.files[0].checksum}
        with pytest.raises(Permanent) as caught:
            apply_pending(session, files)
        assert caught.value.reason is Reason.ROLLED_BACK
        assert apply_pending(session, files, reapply_rolled_back=True).files == ["001_one.sql", "002_two.sql"]
        assert read_history(session, OUR_TABLE).rolled_back == {}


def test_events_name_the_actor_whom_the_session_was_told(database: Database, tmp_path: Path) -> None:
    settings = Settings(actor="namespace/it's a name\\")
    with connect(database.conninfo(), application_name="x", settings=settings) as session:
        files = write_files(tmp_path, ONE)
        apply_pending(session, files, run_id="run'1")
        roll_back(session, files, "001_one.sql")
    assert database.psql("SELECT actor, run_id, kind FROM dbmigration.event ORDER BY id").split("\n") == [
        "namespace/it's a name\\|run'1|applied",
        "namespace/it's a name\\|test-rollback|rolled_back",
    ]


def test_four_thousand_rows_are_read_in_order(database: Database, tmp_path: Path) -> None:
    apply_all(database, write_files(tmp_path, {"0000_first.sql": "SELECT 1;\n"}))
    database.psql(
        "INSERT INTO dbmigration.schema_migrations (migration_name)"
        " SELECT lpad(n::text, 4, '0') || '_x.sql' FROM generate_series(4000, 1, -1) n;"
        "INSERT INTO dbmigration.checksum SELECT migration_name, 'sha256-text-v1', 'c', 1 FROM dbmigration.schema_migrations WHERE id > 1"
    )
    names = [row.name for row in history_of(database).applied]
    assert names == ["0000_first.sql", *(f"{n:04d}_x.sql" for n in range(4000, 0, -1))]


def test_nothing_to_do_costs_no_write_and_few_messages(database: Database, tmp_path: Path) -> None:
    files = write_files(tmp_path, ONE | TWO)
    apply_all(database, files)
    with database.connect("dbmigration/idle") as session:
        assert apply_pending(session, files).files == []
        assert session.query("SELECT pg_current_xact_id_if_assigned()") == [(None,)]
    assert database.statements_of("dbmigration/idle").count("LOG:  statement:") < 10


def test_an_application_that_may_not_wait_for_the_history_is_told_so_without_a_value(database: Database) -> None:
    database.psql("CREATE TABLE locked (migration_name text); GRANT SELECT ON locked TO PUBLIC")
    asked = ConnInfo({**database.conninfo().parameters, "options": "-c lock_timeout=50ms"})
    with psycopg.connect(database.dsn, user="postgres") as other:
        other.execute("LOCK TABLE locked IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(Transient) as caught:
            applied_names_of(asked, HistoryTable("public", "locked"))
    assert caught.value.reason is Reason.DATABASE_UNAVAILABLE
    assert "55P03" in caught.value.message


def test_sizes_of_what_is_not_there(database: Database) -> None:
    with database.connect() as session:
        assert row_counts(session) == {}
        session.query("CREATE SCHEMA app")
        session.query("CREATE TABLE app.t (id int)")
        found = table_sizes(session, ["app.t", "app.nothing"])
        assert list(found) == ["app.t"]
        assert column_values(session, found["app.t"], "nothing") is None


def test_a_database_with_a_locale_of_icu_is_made_again_like_that(database_factory: Callable[[], Database]) -> None:
    database = database_factory()
    name = f"{database.name}_icu"
    database.psql(f"CREATE DATABASE {name} TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'de-DE' OWNER platform_owner")
    try:
        with Database(database.server, name).connect() as session:
            options = definition_of(session).options
        database.psql(f"CREATE DATABASE {name}_2 {options}")
        assert database.psql(f"SELECT datlocprovider, daticulocale FROM pg_database WHERE datname = '{name}_2'") == "i|de-DE"
    finally:
        for made in (name, f"{name}_2"):
            database.psql(f"DROP DATABASE IF EXISTS {made}")
