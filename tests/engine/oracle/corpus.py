# ruff: noqa: E501 - a file of a set is read best as one line of Python
"""Files that are hard to read, each complete in itself; they run one after the other in one database.

Every one is written for this test and is what somebody's real file looks like in the large.
"""

from typing import Final

_COPIED = "CREATE TABLE {0} (a text, b text);\n"

_TEXTS: Final[dict[str, str | bytes]] = {
    "plain": "CREATE TABLE plain (id int PRIMARY KEY, note text);\nINSERT INTO plain VALUES (1, 'one'), (2, 'two');\n",
    "house_template": "-- Purpose: house\n\nBEGIN;\n\nCREATE TABLE house (id int);\n\nCOMMIT;\n",
    "start_transaction": "START TRANSACTION ISOLATION LEVEL SERIALIZABLE;\nCREATE TABLE started (id int);\nEND TRANSACTION;\n",
    "begin_without_semicolon_on_line": "BEGIN\n;\nCREATE TABLE split_begin (id int)\n;\nCOMMIT\n;",
    "nested_dollar_quotes": (
        "CREATE FUNCTION outer_() RETURNS text LANGUAGE plpgsql AS $outer$\nDECLARE x text := $$a;b$$;\nBEGIN\n"
        "  EXECUTE $in$ SELECT $deep$;$deep$ $in$ INTO x;\n  RETURN x || $o$;$o$ || '$outer';\nEND $outer$;\nSELECT outer_();\n"
    ),
    "dollar_tags": "SELECT $é$;$é$, $_1$;$_1$, $a1$ $$ ; $a2$ $a1$, $$--$$, $$/*$$;\nSELECT $$a$$ AS a$b, 1 AS a$$b, 2 AS a$b$c;\n",
    "parameter_like_names": (
        "CREATE TABLE dollar$1 (a$b$c int);\nINSERT INTO dollar$1 VALUES (1); SELECT a$b$c FROM dollar$1;\n"
        "CREATE FUNCTION add_(int, int) RETURNS int LANGUAGE sql AS 'SELECT $1 + $2;';\nSELECT add_(1,2);\n"
        "PREPARE p(int) AS SELECT $1;EXECUTE p(1);DEALLOCATE p;\n"
    ),
    "begin_atomic": (
        "CREATE FUNCTION atomic_(n int) RETURNS int LANGUAGE sql\nBEGIN ATOMIC\n  SELECT 1;\n  SELECT CASE WHEN n > 0 THEN 1 ELSE 2 END;\n"
        'END;\nCREATE OR REPLACE PROCEDURE atomic_p() LANGUAGE sql BEGIN ATOMIC SELECT 1; SELECT CASE 1 WHEN 1 THEN 2 END AS "end"; END;\n'
        "SELECT atomic_(1);\n"
    ),
    "names_of_atomic": (
        'CREATE TABLE atomic ("begin" int, "end" int);\nCREATE VIEW case_view AS SELECT CASE WHEN "begin" = 1 THEN 2 END AS x FROM atomic;\n'
        "CREATE FUNCTION begin_atomic() RETURNS int LANGUAGE sql AS 'select 1'; SELECT begin_atomic() AS atomic;\n"
    ),
    "escape_strings": (
        "SELECT E'it\\'s; \\\\', E'\\\\', e'\\';\\n', 'back\\', 'two''s;', E'a'\n'b;c', E'', '';\n"
        "SELECT 'a'\n'b;' AS continued, E'\\x41\\u0041\\'' AS e;\nSELECT N'n;', B'1', X'1F';\n"
    ),
    "unicode_escapes": (
        "SELECT U&'d\\0061t\\+000061;' AS a, u&'!0041;' UESCAPE '!' AS b;\nSELECT 1 AS U&\"\\00e9;\", 2 AS U&\"!0041;\" UESCAPE '!';\n"
    ),
    "nested_comments": (
        "/* a /* nested; */ ' \" $$ */ SELECT 1 /* ; */ + /* -- */ 2; -- ; ' $$ /*\nSELECT /* /* /* deep ; */ */ */ 3 --;\n;\n"
        "/**/SELECT 4;/***/SELECT/*/ */5;--\nSELECT 6 -- last ;"
    ),
    "operators_like_comments": (
        "CREATE OPERATOR <-> (LEFTARG = int, RIGHTARG = int, FUNCTION = int4mi);\nSELECT 5 <-> 2, 3 - -1, 4 / 2, 2*3, - - 1, 5 <->-2;\n"
    ),
    "semicolons_in_parentheses": (
        "CREATE TABLE ruled (id int); CREATE TABLE rule_log (id int, what text);\n"
        "CREATE RULE r AS ON INSERT TO ruled DO ALSO (INSERT INTO rule_log VALUES (new.id, 'a;)'); INSERT INTO rule_log VALUES (new.id, 'b');\n"
        ");\nINSERT INTO ruled VALUES (1);\nINSERT INTO ruled VALUES (2);\nCREATE RULE q AS ON DELETE TO ruled DO INSTEAD NOTHING;\n"
    ),
    "empty_statements": ";;\n;CREATE TABLE empties (id int);;; ; /* ; */ ; -- ;\nINSERT INTO empties VALUES (1);;\n;",
    "no_final_newline": "CREATE TABLE no_newline (id int);",
    "no_final_semicolon": "CREATE TABLE no_semicolon (id int);\nINSERT INTO no_semicolon VALUES (1)",
    "last_line_is_a_comment": "CREATE TABLE commented (id int)\n-- the end",
    "last_line_is_a_comment_after_semicolon": "CREATE TABLE commented_too (id int); -- the end",
    "no_statement": "-- nothing here yet\n\n/* nor here */\n",
    "nothing_at_all": "",
    "only_space": " \n\t\r\n",
    "bom": b"\xef\xbb\xbfCREATE TABLE with_bom (id int);\n",
    "bom_before_comment": b"\xef\xbb\xbf-- with a BOM\nCREATE TABLE with_bom_too (id int);\n",
    "bom_inside": "CREATE TABLE bom_inside (t text);\nINSERT INTO bom_inside VALUES ('\ufeff');\n",
    "crlf": "CREATE TABLE crlf (\r\n  id int\r\n);\r\nINSERT INTO crlf VALUES\r\n(1);\r\n-- a comment\r\nSELECT 1;\r\n",
    "crlf_in_bodies": (
        "CREATE FUNCTION crlf_body() RETURNS int LANGUAGE plpgsql AS $$\r\nBEGIN\r\n  -- x;\r\n  RETURN 1;\r\nEND\r\n$$;\r\n"
        "CREATE TABLE crlf_text (t text DEFAULT 'a\r\nb');\r\nINSERT INTO crlf_text DEFAULT VALUES;\r\n"
        "COMMENT ON TABLE crlf_text IS E'one\r\ntwo\\r\\n';\r\n"
    ),
    "lone_cr": "CREATE TABLE lone_cr (id int);\rINSERT INTO lone_cr VALUES (1); -- comment\rINSERT INTO lone_cr VALUES (2);\n",
    "form_feed_and_tabs": "\fCREATE\tTABLE\fffs\t(id\fint);\f\n\t;",
    "non_ascii_names": (
        'CREATE TABLE Größe (größe int, "Ünï;cödé" text, 表 text, "a""b;" int);\n'
        "INSERT INTO größe VALUES (1, 'ß;', '値', 2);\nSELECT größe, 表, \"a\"\"b;\" FROM größe;\nSELECT '🐘;' AS 🐘;\n"
    ),
    "nbsp_in_text": "SELECT 'a\u00a0b;\u2028' AS \"x\u00a0y\";\n",
    "savepoints": (
        "BEGIN;\nCREATE TABLE saved (id int);\nSAVEPOINT a;\nINSERT INTO saved VALUES (1);\nROLLBACK TO SAVEPOINT a;\nINSERT INTO saved VALUES (2);\n"
        "RELEASE a;\nSAVEPOINT b;\nINSERT INTO saved VALUES (3);\nROLLBACK WORK TO b;\nCOMMIT;\n"
    ),
    "several_transactions": (
        "BEGIN;\nCREATE TABLE several (id int);\nCOMMIT;\n\nBEGIN;\nINSERT INTO several VALUES (1);\nROLLBACK;\nBEGIN WORK;\n"
        "INSERT INTO several VALUES (2);\nCOMMIT WORK;\nINSERT INTO several VALUES (3);\n"
    ),
    "sql_after_commit": "BEGIN;\nCREATE TABLE after_commit (id int);\nCOMMIT;\nINSERT INTO after_commit VALUES (1);\nANALYZE after_commit;\n",
    "sql_before_begin": "CREATE TABLE before_begin (id int);\nBEGIN;\nINSERT INTO before_begin VALUES (1);\nCOMMIT;\n",
    "chained": "BEGIN;\nCREATE TABLE chained (id int);\nCOMMIT AND CHAIN;\nINSERT INTO chained VALUES (1);\nCOMMIT AND NO CHAIN;\n",
    "chained_rollback": (
        "CREATE TABLE chained_rollback (id int);\nBEGIN;\nINSERT INTO chained_rollback VALUES (1);\nROLLBACK AND CHAIN;\n"
        "INSERT INTO chained_rollback VALUES (2);\nCOMMIT;\n"
    ),
    "begin_with_options": "BEGIN ISOLATION LEVEL REPEATABLE READ, READ WRITE;\nCREATE TABLE optioned (id int);\nCOMMIT;\n",
    "concurrently": (
        "CREATE TABLE indexed (id int, t text);\nINSERT INTO indexed SELECT g, 'x;' FROM generate_series(1, 10) g;\n"
        "CREATE INDEX CONCURRENTLY indexed_id ON indexed (id) WHERE t <> ';';\nCREATE INDEX CONCURRENTLY ON indexed (t);\n"
        "REINDEX TABLE CONCURRENTLY indexed;\nVACUUM (ANALYZE) indexed;\nDROP INDEX CONCURRENTLY indexed_id;\n"
    ),
    "enum_used_at_once": (
        "CREATE TYPE lights AS ENUM ('red');\nALTER TYPE lights ADD VALUE 'green';\nCREATE TABLE lamps (l lights DEFAULT 'green');\n"
    ),
    "enum_of_before": "ALTER TYPE lights ADD VALUE 'blue';\nINSERT INTO lamps VALUES ('blue');\n",
    "settings": (
        "SET search_path = public, pg_catalog;\nSET LOCAL work_mem = '4MB';\nSELECT set_config('my.setting', 'a;b', false);\n"
        "SET my.other TO 'x'; RESET my.other; SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED;\nRESET ALL;\n"
    ),
    "settings_stepwise": (
        "CREATE SCHEMA elsewhere;\nSET search_path TO elsewhere;\nCREATE TABLE here (id int);\nVACUUM here;\nINSERT INTO here VALUES (1);\n"
        "RESET search_path;\nINSERT INTO elsewhere.here VALUES (2);\n"
    ),
    "temporary": "CREATE TEMP TABLE scratch (id int);\nINSERT INTO scratch VALUES (1);\nCREATE TABLE kept AS TABLE scratch;\n",
    "cursors": "BEGIN;\nDECLARE c CURSOR FOR SELECT generate_series(1, 5);\nFETCH 2 FROM c;\nMOVE c;\nCLOSE c;\nCOMMIT;\n",
    "nonstandard_strings": (
        "SET standard_conforming_strings = off;\nSET escape_string_warning = off;\nCREATE TABLE nonstandard (t text);\n"
        "INSERT INTO nonstandard VALUES ('tab\\there'), ('back\\\\slash');\nSET standard_conforming_strings = on;\n"
        "INSERT INTO nonstandard VALUES ('tab\\there');\n"
    ),
    "do_blocks": (
        "DO $$ BEGIN PERFORM 1; EXCEPTION WHEN OTHERS THEN NULL; END $$;\nDO LANGUAGE plpgsql 'BEGIN PERFORM ''a;''; END';\n"
        "DO $body$\nDECLARE r record;\nBEGIN\n  FOR r IN SELECT 1 AS x LOOP\n    EXECUTE format($f$SELECT %L;$f$, r.x);\n  END LOOP;\nEND\n$body$;\n"
    ),
    "do_that_commits": (
        "CREATE TABLE committed (id int);\nDO $$ BEGIN INSERT INTO committed VALUES (1); COMMIT; INSERT INTO committed VALUES (2); END $$;\n"
    ),
    "call_that_commits": (
        "-- Transaction: none\nCREATE PROCEDURE commits() LANGUAGE plpgsql AS $$ BEGIN CREATE TABLE by_call (id int); COMMIT; END $$;\nCALL commits();\n"
    ),
    "restrict_lines": "\\restrict abcDEF123\n\nCREATE TABLE restricted (id int);\n\\unrestrict abcDEF123\n",
    "colons": "SELECT 1::int, (ARRAY[1,2,3])[1:2], ':not_a_variable', :: int FROM (SELECT 2) AS s(x);\n".replace(":: int", "x :: int"),
    "keywords_as_names": 'CREATE TABLE "select;" ("from" int, "BEGIN" int);\nINSERT INTO "select;" ("from", "BEGIN") VALUES (1, 2);\n',
    "many_on_a_line": "CREATE TABLE a1(i int);CREATE TABLE a2(i text);INSERT INTO a1 VALUES(1);INSERT INTO a2 VALUES(';');SELECT';'||';';SELECT\";\"FROM(SELECT 1 AS\";\")s;\n",
    "table_and_values": "TABLE plain;\nVALUES (1, ';'), (2, ')');\n(SELECT 1) UNION (SELECT 2);\n(VALUES (1));\nWITH x AS (SELECT ';' AS s) SELECT s FROM x;\n",
    "locks_and_grants": "BEGIN;\nLOCK TABLE plain IN SHARE MODE;\nGRANT SELECT ON plain TO PUBLIC;\nREVOKE ALL ON plain FROM PUBLIC;\nCOMMIT;\n",
    "deferred": (
        "CREATE TABLE parent (id int PRIMARY KEY);\nCREATE TABLE child (id int REFERENCES parent DEFERRABLE INITIALLY DEFERRED);\n"
        "BEGIN;\nINSERT INTO child VALUES (1);\nINSERT INTO parent VALUES (1);\nCOMMIT;\n"
    ),
    "notices": "CREATE TABLE IF NOT EXISTS plain (id int);\nDROP TABLE IF EXISTS was_never_there;\nDO $$ BEGIN RAISE WARNING 'a;'; END $$;\n",
    "rows_with_conditional_rules": (
        "CREATE TABLE watched (id int);\nCREATE RULE also AS ON INSERT TO watched DO ALSO SELECT 'seen;' AS a, new.id;\n"
        "INSERT INTO watched VALUES (1), (2);\nINSERT INTO watched VALUES (3);\nSELECT 1;\n"
    ),
    "copy_plain": _COPIED.format("copied") + "COPY copied FROM STDIN;\na\tb;\n'\t\"\n\\N\t$$\n--\t/*\n\\.\nSELECT 1;\n",
    "copy_backslashes": (
        _COPIED.format("copied_back")
        + "COPY copied_back (a, b) FROM stdin WITH (FORMAT text);\n\\\\.\t\\\\\nx\\\\.\t\\t\\n\n x\t\\x41\\101\n\\b\\f\\v\t\\\\N\n\\.\n"
    ),
    "copy_csv": (
        _COPIED.format("copied_csv")
        + 'COPY copied_csv FROM STDIN (FORMAT csv, HEADER);\na,b\n1,"two\nlines;"\n,""\n"q""q",$$\n\\N,\'\n\\.\nSELECT count(*) FROM copied_csv;\n'
    ),
    "copy_nothing": _COPIED.format("copied_nothing")
    + "COPY copied_nothing FROM STDIN;\n\\.\nSELECT 1;\nCOPY copied_nothing FROM STDIN;\n\\.\n",
    "copy_crlf": _COPIED.format("copied_crlf").replace("\n", "\r\n")
    + "COPY copied_crlf FROM STDIN;\r\na\tb\r\nc\td\r\n\\.\r\nSELECT 1;\r\n",
    "copy_csv_crlf": _COPIED.format("copied_csv_crlf") + 'COPY copied_csv_crlf FROM STDIN CSV;\r\na,b\r\n"c\r\nd",e\r\n\\.\r\n',
    "copy_to_the_end": _COPIED.format("copied_end") + "COPY copied_end FROM STDIN;\na\tb\nc\td\n",
    "copy_to_the_end_without_newline": _COPIED.format("copied_eof") + "COPY copied_eof FROM STDIN;\na\tb\nc\td",
    "copy_in_transaction": (
        "BEGIN;\nCREATE TABLE copied_frozen (a text);\nCOPY copied_frozen FROM STDIN (FREEZE);\nfrozen;\nBEGIN;\nCOMMIT;\n\\.\nCOMMIT;\n"
    ),
    "copy_stepwise": _COPIED.format("copied_step")
    + "COPY copied_step FROM STDIN;\na\tb\n\\.\nVACUUM copied_step;\nCOPY copied_step FROM STDIN;\nc\td\n\\.\n",
    "copy_non_ascii": _COPIED.format("copied_utf") + "COPY copied_utf FROM STDIN;\nß;\t値\n🐘\t\ufeff\n\\.\n",
    "copy_comment_after": _COPIED.format("copied_comment") + "COPY copied_comment FROM STDIN; -- the data\na\tb\n\\.\n",
    "copy_multiline_statement": (
        _COPIED.format("copied_lines")
        + "COPY copied_lines\n  (a, b) -- columns\n  FROM /* ; */ STDIN\n  WITH (DELIMITER ';', NULL '');\na;b\n;c\n\\.\n"
    ),
    "copy_long": (
        _COPIED.format("copied_long")
        + "COPY copied_long FROM STDIN;\n"
        + "".join(f"{n}\t{'x' * (n % 300)}\n" for n in range(3000))
        + "w\t"
        + "y" * 200_000
        + "\n\\.\n"
    ),
    "copy_out": "COPY plain TO STDOUT;\nCOPY (SELECT ';') TO STDOUT WITH CSV;\nSELECT 1;\n",
    "statement_over_a_block": f"INSERT INTO plain SELECT 100, '{'long; ' * 120_000}';\nSELECT 1;\n",
    "many_small": "CREATE TABLE small (id int);\n" + "".join(f"INSERT INTO small VALUES ({n}); -- {n};\n" for n in range(4000)),
    "quotes_over_messages": "CREATE TABLE quoted (t text);\n"
    + "".join(f"INSERT INTO quoted VALUES ('{'a;' * n}''--');\n" for n in range(0, 2000, 40)),
    "identity_and_sequences": "CREATE TABLE numbered (id int GENERATED ALWAYS AS IDENTITY);\nINSERT INTO numbered DEFAULT VALUES;\nSELECT lastval();\n",
    "verbatim_body_spacing": "CREATE FUNCTION spaced() RETURNS text LANGUAGE sql AS $$\n\n\tSELECT   'a' -- ;\n\n$$  ;\nCREATE VIEW v_spaced AS\n  SELECT\n\n    1 AS x\n;\n",
    "ends_in_open_line_comment_and_cr": "SELECT 1; -- end\r",
}

