"""Migrations that a linter should stop, and look-alikes that it should let pass. Our own, written for this comparison.

`danger`: what happens on a table with rows and traffic; "" when nothing does. `before` is the set so far: ours reads it, squawk reads one
file at a time and is given `sql` alone, which is how both are used.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Snippet:
    name: str
    sql: str
    danger: str = ""
    before: str = (
        "CREATE TABLE users (id bigint PRIMARY KEY, email varchar(50), age integer, price numeric(8,2), seen timestamptz, note text);"
    )


SNIPPETS = (
    # columns
    Snippet("add a column", "ALTER TABLE users ADD COLUMN city text;"),
    Snippet("add a column with a constant default", "ALTER TABLE users ADD COLUMN score bigint NOT NULL DEFAULT 10;"),
    Snippet("add a column with now()", "ALTER TABLE users ADD COLUMN made timestamptz NOT NULL DEFAULT now();"),
    Snippet("add a column with a random uuid", "ALTER TABLE users ADD COLUMN ref uuid DEFAULT gen_random_uuid();", "rewrite"),
    Snippet("add a column with clock_timestamp()", "ALTER TABLE users ADD COLUMN made timestamptz DEFAULT clock_timestamp();", "rewrite"),
    Snippet("add a required column", "ALTER TABLE users ADD COLUMN city text NOT NULL;", "fails on rows"),
    Snippet("add a serial column", "ALTER TABLE users ADD COLUMN n bigserial;", "rewrite"),
    Snippet("add an identity column", "ALTER TABLE users ADD COLUMN n bigint GENERATED ALWAYS AS IDENTITY;", "rewrite"),
    Snippet("add a stored generated column", "ALTER TABLE users ADD COLUMN n bigint GENERATED ALWAYS AS (age * 2) STORED;", "rewrite"),
    Snippet("add a column with CHECK", "ALTER TABLE users ADD COLUMN n bigint CHECK (n > 0);", "full read under lock"),
    Snippet(
        "add a column with REFERENCES",
        "ALTER TABLE users ADD COLUMN boss bigint REFERENCES users (id); CREATE INDEX ON users (boss);",
        "index build",
    ),
    Snippet("add a column with UNIQUE", "ALTER TABLE users ADD COLUMN login text UNIQUE;", "index build under lock"),
    Snippet("drop a column", "ALTER TABLE users DROP COLUMN age;", "data lost"),
    Snippet("drop NOT NULL", "ALTER TABLE users ALTER COLUMN email DROP NOT NULL;", "readers meet NULL"),
    Snippet("set NOT NULL", "ALTER TABLE users ALTER COLUMN email SET NOT NULL;", "full read under lock"),
    Snippet(
        "set NOT NULL after a validated CHECK",
        "ALTER TABLE users ALTER COLUMN email SET NOT NULL;",
        before="CREATE TABLE users (id bigint PRIMARY KEY, email text); ALTER TABLE users ADD CONSTRAINT e"
        " CHECK (email IS NOT NULL) NOT VALID;"
        " ALTER TABLE users VALIDATE CONSTRAINT e;",
    ),
    Snippet("set a default", "ALTER TABLE users ALTER COLUMN age SET DEFAULT 18;"),
    Snippet("rename a column", "ALTER TABLE users RENAME COLUMN email TO mail;", "old code fails"),
    Snippet("rename a table", "ALTER TABLE users RENAME TO people;", "old code fails"),
    # types
    Snippet("varchar made wider", "ALTER TABLE users ALTER COLUMN email TYPE varchar(100);"),
    Snippet("varchar made narrower", "ALTER TABLE users ALTER COLUMN email TYPE varchar(20);", "rewrite"),
    Snippet("varchar to text", "ALTER TABLE users ALTER COLUMN email TYPE text;"),
    Snippet("numeric with more digits", "ALTER TABLE users ALTER COLUMN price TYPE numeric(12,2);"),
    Snippet("numeric with another scale", "ALTER TABLE users ALTER COLUMN price TYPE numeric(12,4);", "rewrite"),
    Snippet("integer to bigint", "ALTER TABLE users ALTER COLUMN age TYPE bigint;", "rewrite"),
    Snippet("text to jsonb", "ALTER TABLE users ALTER COLUMN note TYPE jsonb USING note::jsonb;", "rewrite"),
    Snippet("SET UNLOGGED", "ALTER TABLE users SET UNLOGGED;", "rewrite"),
    # constraints
    Snippet(
        "foreign key, validated", "ALTER TABLE users ADD CONSTRAINT f FOREIGN KEY (age) REFERENCES users (id);", "full read under lock"
    ),
    Snippet(
        "foreign key NOT VALID, with an index",
        "ALTER TABLE users ADD CONSTRAINT f FOREIGN KEY (boss) REFERENCES users (id) NOT VALID;",
        before="CREATE TABLE users (id bigint PRIMARY KEY, boss bigint); CREATE INDEX ON users (boss);",
    ),
    Snippet(
        "foreign key without an index", "CREATE TABLE orders (id bigint PRIMARY KEY, user_id bigint REFERENCES users (id));", "no index"
    ),
    Snippet("CHECK, validated", "ALTER TABLE users ADD CONSTRAINT c CHECK (age > 0);", "full read under lock"),
    Snippet("CHECK NOT VALID", "ALTER TABLE users ADD CONSTRAINT c CHECK (age > 0) NOT VALID;"),
    Snippet("VALIDATE on its own", "ALTER TABLE users VALIDATE CONSTRAINT c;"),
    Snippet(
        "NOT VALID and VALIDATE in one transaction",
        "BEGIN; ALTER TABLE users ADD CONSTRAINT c CHECK (age > 0) NOT VALID; ALTER TABLE users VALIDATE CONSTRAINT c; COMMIT;",
        "full read under lock",
    ),
    Snippet("UNIQUE", "ALTER TABLE users ADD CONSTRAINT u UNIQUE (email);", "index build under lock"),
    Snippet("UNIQUE USING INDEX", "ALTER TABLE users ADD CONSTRAINT u UNIQUE USING INDEX users_email;"),
    Snippet("PRIMARY KEY", "ALTER TABLE logs ADD PRIMARY KEY (id);", "index build under lock"),
    Snippet("EXCLUDE", "ALTER TABLE users ADD CONSTRAINT e EXCLUDE USING gist (email WITH =);", "index build under lock"),
    Snippet("CHECK on a domain", "ALTER DOMAIN email ADD CONSTRAINT e CHECK (value <> '');", "full read under lock"),
    # indexes
    Snippet("index on an existing table", "CREATE INDEX users_email ON users (email);", "writers wait"),
    Snippet(
        "index on a table of the same file", "CREATE TABLE logs (id bigint PRIMARY KEY, at timestamptz); CREATE INDEX logs_at ON logs (at);"
    ),
    Snippet("index concurrently", "CREATE INDEX CONCURRENTLY users_email ON users (email);"),
    Snippet("index concurrently in a transaction", "BEGIN; CREATE INDEX CONCURRENTLY users_email ON users (email); COMMIT;", "fails"),
    Snippet("drop an index", "DROP INDEX users_email;", "everybody waits"),
    Snippet("drop an index concurrently", "DROP INDEX CONCURRENTLY IF EXISTS users_email;"),
    Snippet("reindex a table", "REINDEX TABLE users;", "everybody waits"),
    Snippet("reindex concurrently", "REINDEX TABLE CONCURRENTLY users;"),
    Snippet("refresh a materialized view", "REFRESH MATERIALIZED VIEW totals;", "readers wait"),
    # destructive
    Snippet("drop a table", "DROP TABLE users;", "data lost"),
    Snippet("drop a table of the same file", "CREATE TABLE scratch (id bigint PRIMARY KEY); DROP TABLE scratch;"),
    Snippet("drop a database", "DROP DATABASE shop;", "data lost"),
    Snippet("drop a schema with all in it", "DROP SCHEMA shop CASCADE;", "data lost"),
    Snippet("drop a view", "DROP VIEW active_users;", "old code fails"),
    Snippet("drop a view and make it again", "DROP VIEW IF EXISTS active_users; CREATE VIEW active_users AS SELECT id FROM users;"),
    Snippet("truncate", "TRUNCATE users;", "data lost"),
    Snippet("truncate cascade", "TRUNCATE users CASCADE;", "data lost"),
    Snippet("delete everything", "DELETE FROM users;", "data lost"),
    Snippet("delete some", "DELETE FROM users WHERE id = 5;"),
    Snippet("update everything", "UPDATE users SET age = 0;", "data lost"),
    # transactions and locks
    Snippet("BEGIN without COMMIT", "BEGIN; ALTER TABLE users ADD COLUMN city text;", "rolled back"),
    Snippet("BEGIN in BEGIN", "BEGIN; BEGIN; ALTER TABLE users ADD COLUMN city text; COMMIT; COMMIT;", "half committed"),
    Snippet(
        "update after an ALTER",
        "BEGIN; ALTER TABLE users ADD COLUMN city text; UPDATE users SET city = 'x' WHERE id > 5; COMMIT;",
        "lock held",
    ),
    Snippet("LOCK TABLE", "BEGIN; LOCK TABLE users; COMMIT;", "everybody waits"),
    Snippet("VACUUM FULL", "VACUUM FULL users;", "rewrite"),
    Snippet("CLUSTER", "CLUSTER users USING users_pkey;", "rewrite"),
    Snippet("detach a partition", "ALTER TABLE logs DETACH PARTITION logs_2020;", "everybody waits"),
    Snippet("detach a partition concurrently", "ALTER TABLE logs DETACH PARTITION logs_2020 CONCURRENTLY;"),
    # enums and names
    Snippet("a new enum value", "ALTER TYPE mood ADD VALUE IF NOT EXISTS 'glad' AFTER 'sad';"),
    Snippet(
        "a new enum value used at once",
        "BEGIN; ALTER TYPE mood ADD VALUE 'glad' AFTER 'sad'; UPDATE users SET note = 'glad' WHERE id = 1; COMMIT;",
        "fails",
    ),
    Snippet("an enum value renamed", "ALTER TYPE mood RENAME VALUE 'sad' TO 'blue';", "old code fails"),
    Snippet("a name of 70 bytes", f"CREATE INDEX CONCURRENTLY IF NOT EXISTS {'users_' * 11}mail ON users (email);", "cut silently"),
    Snippet("a misspelt table", "ALTER TABLE uesrs ADD COLUMN IF NOT EXISTS city text;", "fails"),
    Snippet("a misspelt column", "CREATE INDEX CONCURRENTLY IF NOT EXISTS users_mail ON users (mail);", "fails"),
    Snippet("a table made twice", "CREATE TABLE IF NOT EXISTS users (id bigint PRIMARY KEY, city text);", "not made"),
    Snippet("char(n)", "CREATE TABLE IF NOT EXISTS codes (id bigint PRIMARY KEY, code char(10));", "padded"),
    Snippet("32-bit serial key", "CREATE TABLE IF NOT EXISTS codes (id serial PRIMARY KEY);", "runs out"),
    Snippet("timestamp without time zone", "CREATE TABLE IF NOT EXISTS codes (id bigint PRIMARY KEY, at timestamp);", "ambiguous"),
    Snippet("a password", "CREATE ROLE app LOGIN PASSWORD 'x';", "leaked"),
)
