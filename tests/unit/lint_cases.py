"""For each rule: SQL that it must find, with the line, and SQL that it must leave alone.

`--!` marks the line of the finding; without one the finding is about the whole file. `before` is the file before it.
"""

from dataclasses import dataclass

TABLE = "CREATE TABLE app.users (id bigint PRIMARY KEY, name varchar(20), age int, price numeric(8,2), seen timestamp(3), code char(4));"


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
        Case("SELECT 1;\nCOMMIT; --!"),
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
    ),
    "unique-without-index": (
        Case("ALTER TABLE app.users ADD UNIQUE (name); --!"),
        Case("ALTER TABLE app.users ADD x int UNIQUE; --!"),
        Case("ALTER TABLE elsewhere ADD PRIMARY KEY (id); --!"),
        Case("ALTER TABLE app.users ADD EXCLUDE USING gist (name WITH =); --!"),
    ),
    "constraint-never-validated": (Case("ALTER TABLE app.users ADD CONSTRAINT a CHECK (age > 0) NOT VALID; --!"),),
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
    "reindex-not-concurrently": (Case("REINDEX TABLE app.users; --!"), Case("REINDEX INDEX some_index; --!")),
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
    ),
    "statement-after-exclusive-lock": (
        Case("BEGIN;\nALTER TABLE app.users ADD x int;\nUPDATE app.users SET x = 1 WHERE id > 5; --!\nCOMMIT;"),
        Case("ALTER TABLE app.users ADD x int;\nCREATE INDEX ON app.users (x); --!"),
        Case("ALTER TABLE app.users ADD x int; UPDATE app.users SET x = 1 WHERE id > 5; --!"),
        Case("ALTER TABLE app.users ADD x int;\nINSERT INTO elsewhere SELECT id FROM app.users; --!"),
        Case("ALTER TABLE app.users ADD CONSTRAINT a CHECK (age > 0) NOT VALID;\nALTER TABLE app.users VALIDATE CONSTRAINT a; --!"),
        Case("ALTER TABLE app.users ADD x int;\nDO $$ BEGIN UPDATE app.users SET x = 1; END $$; --!"),
        Case("ALTER TABLE app.users ADD x int;\nCOPY elsewhere FROM STDIN; --!\n1\n\\.\n"),
    ),
    "lock-table": (
        Case("BEGIN;\nLOCK TABLE app.users; --!\nCOMMIT;", severity="warning"),
        Case("VACUUM app.users;\nLOCK TABLE app.users IN SHARE MODE; --!", severity="error"),
    ),
    "vacuum-full": (Case("VACUUM FULL app.users; --!"), Case("CLUSTER app.users USING users_pkey; --!"), Case("VACUUM (FULL); --!")),
}

