"""What a snapshot of a real database's schema holds, and what it leaves out."""

from collections.abc import Callable

import pytest

from dbmigration.catalog.model import Snapshot, merge
from dbmigration.catalog.snapshot import take_snapshot
from dbmigration.migrations.model import HistoryTable
from dbmigration.postgres.session import Session
from tests.engine.conftest import Database

EVERYTHING = """
CREATE SCHEMA shop;
CREATE EXTENSION citext;
CREATE TYPE shop.status AS ENUM ('new', 'paid', 'gone');
CREATE TYPE shop.address AS (street text, zip varchar(10));
CREATE TYPE shop.span AS RANGE (subtype = date);
CREATE DOMAIN shop.email AS citext NOT NULL CONSTRAINT has_at CHECK (value ~ '@');
CREATE SEQUENCE shop.numbers START 100 INCREMENT 5;
CREATE TABLE shop.customer (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    email shop.email UNIQUE,
    name text COLLATE "C" DEFAULT 'nobody',
    upper_name text GENERATED ALWAYS AS (upper(name)) STORED,
    "Odd Name" integer
);
CREATE TABLE shop.orders (
    id serial PRIMARY KEY,
    customer_id bigint REFERENCES shop.customer ON DELETE CASCADE,
    status shop.status NOT NULL DEFAULT 'new',
    total numeric(10, 2) CONSTRAINT not_negative CHECK (total >= 0)
) WITH (fillfactor = 80);
CREATE INDEX orders_by_status ON shop.orders (status) WHERE total > 0;
CREATE TABLE shop.events (at timestamptz NOT NULL, what text) PARTITION BY RANGE (at);
CREATE TABLE shop.events_2026 PARTITION OF shop.events FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
CREATE INDEX ON shop.events (at);
CREATE UNLOGGED TABLE shop.cache (key text);
CREATE VIEW shop.paid AS SELECT id, total FROM shop.orders WHERE status = 'paid';
CREATE MATERIALIZED VIEW shop.totals AS SELECT status, sum(total) FROM shop.orders GROUP BY status;
CREATE FUNCTION shop.touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN new; END $$;
CREATE PROCEDURE shop.tidy(days integer) LANGUAGE sql AS 'DELETE FROM shop.cache';
CREATE AGGREGATE shop.product(numeric) (SFUNC = numeric_mul, STYPE = numeric, INITCOND = '1');
CREATE TRIGGER touch BEFORE UPDATE ON shop.orders FOR EACH ROW EXECUTE FUNCTION shop.touch();
ALTER TABLE shop.orders ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON shop.orders FOR SELECT TO PUBLIC USING (customer_id = 1);
CREATE RULE no_delete AS ON DELETE TO shop.cache DO INSTEAD NOTHING;
CREATE STATISTICS shop.combined ON status, total FROM shop.orders;
CREATE PUBLICATION feed FOR TABLE shop.orders;
ALTER DEFAULT PRIVILEGES IN SCHEMA shop GRANT SELECT ON TABLES TO PUBLIC;
CREATE OPERATOR shop.=== (LEFTARG = integer, RIGHTARG = integer, FUNCTION = int4eq);
GRANT SELECT, INSERT ON shop.orders TO PUBLIC;
GRANT UPDATE (total) ON shop.orders TO PUBLIC;
REVOKE EXECUTE ON FUNCTION shop.touch() FROM PUBLIC;
COMMENT ON COLUMN shop.customer.name IS 'As they want to be called';
"""


def snapshot_of(database: Database, table: HistoryTable | None = None) -> Snapshot:
    with database.connect(user="postgres") as session:
        return take_snapshot(session, table)


@pytest.fixture
def shop(database: Database) -> Snapshot:
    database.psql(EVERYTHING)
    return snapshot_of(database)