FILES: Final = {name: text if isinstance(text, bytes) else text.encode() for name, text in _TEXTS.items()}
"""Name of a file, its bytes."""


BIG_OBJECTS: Final = """
CREATE SCHEMA shop;
CREATE EXTENSION IF NOT EXISTS plpgsql;
CREATE TYPE shop.state AS ENUM ('new', 'it''s;paid', 'Ünï');
CREATE DOMAIN shop.cents AS bigint CHECK (VALUE >= 0) DEFAULT 0;
CREATE TYPE shop.address AS (street text, "Nr;" int);
CREATE SEQUENCE shop.numbers START 7 INCREMENT 3;
CREATE TABLE shop.customers (
    id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, name text NOT NULL DEFAULT E'a\\'b;\\n', home shop.address, born date,
    tags text[] DEFAULT '{}', doc jsonb DEFAULT '{"a": ";"}', raw bytea, upper_name text GENERATED ALWAYS AS (upper(name)) STORED,
    CONSTRAINT "odd;name" CHECK (name <> ';') NOT VALID);
CREATE TABLE shop.orders (id int DEFAULT nextval('shop.numbers'), customer bigint REFERENCES shop.customers ON DELETE CASCADE,
    state shop.state NOT NULL DEFAULT 'new', cents shop.cents, at timestamptz, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE shop.orders_old PARTITION OF shop.orders FOR VALUES FROM (MINVALUE) TO ('2024-01-01');
CREATE TABLE shop.orders_rest PARTITION OF shop.orders DEFAULT;
CREATE UNIQUE INDEX ON shop.customers (lower(name)) WHERE name ~ ';';
CREATE INDEX orders_state ON shop.orders USING btree (state, cents DESC NULLS LAST) INCLUDE (customer);
CREATE VIEW shop.v AS SELECT id, CASE WHEN name = ';' THEN 'end;' ELSE name END AS "case" FROM shop.customers;
CREATE MATERIALIZED VIEW shop.mv AS SELECT count(*) FROM shop.customers;
CREATE FUNCTION shop.trg() RETURNS trigger LANGUAGE plpgsql AS $fn$ BEGIN new.name := new.name || $$;$$; RETURN new; END $fn$;
CREATE TRIGGER t BEFORE UPDATE ON shop.customers FOR EACH ROW WHEN (old.name IS DISTINCT FROM new.name) EXECUTE FUNCTION shop.trg();
CREATE FUNCTION shop.sum_(int, VARIADIC int[]) RETURNS int LANGUAGE sql IMMUTABLE BEGIN ATOMIC
    SELECT 1; SELECT CASE WHEN $1 > 0 THEN (SELECT sum(x) FROM unnest($2) AS x) ELSE 0 END; END;
CREATE PROCEDURE shop.proc() LANGUAGE sql AS 'SELECT 1; SELECT 2';
CREATE AGGREGATE shop.agg(int) (SFUNC = int4pl, STYPE = int, INITCOND = '0');
CREATE OPERATOR shop.### (LEFTARG = int, RIGHTARG = int, FUNCTION = int4pl);
CREATE RULE r AS ON DELETE TO shop.customers DO ALSO (SELECT 1; SELECT 2);
ALTER TABLE shop.customers ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON shop.customers FOR SELECT USING (name <> ';');
CREATE STATISTICS shop.st ON id, name FROM shop.customers;
CREATE TEXT SEARCH CONFIGURATION shop.conf (COPY = simple);
CREATE COLLATION shop.c FROM "C";
CREATE CAST (shop.address AS text) WITH INOUT;
COMMENT ON TABLE shop.customers IS 'a comment; with $$ and ''quotes''
over lines';
GRANT SELECT ON shop.customers TO PUBLIC;
INSERT INTO shop.customers (name, home, tags, raw) SELECT E'n\\t\\\\.;\\n' || g, ROW('s;'::text, g)::shop.address, ARRAY['{;}', '"'], '\\x00ff'
    FROM generate_series(1, 50) AS g;
INSERT INTO shop.customers (name) VALUES (E'\\\\.'), ('\\.'), (''), (E'a\\rb\\r\\nc');
INSERT INTO shop.orders (customer, state, cents, at) SELECT g, 'it''s;paid', g, '2023-12-20'::timestamptz + g * interval '1 day'
    FROM generate_series(1, 30) AS g;
SELECT lo_from_bytea(4711, '\\xdeadbeef');
"""
"""A database with one of everything that needs no superuser."""
