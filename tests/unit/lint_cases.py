"""For each rule: SQL that it must find, with the line, and SQL that it must leave alone.

`--!` marks the line of the finding; without one the finding is about the whole file. `before` is the file before it.
"""

from dataclasses import dataclass

TABLE = "CREATE TABLE app.users (id bigint PRIMARY KEY, name varchar(20), age int, price numeric(8,2), seen timestamp(3), code char(4));"

PARTED = "CREATE TABLE app.p (id int) PARTITION BY LIST (id); CREATE TABLE app.p1 PARTITION OF app.p FOR VALUES IN (1);"


@dataclass(frozen=True)
class Case:
    sql: str
    before: str = f"CREATE SCHEMA app; {TABLE}"
    severity: str | None = None
    rollback: str = "SELECT 1;"
    name: str = "002_it.sql"


FOUND: dict[str, tuple[Case, ...]] = {
    "not-runnable": (
        Case("SELECT 1;\n\\i other.sql --!\n"),
        Case("SELECT 1;\nSELECT 'never ends; --!\n"),
    ),
    "syntax-error": (
        Case("CREATE TABLE app.x (\n  id bigint,\n  nmae ,text --!\n);"),
        Case("SELECT 1;\nALTR TABLE app.users ADD x int; --!"),
    ),
    "missing-header": (Case("SELECT 1;"),),
    "missing-rollback": (Case("SELECT 1;", rollback=""),),
    "empty-migration": (Case("-- nothing yet\n"),),
    "identifier-too-long": (Case(f"CREATE INDEX CONCURRENTLY\n {'i' * 64} --!\n ON app.users (name);"),),
    "password-in-file": (
        Case("CREATE ROLE app LOGIN\n PASSWORD 'geheim'; --!"),
        Case("ALTER ROLE app PASSWORD 'geheim'; --!"),
        Case("CREATE USER MAPPING FOR app SERVER s\n OPTIONS (user 'a', password 'geheim'); --!"),
    ),
    "unknown-object": (
        Case("ALTER TABLE app.user ADD x int; --!", severity="warning"),
        Case("SELECT 1;\nCREATE INDEX CONCURRENTLY ON app.users\n (nmae); --!".replace("\n (nmae); --!", " (nmae); --!"), severity="error"),
        Case("ALTER TABLE app.users DROP COLUMN nothing; --!", severity="error"),
        Case("ALTER TABLE app.users ADD FOREIGN KEY (org_id) --!\n REFERENCES app.users;", severity="error"),
        Case("UPDATE app.users SET nmae = 'x' WHERE id = 1; --!", severity="error"),
        Case("INSERT INTO app.usres VALUES (1); --!", severity="warning"),
        Case("ALTER TABLE uesrs ADD x int; --!", before="CREATE TABLE users (id bigint);", severity="warning"),
        Case("ALTER TABLE usrs ADD x int; --!", before="CREATE TABLE users (id bigint);", severity="warning"),
        Case("ALTER TABLE gone ADD x int; --!", before="CREATE TABLE gone (id bigint); DROP TABLE gone;", severity="error"),
        Case(
            "ALTER TABLE t DROP x; --!",
            before="CREATE TABLE t (id int); CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS 'begin return (select x from t); end';",
        ),
        Case("ALTER TABLE gone ADD x int; --!", before="CREATE TABLE gone (id bigint); ALTER TABLE gone RENAME TO kept;", severity="error"),
        Case("CREATE VIEW app.v AS SELECT * FROM app.nothing; --!", severity="warning"),
        Case("COMMENT ON COLUMN app.users.nothing IS 'x'; --!", severity="error"),
        Case("UPDATE app.p1 SET nope = 1 WHERE id = 1; --!", before=PARTED, severity="error"),
        Case("CREATE RULE r AS ON INSERT TO app.nowhere DO NOTHING; --!", severity="warning"),
        Case("ALTER TRIGGER t ON app.nowhere RENAME TO u; --!", severity="warning"),
        Case("ALTER TABLE app.nowhere SET SCHEMA other; --!", severity="warning"),
        Case("GRANT SELECT ON app.nowhere TO somebody; --!", severity="warning"),
        Case("COPY (SELECT * FROM app.nowhere) TO STDOUT; --!", severity="warning"),
        Case("SELECT id INTO app.made FROM app.nowhere; --!", severity="warning"),
        Case("CREATE TABLE app.x (LIKE app.nowhere); --!", severity="warning"),
        Case("CREATE TABLE app.x (id int) INHERITS (app.nowhere); --!", severity="warning"),
        Case("WITH moved AS (UPDATE app.nowhere SET a = 1 WHERE a = 2 RETURNING a) --!\nSELECT a FROM moved;", severity="warning"),
        Case("WITH moved AS (INSERT INTO app.nowhere VALUES (1) RETURNING a) --!\nSELECT a FROM moved;", severity="warning"),
        Case("COMMENT ON TABLE app.nowhere IS 'x'; --!", severity="warning"),
        Case(
            "ALTER TABLE app.t ADD x int; --!",
            before="CREATE TABLE app.t (a int); CREATE TABLE other.t (b int); DROP TABLE app.t;",
            severity="error",
        ),
    ),
    "seed-not-repeatable": (
        Case("INSERT INTO app.users (id) VALUES (1); --!", severity="error", name="seed-a.sql"),
        Case("SELECT 1;\nWITH x AS (SELECT 1)\nINSERT INTO app.users (id) SELECT * FROM x; --!", name="seed-a.sql"),
        Case("COPY app.users (id) FROM stdin; --!\n1\n\\.\n", name="seed-a.sql"),
        Case("CREATE TABLE app.more (id int); --!", name="seed-a.sql"),
        Case("DELETE FROM app.users;\nINSERT INTO app.other VALUES (1); --!", name="seed-a.sql"),
    ),
    "already-exists": (
        Case("CREATE TABLE app.users (id bigint); --!", severity="error"),
        Case("CREATE TABLE IF NOT EXISTS app.users (id bigint); --!", severity="warning"),
        Case("ALTER TABLE app.users ADD age int; --!", severity="error"),
        Case("ALTER TABLE app.users ADD IF NOT EXISTS age int; --!", severity="warning"),
        Case("CREATE VIEW app.v AS SELECT 1; --!", before="CREATE VIEW app.v AS SELECT 2;", severity="error"),
    ),
    "not-idempotent": (
        Case("BEGIN; CREATE TABLE app.x (id bigint); COMMIT; --!", severity="note"),
        Case("BEGIN; CREATE VIEW app.x AS SELECT 1; COMMIT; --!", severity="note"),
        Case("CREATE INDEX CONCURRENTLY a ON app.users (name);\nALTER TABLE app.users ADD x int; --!", severity="warning"),
        Case("CREATE INDEX CONCURRENTLY a ON app.users (name);\nDROP TABLE app.users; --!", severity="warning"),
    ),
    "missing-transaction": (Case("SELECT 1; SELECT 2;"),),
    "unclosed-transaction": (
        Case("SELECT 1;\nBEGIN; --!\nSELECT 1;"),
        Case("BEGIN;\nSELECT 1;\nPREPARE TRANSACTION 'x'; --!"),
    ),
    "nested-transaction": (
        Case("BEGIN;\nBEGIN; --!\nSELECT 1;\nCOMMIT;"),
        Case("SELECT 1;\nCOMMIT; --!", severity="warning"),
        Case("SELECT 1;\nROLLBACK; --!", severity="error"),
    ),
    "several-transactions": (
        Case("BEGIN;\nSELECT 1;\nCOMMIT;\nBEGIN; --!\nSELECT 1;\nCOMMIT;"),
        Case("BEGIN;\nSELECT 1;\nCOMMIT;\nSELECT 2; --!"),
    ),
    "rollback-in-migration": (Case("BEGIN;\nSELECT 1;\nROLLBACK; --!"),),
    "concurrently-in-transaction": (
        Case("BEGIN;\nCREATE INDEX CONCURRENTLY ON app.users (name); --!\nCOMMIT;"),
        Case("BEGIN;\nVACUUM app.users; --!\nCOMMIT;"),
        Case("-- Transaction: single\nCREATE INDEX CONCURRENTLY ON app.users (name); --!"),
    ),
    "mixed-non-transactional": (
        Case("CREATE INDEX CONCURRENTLY ON app.users (name);\nALTER TABLE app.users ADD IF NOT EXISTS x int; --!"),
    ),
    "drop-table": (
        Case("DROP TABLE app.users; --!"),
        Case("DROP TABLE IF EXISTS elsewhere; --!"),
    ),
    "drop-column": (Case("ALTER TABLE app.users ADD x int,\n DROP COLUMN age; --!".replace("\n", " ")),),
    "drop-object": (
        Case("DROP VIEW IF EXISTS v; --!"),
        Case("DROP FUNCTION IF EXISTS app.f(int); --!"),
        Case("DROP TYPE IF EXISTS mood; --!"),
        Case("DROP EXTENSION IF EXISTS citext; --!"),
    ),
    "drop-schema": (Case("DROP SCHEMA app; --!"),),
    "drop-database": (Case("DROP DATABASE old; --!"), Case("DROP OWNED BY somebody; --!")),
    "drop-cascade": (
        Case("DROP TABLE app.users CASCADE; --!"),
        Case("ALTER TABLE app.users DROP age CASCADE; --!"),
        Case("DROP TYPE IF EXISTS app.mood CASCADE; --!"),
    ),
    "truncate": (Case("TRUNCATE app.users; --!"), Case("CREATE TABLE app.x (id int);\nTRUNCATE app.x CASCADE; --!")),
    "delete-without-where": (
        Case("DELETE FROM app.users; --!"),
        Case("WITH gone AS (DELETE FROM app.users RETURNING id) --!\nSELECT count(*) FROM gone;"),
    ),
    "update-without-where": (
        Case("UPDATE app.users SET age = 0; --!", severity="error"),
        Case("ALTER TABLE app.users ADD x int;\nUPDATE app.users SET x = age; --!", severity="warning"),
    ),
    "add-column-not-null": (
        Case("ALTER TABLE app.users ADD x int NOT NULL; --!"),
        Case("ALTER TABLE elsewhere ADD x int NOT NULL; --!"),
        Case("ALTER TABLE app.users ADD x int NOT NULL DEFAULT NULL; --!"),
    ),
    "add-column-rewrite": (
        Case("ALTER TABLE app.users\n ADD x uuid DEFAULT gen_random_uuid(); --!", severity="error"),
        Case("ALTER TABLE app.users ADD x uuid NOT NULL DEFAULT uuid_generate_v4(); --!", severity="error"),
        Case("ALTER TABLE app.users ADD x timestamptz DEFAULT clock_timestamp(); --!", severity="error"),
        Case("ALTER TABLE app.users ADD x serial; --!", severity="error"),
        Case("ALTER TABLE app.users ADD x int GENERATED ALWAYS AS IDENTITY; --!", severity="error"),
        Case("ALTER TABLE app.users ADD x int GENERATED ALWAYS AS (age * 2) STORED; --!", severity="error"),
        Case("ALTER TABLE app.users ADD x text DEFAULT app.new_code(); --!", severity="warning"),
        Case(
            "CREATE FUNCTION code() RETURNS text LANGUAGE sql AS 'select 1';\nALTER TABLE app.users ADD x text DEFAULT code(); --!",
            severity="error",
        ),
        Case("CREATE DOMAIN email AS text CHECK (value <> '');\nALTER TABLE app.users ADD x email; --!", severity="error"),
        Case("ALTER TABLE app.users ADD a int,\n ADD x uuid DEFAULT gen_random_uuid(), --!\n ADD y serial;"),
    ),
    "change-column-type": (
        Case("ALTER TABLE app.users ALTER name TYPE varchar(10); --!", severity="error"),
        Case("ALTER TABLE app.users ALTER age TYPE bigint; --!", severity="error"),
        Case("ALTER TABLE app.users ALTER price TYPE numeric(10,3); --!", severity="error"),
        Case("ALTER TABLE app.users ALTER seen TYPE timestamptz; --!", severity="error"),
        Case("ALTER TABLE app.users ALTER name TYPE text USING trim(name); --!", severity="error"),
        Case("ALTER TABLE app.users ALTER code TYPE text; --!", severity="error"),
        Case("ALTER TABLE elsewhere ALTER x TYPE text; --!", severity="warning"),
        Case("ALTER TABLE elsewhere ALTER x TYPE bigint; --!", severity="error"),
    ),
    "table-rewrite": (
        Case("ALTER TABLE app.users SET UNLOGGED; --!"),
        Case("ALTER TABLE app.users SET TABLESPACE fast; --!"),
    ),
    "drop-not-null": (Case("ALTER TABLE app.users ALTER name DROP NOT NULL; --!"),),
    "timestamp-without-time-zone": (
        Case("CREATE TABLE app.x (\n a timestamptz,\n b timestamp --!\n);"),
        Case("ALTER TABLE app.users ADD x timestamp(3); --!"),
    ),
    "char-type": (Case("ALTER TABLE app.users ADD x char(10); --!"),),
    "integer-primary-key": (
        Case("CREATE TABLE app.x (\n id serial PRIMARY KEY --!\n);"),
        Case("CREATE TABLE app.x (id int GENERATED ALWAYS AS IDENTITY, PRIMARY KEY (id)); --!"),
    ),
    "validated-foreign-key": (
        Case("ALTER TABLE app.users\n ADD CONSTRAINT f FOREIGN KEY (age) REFERENCES app.users (id); --!"),
        Case("ALTER TABLE app.users ADD x bigint DEFAULT 1 REFERENCES app.users (id); --!"),
    ),
    "validated-check": (
        Case("ALTER TABLE app.users ADD CHECK (age > 0); --!"),
        Case("ALTER TABLE app.users ADD x int\n CHECK (x > 0); --!"),
    ),
    "set-not-null": (
        Case("ALTER TABLE app.users ALTER age SET NOT NULL; --!"),
        Case(
            "ALTER TABLE app.users ALTER age SET NOT NULL; --!",
            before=f"CREATE SCHEMA app; {TABLE} ALTER TABLE app.users ADD CONSTRAINT a CHECK (age IS NOT NULL) NOT VALID;",
        ),
        Case("ALTER TABLE app.users ADD CONSTRAINT filled NOT NULL age; --!"),
        Case("ALTER TABLE app.users ADD NOT NULL age; --!"),
    ),
    "unique-without-index": (
        Case("ALTER TABLE app.users ADD UNIQUE (name); --!"),
        Case("ALTER TABLE app.users ADD x int UNIQUE; --!"),
        Case("ALTER TABLE elsewhere ADD PRIMARY KEY (id); --!"),
        Case("ALTER TABLE app.users ADD EXCLUDE USING gist (name WITH =); --!"),
    ),
    "constraint-never-validated": (
        Case("ALTER TABLE app.users ADD CONSTRAINT a CHECK (age > 0) NOT VALID; --!"),
        Case("ALTER TABLE app.users ADD CHECK (age > 0), ADD CHECK (age < 9) NOT VALID; --!"),
    ),
    "domain-constraint": (
        Case("ALTER DOMAIN email ADD CHECK (value <> ''); --!"),
        Case("ALTER DOMAIN email SET NOT NULL; --!"),
    ),
    "attach-partition-scan": (
        Case("ALTER TABLE app.all ATTACH PARTITION app.users FOR VALUES FROM (1) TO (9); --!"),
        Case("ALTER TABLE app.all ATTACH PARTITION old DEFAULT; --!"),
    ),
    "detach-partition-not-concurrently": (Case("ALTER TABLE app.all DETACH PARTITION app.users; --!"),),
    "create-index-not-concurrently": (
        Case("CREATE INDEX ON app.users (name); --!"),
        Case("CREATE UNIQUE INDEX IF NOT EXISTS i ON elsewhere (name); --!"),
        Case("CREATE INDEX ON p (i); --!", before="CREATE TABLE p (i int) PARTITION BY RANGE (i);"),
    ),
    "drop-index-not-concurrently": (Case("DROP INDEX IF EXISTS some_index; --!"),),
    "reindex-not-concurrently": (
        Case("REINDEX TABLE app.users; --!"),
        Case("REINDEX INDEX some_index; --!"),
        Case("REINDEX (CONCURRENTLY off) TABLE app.users; --!"),
        Case("REINDEX (CONCURRENTLY false) TABLE app.users; --!"),
        Case("REINDEX (CONCURRENTLY 0) TABLE app.users; --!"),
    ),
    "refresh-not-concurrently": (Case("REFRESH MATERIALIZED VIEW elsewhere; --!"),),
    "foreign-key-without-index": (
        Case("CREATE TABLE app.orders (\n id bigint PRIMARY KEY,\n user_id bigint REFERENCES app.users (id) --!\n);"),
        Case("ALTER TABLE app.users ADD x bigint REFERENCES app.users (id); --!"),
        Case(
            "CREATE TABLE app.o (id int, user_id bigint REFERENCES app.users); --!\nCREATE INDEX ON app.o (id, user_id);",
        ),
    ),
    "enum-value-used-at-once": (
        Case(
            "BEGIN;\nALTER TYPE mood ADD VALUE 'glad';\nUPDATE app.users SET name = 'glad' WHERE id = 1; --!\nCOMMIT;",
            before="CREATE TYPE mood AS ENUM ('sad'); CREATE TABLE app.users (id int, name text);",
        ),
        Case(
            "BEGIN;\nCREATE TYPE mood AS ENUM ('sad');\nALTER TYPE mood ADD VALUE 'glad';\nSELECT 'glad'::mood; --!\nCOMMIT;",
            severity="warning",
        ),
    ),
    "enum-value-is-permanent": (Case("ALTER TYPE mood ADD VALUE 'glad'; --!", before="CREATE TYPE mood AS ENUM ('sad');"),),
    "rename-table": (
        Case("ALTER TABLE app.users RENAME TO people; --!"),
        Case("ALTER TABLE app.users SET SCHEMA other; --!"),
        Case("ALTER VIEW v RENAME TO w; --!"),
    ),
    "rename-column": (Case("ALTER TABLE app.users RENAME name TO full_name; --!"),),
    "rename-object": (
        Case("ALTER TYPE mood RENAME VALUE 'sad' TO 'blue'; --!"),
        Case("ALTER SCHEMA app RENAME TO other; --!"),
        Case("ALTER FUNCTION f(int) RENAME TO g; --!"),
        Case("ALTER TYPE mood SET SCHEMA app; --!", before="CREATE TYPE mood AS ENUM ();"),
        Case("ALTER TYPE span RENAME TO range; --!", before="CREATE TYPE span AS RANGE (subtype = int4);"),
    ),
    "statement-after-exclusive-lock": (
        Case("BEGIN;\nALTER TABLE app.users ADD x int;\nUPDATE app.users SET x = 1 WHERE id > 5; --!\nCOMMIT;"),
        Case("ALTER TABLE app.users ADD x int;\nCREATE INDEX ON app.users (x); --!"),
        Case("ALTER TABLE app.users ADD x int; UPDATE app.users SET x = 1 WHERE id > 5; --!"),
        Case("ALTER TABLE app.users ADD x int;\nINSERT INTO elsewhere SELECT id FROM app.users; --!"),
        Case("ALTER TABLE app.users ADD CONSTRAINT a CHECK (age > 0) NOT VALID;\nALTER TABLE app.users VALIDATE CONSTRAINT a; --!"),
        Case("ALTER TABLE app.users ADD x int;\nDO $$ BEGIN UPDATE app.users SET x = 1; END $$; --!"),
        Case("ALTER TABLE app.users ADD x int;\nCOPY elsewhere FROM STDIN; --!\n1\n\\.\n"),
        Case("ALTER TABLE app.users ADD x int;\nDELETE FROM app.users WHERE id = 1; --!"),
        Case("ALTER TABLE app.users ADD x int;\nCREATE TABLE app.copy AS SELECT * FROM app.users; --!"),
        Case("ALTER TABLE app.users ADD x int;\nSELECT * INTO app.copy FROM app.users; --!"),
        Case("ALTER TABLE app.users ADD x int;\nCREATE MATERIALIZED VIEW app.sum AS SELECT sum(age) FROM app.users; --!"),
        Case("ALTER TABLE app.users ADD x int;\nREFRESH MATERIALIZED VIEW elsewhere; --!"),
        Case("ALTER TABLE app.users ADD x int;\nALTER TABLE app.users SET LOGGED; --!"),
        Case("ALTER TABLE app.users ADD x int;\nINSERT INTO elsewhere VALUES (1); --!\n" + "INSERT INTO elsewhere VALUES (1);\n" * 1000),
        Case("ALTER TABLE app.users ADD x int;\nUPDATE app.users SET x = 1 WHERE id > 5; --!\nUPDATE app.users SET x = 2 WHERE id < 5;"),
    ),
    "lock-table": (
        Case("BEGIN;\nLOCK TABLE app.users; --!\nCOMMIT;", severity="warning"),
        Case("VACUUM app.users;\nLOCK TABLE app.users IN SHARE MODE; --!", severity="error"),
    ),
    "vacuum-full": (
        Case("VACUUM FULL app.users; --!"),
        Case("CLUSTER app.users USING users_pkey; --!"),
        Case("VACUUM (FULL); --!"),
        Case("CLUSTER; --!"),
        Case("VACUUM FULL; --!"),
    ),
}