def test_each_kind_of_object_is_there_with_its_parts(shop: Snapshot) -> None:
    objects = shop.objects
    assert objects["enum shop.status"]["values"] == "'new', 'paid', 'gone'"
    assert objects["composite type shop.address"]["columns"] == "street text, zip character varying(10)"
    assert objects["range type shop.span"]["range of"] == "date"
    assert objects["domain shop.email"] == {"type": "public.citext", "not null": "NOT NULL", "owner": "postgres", "on": "schema shop"}
    assert objects["constraint shop.email.has_at"]["on"] == "domain shop.email"
    assert objects["sequence shop.numbers"]["increment"] == "5"
    assert objects["sequence shop.orders_id_seq"]["on"] == "column shop.orders.id"
    assert objects["column shop.customer.id"]["identity"] == "ALWAYS"
    assert objects["column shop.customer.name"] == {
        "type": "text", "default": "'nobody'::text", "collation": '"C"', "comment": "As they want to be called",
        "position": "3", "on": "table shop.customer",
    }  # fmt: skip
    assert objects["column shop.customer.upper_name"]["generated"] == "upper(name) STORED"
    assert 'column shop.customer."Odd Name"' in objects
    assert objects["column shop.orders.total"]["grants"] == "PUBLIC=UPDATE"
    assert objects["constraint shop.orders.orders_customer_id_fkey"]["definition"] == (
        "FOREIGN KEY (customer_id) REFERENCES shop.customer(id) ON DELETE CASCADE"
    )
    assert objects["index shop.orders_pkey"]["on"] == "constraint shop.orders.orders_pkey"
    assert objects["index shop.orders_by_status"]["definition"].endswith("USING btree (status) WHERE (total > (0)::numeric)")
    orders = objects["table shop.orders"]
    assert (orders["grants"], orders["options"], orders["row security"]) == ("PUBLIC=INSERT, SELECT", "fillfactor=80", "on")
    assert objects["table shop.cache"]["persistence"] == "unlogged"
    assert objects["table shop.events"]["partitioned by"] == "RANGE (at)"
    assert objects["table shop.events_2026"]["on"] == "table shop.events"
    assert "FROM shop.orders" in objects["view shop.paid"]["definition"]
    assert "GROUP BY" in objects["materialized view shop.totals"]["definition"]
    assert objects["function shop.touch()"]["grants"] == "-PUBLIC=EXECUTE"
    assert "DELETE FROM shop.cache" in objects["procedure shop.tidy(integer)"]["definition"]
    assert "numeric_mul" in objects["aggregate shop.product(numeric)"]["definition"]
    assert "BEFORE UPDATE ON shop.orders" in objects["trigger shop.orders.touch"]["definition"]
    assert objects["policy shop.orders.own"]["using"] == "(customer_id = 1)"
    assert "DO INSTEAD NOTHING" in objects["rule shop.cache.no_delete"]["definition"]
    assert "ON status, total" in objects["statistics shop.combined"]["definition"]
    assert objects["publication feed"]["tables"] == "shop.orders"
    assert objects["default privileges of postgres in schema shop on tables"]["grants"] == "PUBLIC=SELECT"
    assert objects["extension citext"]["schema"] == "public"
    assert "operator shop.===(integer,integer)" in objects


def test_what_a_partition_or_an_extension_brings_is_not_named(shop: Snapshot) -> None:
    assert not [identity for identity in shop.objects if "events_2026." in identity or "events_2026_" in identity]
    assert not [identity for identity in shop.objects if identity.startswith("function public.")]
    assert "type public.citext" not in shop.objects


def test_two_databases_with_the_same_schema_give_the_same_text(
    database_factory: Callable[[], Database],
) -> None:
    first, second = database_factory(), database_factory()
    first.psql(EVERYTHING)
    second.psql("CREATE TABLE public.passing (id int); DROP TABLE public.passing;" + EVERYTHING)
    assert snapshot_of(first).to_json() == snapshot_of(second).to_json()