LEFT_ALONE: dict[str, tuple[Case, ...]] = {
    "seed-not-repeatable": (
        Case("INSERT INTO app.users (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET age = EXCLUDED.age;", name="seed-a.sql"),
        Case("INSERT INTO app.users (id) SELECT 1 WHERE NOT EXISTS (SELECT FROM app.users WHERE id = 1);", name="seed-a.sql"),
        Case("DELETE FROM app.users WHERE id < 10;\nINSERT INTO app.users (id) VALUES (1), (2);", name="seed-a.sql"),
        Case("TRUNCATE app.users;\nCOPY app.users (id) FROM stdin;\n1\n\\.\n", name="seed-a.sql"),
        Case("CREATE TEMP TABLE t (id int);\nINSERT INTO t VALUES (1);\nUPDATE app.users SET age = 1 WHERE id = 1;", name="seed-a.sql"),
        Case(
            "MERGE INTO app.users AS u USING (VALUES (1)) AS v (id) ON u.id = v.id WHEN NOT MATCHED THEN INSERT (id) VALUES (v.id);",
            name="seed-a.sql",
        ),
        Case("INSERT INTO app.users (id) VALUES (1);"),
    ),
    "not-runnable": (
        Case("BEGIN;\nCREATE INDEX CONCURRENTLY ON app.users (name);\nCOMMIT;"),
        Case("\\restrict abc\nSELECT 1;\n\\unrestrict abc\n"),
    ),
    "syntax-error": (Case("CREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; END;"),),
    "empty-migration": (Case("SELECT 1;"),),
    "identifier-too-long": (Case(f"CREATE INDEX CONCURRENTLY {'i' * 63} ON app.users (name);\nSELECT '{'x' * 90}';"),),
    "password-in-file": (Case("CREATE ROLE app LOGIN;"), Case("ALTER ROLE app PASSWORD NULL;")),
    "unknown-object": (
        Case("ALTER TABLE was_there_before ADD x int;"),
        Case("ALTER TABLE public.anything ADD x int;"),
        Case("ALTER TABLE IF EXISTS app.user ADD x int;"),
        Case("DROP TABLE IF EXISTS app.nothing;"),
        Case("ALTER TABLE app.users DROP COLUMN IF EXISTS nothing;"),
        Case("WITH us AS (SELECT 1 AS a) SELECT a FROM us;"),
        Case("ALTER TABLE users ADD x int; CREATE INDEX ON users (name);"),
        Case("ALTER TABLE app.parts ADD x int;", before="CREATE SCHEMA app; DO $$ BEGIN EXECUTE 'CREATE TABLE app.parts (i int)'; END $$;"),
        Case("SELECT * FROM pg_catalog.pg_class; SELECT * FROM pg_stat_activity;"),
        Case("ALTER TABLE app.users ADD FOREIGN KEY (org) REFERENCES app.users (id), ADD org bigint;"),
        Case("CREATE TABLE app.tree (id int PRIMARY KEY, up int REFERENCES app.tree (id));"),
        Case("ALTER TABLE kept ADD x int;", before="CREATE TABLE gone (id bigint); ALTER TABLE gone RENAME TO kept;"),
        Case("ALTER TABLE app.x DROP b;", before="CREATE SCHEMA app; CREATE TABLE app.x (LIKE elsewhere);"),
        Case("UPDATE app.users SET full_name = 'x' WHERE id = 1;", before=f"{TABLE} ALTER TABLE app.users RENAME name TO full_name;"),
    ),
    "already-exists": (
        Case("CREATE OR REPLACE VIEW app.v AS SELECT 1;", before="CREATE VIEW app.v AS SELECT 2;"),
        Case("CREATE TABLE app.x (id int);", before="CREATE TABLE app.x (id int); DROP TABLE app.x;"),
        Case("CREATE TABLE other.users (id int);"),
        Case("CREATE TEMP TABLE users (id int);"),
    ),
    "not-idempotent": (
        Case("BEGIN; ALTER TABLE app.users ADD x int; CREATE INDEX i ON app.users (x); COMMIT;"),
        Case("BEGIN; CREATE TABLE IF NOT EXISTS app.x (id bigint); CREATE OR REPLACE VIEW v AS SELECT 1; COMMIT;"),
        Case("CREATE INDEX CONCURRENTLY a ON app.users (name);"),
        Case("CREATE INDEX CONCURRENTLY a ON app.users (name); DROP TABLE IF EXISTS app.users;"),
    ),
    "missing-transaction": (Case("SELECT 1;"), Case("BEGIN; SELECT 1; SELECT 2; COMMIT;"), Case("VACUUM app.users; VACUUM app.x;")),
    "unclosed-transaction": (Case("BEGIN; SELECT 1; COMMIT;"), Case("BEGIN; SELECT 1; END;")),
    "nested-transaction": (Case("BEGIN; SAVEPOINT a; SELECT 1; ROLLBACK TO a; RELEASE a; COMMIT;"),),
    "several-transactions": (Case("SET client_encoding = 'UTF8'; BEGIN; SELECT 1; COMMIT;"),),
    "rollback-in-migration": (Case("BEGIN; SAVEPOINT a; SELECT 1; ROLLBACK TO SAVEPOINT a; COMMIT;"),),
    "concurrently-in-transaction": (
        Case("CREATE INDEX CONCURRENTLY ON app.users (name);"),
        Case("BEGIN; REFRESH MATERIALIZED VIEW CONCURRENTLY v; COMMIT; -- CONCURRENTLY"),
    ),
    "mixed-non-transactional": (
        Case("SET lock_timeout = 0; CREATE INDEX CONCURRENTLY a ON app.users (name); CREATE INDEX CONCURRENTLY b ON app.users (age);"),
    ),
    "drop-table": (Case("CREATE TABLE app.x (id int); DROP TABLE app.x;"), Case("CREATE TEMP TABLE x (id int); DROP TABLE x;")),
    "drop-column": (Case("ALTER TABLE app.users ADD x int; ALTER TABLE app.users DROP x;"),),
    "drop-object": (
        Case("DROP VIEW IF EXISTS v; CREATE VIEW v AS SELECT 1;"),
        Case("CREATE TYPE mood AS ENUM ('sad'); DROP TYPE mood;"),
        Case("DROP TRIGGER IF EXISTS t ON app.users; DROP POLICY IF EXISTS p ON app.users;"),
    ),
    "drop-schema": (Case("CREATE SCHEMA x; DROP SCHEMA x;"),),
    "drop-cascade": (Case("DROP TABLE app.users;"), Case("CREATE TEMP TABLE x (id int); DROP TABLE x CASCADE;")),
    "truncate": (Case("CREATE TABLE app.x (id int); TRUNCATE app.x;"),),
    "delete-without-where": (
        Case("DELETE FROM app.users WHERE id = 1;"),
        Case("DELETE FROM app.users USING x;"),
        Case("CREATE TEMP TABLE x (id int); DELETE FROM x;"),
    ),
    "update-without-where": (
        Case("UPDATE app.users SET age = 0 WHERE id = 1;"),
        Case("UPDATE app.users u SET age = x.age FROM x;"),
        Case("CREATE TABLE app.x (id int); UPDATE app.x SET id = 1;"),
    ),
    "add-column-not-null": (
        Case("ALTER TABLE app.users ADD x int NOT NULL DEFAULT 1;"),
        Case("ALTER TABLE app.users ADD x int;"),
        Case("ALTER TABLE app.users ADD x int GENERATED ALWAYS AS IDENTITY;"),
        Case("CREATE TABLE app.x (id int); ALTER TABLE app.x ADD y int NOT NULL;"),
    ),
    "add-column-rewrite": (
        Case("ALTER TABLE app.users ADD x int;"),
        Case("ALTER TABLE app.users ADD x int NOT NULL DEFAULT 10;"),
        Case("ALTER TABLE app.users ADD x timestamptz NOT NULL DEFAULT now();"),
        Case("ALTER TABLE app.users ADD x timestamptz DEFAULT CURRENT_TIMESTAMP;"),
        Case("ALTER TABLE app.users ADD x jsonb DEFAULT '{}'::jsonb;"),
        Case("ALTER TABLE app.users ADD x int GENERATED ALWAYS AS (age * 2) VIRTUAL;"),
        Case("CREATE TABLE app.x (id int); ALTER TABLE app.x ADD y uuid DEFAULT gen_random_uuid();"),
        Case("CREATE FUNCTION code() RETURNS text LANGUAGE sql STABLE AS 'select 1';\nALTER TABLE app.users ADD x text DEFAULT code();"),
        Case("CREATE DOMAIN email AS text;\nALTER TABLE app.users ADD x email;"),
    ),
    "change-column-type": (
        Case("ALTER TABLE app.users ALTER name TYPE varchar(30);"),
        Case("ALTER TABLE app.users ALTER name TYPE varchar;"),
        Case("ALTER TABLE app.users ALTER name TYPE text;"),
        Case("ALTER TABLE app.users ALTER name TYPE text USING name::text;"),
        Case("ALTER TABLE app.users ALTER price TYPE numeric(10,2);"),
        Case("ALTER TABLE app.users ALTER price TYPE numeric;"),
        Case("ALTER TABLE app.users ALTER seen TYPE timestamp(6);"),
        Case("CREATE TABLE app.x (id int); ALTER TABLE app.x ALTER id TYPE bigint;"),
        Case("CREATE DOMAIN label AS text; ALTER TABLE app.users ALTER name TYPE label;"),
    ),
    "table-rewrite": (Case("ALTER TABLE app.users SET (fillfactor = 70);"), Case("CREATE TABLE x (i int); ALTER TABLE x SET UNLOGGED;")),
    "timestamp-without-time-zone": (Case("ALTER TABLE app.users ADD x timestamptz;"),),
    "char-type": (Case('ALTER TABLE app.users ADD x varchar(10), ADD y "char", ADD z char;'),),
    "integer-primary-key": (
        Case("CREATE TABLE app.x (id bigserial PRIMARY KEY, n serial);"),
        Case("CREATE TABLE app.x (year int PRIMARY KEY);"),
    ),
    "validated-foreign-key": (
        Case("ALTER TABLE app.users ADD FOREIGN KEY (age) REFERENCES app.users (id) NOT VALID;"),
        Case("ALTER TABLE app.users ADD x bigint REFERENCES app.users (id);"),
        Case("CREATE TABLE app.x (id int); ALTER TABLE app.x ADD FOREIGN KEY (id) REFERENCES app.users (id);"),
    ),
    "validated-check": (Case("ALTER TABLE app.users ADD CHECK (age > 0) NOT VALID;"), Case("CREATE TABLE app.x (id int CHECK (id > 0));")),
    "set-not-null": (
        Case(
            "ALTER TABLE app.users ALTER age SET NOT NULL;",
            before=f"{TABLE} ALTER TABLE app.users ADD CONSTRAINT a CHECK (age IS NOT NULL) NOT VALID;"
            " ALTER TABLE app.users VALIDATE CONSTRAINT a;",
        ),
        Case("ALTER TABLE app.users ALTER id SET NOT NULL;"),
        Case("CREATE TABLE app.x (id int); ALTER TABLE app.x ALTER id SET NOT NULL;"),
    ),
    "unique-without-index": (
        Case("ALTER TABLE app.users ADD CONSTRAINT u UNIQUE USING INDEX some_index;"),
        Case("CREATE TABLE app.x (id int); ALTER TABLE app.x ADD PRIMARY KEY (id);"),
    ),
    "constraint-never-validated": (
        Case("ALTER TABLE app.users ADD CONSTRAINT a CHECK (age > 0) NOT VALID; ALTER TABLE app.users VALIDATE CONSTRAINT a;"),
        Case("ALTER TABLE app.users ADD CONSTRAINT a CHECK (age > 0) NOT VALID; ALTER TABLE app.users DROP CONSTRAINT a;"),
    ),
    "domain-constraint": (
        Case("ALTER DOMAIN email ADD CHECK (value <> '') NOT VALID;"),
        Case("CREATE DOMAIN d AS text; ALTER DOMAIN d SET NOT NULL;"),
    ),
    "attach-partition-scan": (
        Case(
            "ALTER TABLE app.all ATTACH PARTITION app.users FOR VALUES FROM (1) TO (9);",
            before=f"{TABLE} ALTER TABLE app.users ADD CONSTRAINT a CHECK (id >= 1 AND id < 9);",
        ),
        Case("CREATE TABLE app.x (id int); ALTER TABLE app.all ATTACH PARTITION app.x DEFAULT;"),
    ),
    "detach-partition-not-concurrently": (Case("ALTER TABLE app.all DETACH PARTITION app.users CONCURRENTLY;"),),
    "create-index-not-concurrently": (
        Case("CREATE INDEX CONCURRENTLY ON app.users (name);"),
        Case("CREATE TABLE app.x (id int); CREATE INDEX ON app.x (id);"),
        Case("CREATE INDEX ON ONLY p (i);", before="CREATE TABLE p (i int) PARTITION BY RANGE (i);"),
        Case("CREATE MATERIALIZED VIEW v AS SELECT 1 AS a; CREATE INDEX ON v (a);"),
    ),
    "drop-index-not-concurrently": (
        Case("DROP INDEX CONCURRENTLY IF EXISTS i;"),
        Case("CREATE TABLE x (a int); CREATE INDEX i ON x (a); DROP INDEX i;"),
    ),
    "reindex-not-concurrently": (Case("REINDEX TABLE CONCURRENTLY app.users;"),),
    "refresh-not-concurrently": (
        Case("REFRESH MATERIALIZED VIEW CONCURRENTLY v;"),
        Case("CREATE MATERIALIZED VIEW v AS SELECT 1; REFRESH MATERIALIZED VIEW v;"),
    ),
    "foreign-key-without-index": (
        Case("CREATE TABLE app.o (user_id bigint REFERENCES app.users); CREATE INDEX ON app.o (user_id, x);"),
        Case("CREATE TABLE app.o (user_id bigint REFERENCES app.users, UNIQUE (user_id, id), id int);"),
        Case("CREATE TABLE app.o (user_id bigint PRIMARY KEY REFERENCES app.users);"),
        Case("ALTER TABLE elsewhere ADD FOREIGN KEY (user_id) REFERENCES app.users (id);"),
        Case("CREATE TABLE app.o (a int, b int, FOREIGN KEY (a, b) REFERENCES x (a, b)); CREATE INDEX ON app.o (b, a);"),
    ),
    "enum-value-used-at-once": (
        Case("BEGIN; CREATE TYPE mood AS ENUM ('sad'); ALTER TYPE mood ADD VALUE 'glad'; COMMIT; SELECT 'glad'::mood;"),
        Case("ALTER TYPE mood ADD VALUE 'glad'; SELECT 'glad'::mood;"),
    ),
    "enum-value-is-permanent": (Case("CREATE TYPE mood AS ENUM ('sad'); ALTER TYPE mood ADD VALUE 'glad';"),),
    "rename-table": (
        Case("CREATE TABLE x (i int); ALTER TABLE x RENAME TO y; ALTER TABLE y RENAME TO z;"),
        Case("ALTER INDEX i RENAME TO j;"),
    ),
    "rename-column": (Case("ALTER TABLE app.users ADD x int; ALTER TABLE app.users RENAME x TO y;"),),
    "rename-object": (
        Case("ALTER TABLE app.users RENAME CONSTRAINT a TO b;"),
        Case("CREATE TYPE m AS ENUM ('a'); ALTER TYPE m RENAME TO n;"),
    ),
    "statement-after-exclusive-lock": (
        Case("ALTER TABLE app.users ADD x int; CREATE TABLE app.y (i int); CREATE INDEX ON app.y (i); COMMENT ON TABLE app.y IS 'x';"),
        Case("UPDATE app.users SET age = 1 WHERE id > 5; ALTER TABLE app.users ADD x int;"),
        Case("BEGIN; ALTER TABLE app.users ADD x int; COMMIT; BEGIN; UPDATE app.users SET x = 1 WHERE id > 5; COMMIT;"),
        Case("ALTER TABLE app.users ADD x int; INSERT INTO app.users (id) VALUES (1);"),
        Case("CREATE TABLE app.x (i int); ALTER TABLE app.x ADD y int; UPDATE app.x SET y = 1;"),
    ),
    "lock-table": (Case("BEGIN; LOCK TABLE app.users IN ROW EXCLUSIVE MODE; COMMIT;"),),
    "vacuum-full": (Case("VACUUM app.users;"), Case("VACUUM (FULL false) app.users;"), Case("VACUUM (ANALYZE) app.users;")),
}