def test_a_restored_dump_is_the_same_schema(database_factory: Callable[[], Database]) -> None:
    source, restored = database_factory(), database_factory()
    source.psql(EVERYTHING + "ALTER TABLE shop.customer DROP COLUMN name CASCADE;")
    dump = source.server.run("pg_dump", database=source.name, user="postgres")
    restored.server.run("psql", "-Xq", "-v", "ON_ERROR_STOP=1", database=restored.name, user="postgres", stdin=dump)
    from dbmigration.catalog.compare import compare

    assert compare(snapshot_of(source), snapshot_of(restored)) == ()


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("search_path", "shop, public"),
        ("timezone", "'Asia/Kathmandu'"),
        ("datestyle", "'German, DMY'"),
        ("intervalstyle", "'iso_8601'"),
        ("bytea_output", "'escape'"),
        ("extra_float_digits", "-5"),
        ("quote_all_identifiers", "on"),
    ],
)
def test_a_setting_of_the_database_changes_nothing(setting: str, value: str, database: Database) -> None:
    database.psql(
        """CREATE SCHEMA shop;
        CREATE TABLE shop.t (
            a timestamptz DEFAULT timestamptz '2026-01-02 00:00Z',
            b interval DEFAULT interval '1 day 3 h',
            c bytea DEFAULT '\\x01ff',
            d float8 DEFAULT float8 '0.30000000000000004'
        );
        CREATE VIEW shop.v AS SELECT * FROM shop.t WHERE a > '2026-05-06'::timestamptz"""
    )
    before = snapshot_of(database)
    database.psql(f"ALTER DATABASE {database.name} SET {setting} = {value}")
    assert snapshot_of(database).to_json() == before.to_json()


def test_ours_the_history_and_temporary_tables_are_left_out(database: Database) -> None:
    database.psql("CREATE SCHEMA dbmigration; CREATE TABLE dbmigration.meta (key text); CREATE SCHEMA platform")
    before = snapshot_of(database, HistoryTable("platform", "schema_migrations"))
    database.psql(
        "CREATE TABLE platform.schema_migrations (id serial PRIMARY KEY, migration_name text UNIQUE, applied_at timestamptz DEFAULT now())"
    )
    with database.connect(user="postgres") as session:
        session.query("CREATE TEMPORARY TABLE passing (id serial PRIMARY KEY)")
        assert take_snapshot(session, HistoryTable("platform", "schema_migrations")).objects == before.objects
        assert "table platform.schema_migrations" in take_snapshot(session).objects


def test_a_role_without_rights_sees_the_same_schema(database: Database) -> None:
    database.psql(EVERYTHING + "REVOKE ALL ON SCHEMA shop FROM PUBLIC;")
    with database.connect() as session:
        assert take_snapshot(session).to_json() == snapshot_of(database).to_json()


def test_an_invalid_index_says_so(database: Database) -> None:
    database.psql("CREATE TABLE t (a int); INSERT INTO t VALUES (1), (1)")
    with pytest.raises(AssertionError, match="could not create unique index"):
        database.psql("CREATE UNIQUE INDEX CONCURRENTLY once ON t (a)")
    assert snapshot_of(database).objects["index public.once"]["state"] == "INVALID"


def test_a_snapshot_goes_to_json_and_back(shop: Snapshot) -> None:
    assert Snapshot.from_json(shop.to_json()) == shop


class _Interrupted(Session):
    """A session in which somebody else drops something between the snapshot's beginning and its query."""

    meanwhile: Callable[[], object]

    def query(self, statement: str, parameters: object = ()) -> list[tuple[object, ...]]:
        del parameters
        rows = super().query(statement)
        if statement.startswith("BEGIN"):
            super().query("SELECT 1")  # the transaction's view of the catalog is taken here
            self.meanwhile()
        return rows


def test_what_is_dropped_while_we_look_is_no_error(database: Database) -> None:
    database.psql(EVERYTHING)
    gone = iter(["DROP VIEW shop.paid; DROP INDEX shop.orders_by_status; DROP FUNCTION shop.touch() CASCADE"])
    with database.connect(user="postgres") as session:
        session.__class__ = _Interrupted
        assert isinstance(session, _Interrupted)
        session.meanwhile = lambda: [database.psql(drops) for drops in gone]
        found = take_snapshot(session)
    assert found.objects == snapshot_of(database).objects


def test_what_a_run_changed_is_expected_and_what_a_person_changed_is_not() -> None:
    def of(**objects: str) -> Snapshot:
        return Snapshot({name: {"type": text} for name, text in objects.items()}, 15)

    expected = of(a="text", b="text", c="text", d="text")
    before = of(a="text", b="by hand", c="text", x="by hand", d="text")
    after = of(a="by run", b="by hand", x="by hand", e="by run", d="text")
    assert merge(expected, before, after) == of(a="by run", b="text", e="by run", d="text")
