"""How each tool is installed, which files it is given and how it is run."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

USERS = "CREATE TABLE users (id int PRIMARY KEY, email text NOT NULL);\n"
ORDERS = "CREATE TABLE orders (id int PRIMARY KEY, user_id int REFERENCES users);\nCREATE INDEX orders_user ON orders (user_id);\n"
NOTES = "-- the last line has no end\r\nALTER TABLE orders ADD COLUMN note text DEFAULT 'é';"
TEXTS = (USERS, ORDERS, NOTES)
NAMES = ("users", "orders", "order_notes")


@dataclass(frozen=True)
class Recipe:
    """`install` is run once, in the cache's folder for this tool, where it leaves its programs; `run` in a folder with `files`.

    In both, {cache} is the cache's folder and {url} the database; the PG* variables are set as well. `ours` says under which name each of
    the files stands in our folder; `layout` which layout that has.
    """

    tool: str
    version: str
    install: tuple[tuple[str, ...], ...]
    files: Mapping[str, str]
    run: tuple[tuple[str, ...], ...]
    ours: Mapping[str, str]
    layout: str = "numbered"
    environment: Mapping[str, str] = field(default_factory=dict)
    failing: tuple[tuple[str, ...], ...] = ()
    """Run after the rest was kept: ends with an error, and leaves what the tool leaves then."""


def _numbered(pattern: str, texts: tuple[str, ...] = TEXTS) -> dict[str, str]:
    return {pattern.format(number=number, name=name): text for number, (name, text) in enumerate(zip(NAMES, texts, strict=True), 1)}


def _same(files: Mapping[str, str], folder: str) -> dict[str, str]:
    """Our names where they are the tool's own."""
    return {name.removeprefix(f"{folder}/"): name for name in files}


def _go(package: str, version: str, *options: str) -> tuple[tuple[str, ...], ...]:
    return (("go", "install", *options, f"{package}@{version}"),)


def _up_down(up: str, down: str) -> tuple[str, ...]:
    undo = ("DROP TABLE users;\n", "DROP TABLE orders;\n", "ALTER TABLE orders DROP COLUMN note;\n")
    return tuple(f"{up}\n{text}\n{down}\n{back}" for text, back in zip(TEXTS, undo, strict=True))


_GOOSE = _numbered("m/{number:05}_{name}.sql", _up_down("-- +goose Up", "-- +goose Down"))
_DBMATE = _numbered("db/migrations/2024010{number}000000_{name}.sql", _up_down("-- migrate:up", "-- migrate:down"))
_MIGRATE = _numbered("m/{number}_{name}.up.sql")
_TERN = _numbered("m/{number:03}_{name}.sql")
_NODE = _numbered("m/170000000000{number}_{name}.sql")
_FLYWAY = _numbered("sql/V1.{number}__{name}.sql") | {"sql/R__view.sql": "CREATE OR REPLACE VIEW u AS SELECT id FROM users;\n"}
_IN_TWO = ORDERS.replace("\nCREATE INDEX", "\n--changeset ann:index\nCREATE INDEX")
_LIQUIBASE = {
    "001_users.sql": f"--liquibase formatted sql\n--changeset ann:users\n{USERS}",
    "002_orders.sql": "--liquibase formatted sql\n--changeset ann:orders\n" + _IN_TWO,
    "003_order_notes.sql": f"--liquibase formatted sql\n--changeset bob:notes\n{NOTES}",
}
_LIQUIBASE_ROOT = "databaseChangeLog:\n" + "".join(f"- include: {{file: {name}}}\n" for name in _LIQUIBASE)
_SQITCH = _numbered("deploy/{name}.sql")
_SQLX = _numbered("migrations/2024010{number}000000_{name}.sql")
_YOYO = _numbered("m/000{number}.{name}.sql")
_NPM = ("npm", "install", "--no-audit", "--no-fund", "--prefix", ".")
_GRAPHILE = dict(zip(("a", "b", "c"), TEXTS, strict=True))

_ALEMBIC = {
    f"{number:04}": f"""revision = "rev{number}"
down_revision = {f'"rev{number - 1}"' if number > 1 else None}
from alembic import op
def upgrade():
    for statement in {text.split(";" + chr(10))!r}:
        if statement.strip():
            op.execute(statement)
"""
    for number, text in enumerate(TEXTS, 1)
}
_ALEMBIC_ENV = """from alembic import context
from sqlalchemy import create_engine
if context.is_offline_mode():
    context.configure(url="postgresql+psycopg://", literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()
else:
    with create_engine("postgresql+psycopg://").connect() as connection:
        context.configure(connection=connection)
        with context.begin_transaction():
            context.run_migrations()
"""
_POM = """<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion><groupId>x</groupId><artifactId>x</artifactId>
<version>1</version><dependencies>{}</dependencies></project>"""
_JAVA = """import java.nio.file.*;
public class Run { public static void main(String[] a) throws Exception {
String url = "jdbc:postgresql://" + System.getenv("PGHOST") + ":" + System.getenv("PGPORT") + "/" + System.getenv("PGDATABASE");
String user = System.getenv("PGUSER"), password = System.getenv("PGPASSWORD"); %s } }
"""
_RUN_FLYWAY = """org.flywaydb.core.Flyway.configure().dataSource(url, user, password).locations("filesystem:sql").load().migrate();"""
_RUN_LIQUIBASE = """try (var c = java.sql.DriverManager.getConnection(url, user, password)) {
var database = liquibase.database.DatabaseFactory.getInstance()
    .findCorrectDatabaseImplementation(new liquibase.database.jvm.JdbcConnection(c));
new liquibase.Liquibase("root.yaml", new liquibase.resource.DirectoryResourceAccessor(Path.of(".")), database).update(""); }"""


def _maven(*coordinates: str) -> tuple[tuple[str, ...], ...]:
    parts = (each.split(":") for each in coordinates)
    tags = "<dependency><groupId>{}</groupId><artifactId>{}</artifactId><version>{}</version></dependency>"
    dependencies = "".join(tags.format(*each) for each in parts)
    return (("write", "pom.xml", _POM.format(dependencies)), ("mvn", "-q", "-B", "dependency:copy-dependencies", "-DoutputDirectory=lib"))


RECIPES = (
    Recipe(
        "goose",
        "3.24.1",
        _go("github.com/pressly/goose/v3/cmd/goose", "v3.24.1"),
        _GOOSE,
        (("{cache}/goose", "-dir", "m", "postgres", "{url}", "up"),),
        _same(_GOOSE, "m"),
        "goose",
    ),
    Recipe(
        "tern",
        "2.3.3",
        _go("github.com/jackc/tern/v2", "v2.3.3"),
        _TERN,
        (("{cache}/tern", "migrate", "--migrations", "m", "--conn-string", "{url}"),),
        _same(_TERN, "m"),
    ),
    Recipe(
        "golang-migrate",
        "4.18.2",
        _go("github.com/golang-migrate/migrate/v4/cmd/migrate", "v4.18.2", "-tags", "postgres"),
        _MIGRATE | {"broken/1_users.up.sql": "", "broken/4_bad.up.sql": "SELECT 1/0;"},
        (("{cache}/migrate", "-path", "m", "-database", "{url}", "up"),),
        _same(_MIGRATE, "m"),
        "golang-migrate",
        failing=(("cp", "broken/4_bad.up.sql", "m/"), ("{cache}/migrate", "-path", "m", "-database", "{url}", "up")),
    ),
    Recipe(
        "dbmate",
        "2.36.0",
        ((*_NPM, "dbmate@2.36.0"),),
        _DBMATE,
        (("{cache}/node_modules/.bin/dbmate", "--url", "{url}", "--no-dump-schema", "up"),),
        _same(_DBMATE, "db/migrations"),
        "dbmate",
    ),
    Recipe(
        "node-pg-migrate",
        "9.0.0",
        ((*_NPM, "node-pg-migrate@9.0.0", "pg"),),
        _NODE,
        (("{cache}/node_modules/.bin/node-pg-migrate", "up", "-m", "m"),),
        _same(_NODE, "m"),
        environment={"DATABASE_URL": "{url}"},
    ),
    Recipe(
        "graphile-migrate",
        "1.4.1",
        ((*_NPM, "graphile-migrate@1.4.1"),),
        _GRAPHILE
        | {".gmrc": json.dumps({"connectionString": "{url}", "shadowConnectionString": "{shadow}"}), "migrations/committed/.keep": ""},
        tuple(
            step
            for name in _GRAPHILE
            for step in (("cp", name, "migrations/current.sql"), ("{cache}/node_modules/.bin/graphile-migrate", "commit"))
        ),
        {f"{number:06}_{name}.sql": f"migrations/committed/{number:06}.sql" for number, name in enumerate(NAMES, 1)},
        environment={"DATABASE_URL": "{url}", "SHADOW_DATABASE_URL": "{shadow}", "ROOT_DATABASE_URL": "{root}"},
    ),
    Recipe(
        "alembic",
        "1.20.1",
        (("python3", "-m", "venv", "."), ("{cache}/bin/pip", "install", "-q", "alembic==1.20.1", "psycopg[binary]==3.2.10")),
        {f"a/versions/{name}.py": text for name, text in _ALEMBIC.items()}
        | {"a/env.py": _ALEMBIC_ENV, "alembic.ini": "[alembic]\nscript_location = a\n"}
        | {
            f"{number}.sh": f"{{cache}}/bin/alembic upgrade {before}:rev{number} --sql > {number}.sql\n"
            for number, before in ((1, "base"), (2, "rev1"), (3, "rev2"))
        },
        (("{cache}/bin/alembic", "upgrade", "head"), ("sh", "1.sh"), ("sh", "2.sh"), ("sh", "3.sh")),
        {f"{number:03}_{name}.sql": f"{number}.sql" for number, name in enumerate(NAMES, 1)},
    ),
    Recipe(
        "yoyo",
        "9.0.0",
        (
            ("python3", "-m", "venv", "."),
            ("{cache}/bin/pip", "install", "-q", "yoyo-migrations==9.0.0", "psycopg[binary]==3.2.10", "setuptools<81"),
        ),
        _YOYO,
        (("{cache}/bin/yoyo", "apply", "--batch", "--no-config-file", "--database", "{yoyo_url}", "m"),),
        {name.removeprefix("m/").replace(".", "_", 1): name for name in _YOYO},
    ),
    Recipe(
        "sqlx",
        "0.8.3",
        (
            (
                "cargo",
                "install",
                "-q",
                "--root",
                ".",
                "sqlx-cli",
                "--version",
                "0.8.3",
                "--no-default-features",
                "--features",
                "postgres,rustls",
                "--locked",
            ),
        ),
        _SQLX,
        (("{cache}/bin/sqlx", "migrate", "run", "--database-url", "{url}"),),
        _same(_SQLX, "migrations"),
    ),
    Recipe(
        "sqitch",
        "1.3.1",
        (("apt", "sqitch", "libdbd-pg-perl"),),
        _SQITCH
        | {
            "sqitch.conf": "[core]\n\tengine = pg\n[user]\n\tname = Ann\n\temail = ann@example.org\n",
            "sqitch.plan": "%syntax-version=1.0.0\n%project=shop\n\n"
            + "".join(f"{name} 2024-01-0{number}T00:00:00Z Ann <ann@example.org> # {name}\n" for number, name in enumerate(NAMES, 1)),
        },
        (("sqitch", "deploy", "--no-verify", "db:pg:"),),
        {f"{number:03}_{name}.sql": f"deploy/{name}.sql" for number, name in enumerate(NAMES, 1)},
    ),
    Recipe(
        "flyway",
        "10.22.0",
        _maven("org.flywaydb:flyway-core:10.22.0", "org.flywaydb:flyway-database-postgresql:10.22.0", "org.postgresql:postgresql:42.7.4"),
        _FLYWAY | {"Run.java": _JAVA % _RUN_FLYWAY},
        (("java", "-cp", "{cache}/lib/*", "Run.java"),),
        {name.removeprefix("sql/"): name for name in _FLYWAY if "R__" not in name},
        "flyway",
    ),
    Recipe(
        "liquibase",
        "4.31.1",
        _maven("org.liquibase:liquibase-core:4.31.1", "info.picocli:picocli:4.7.6", "org.postgresql:postgresql:42.7.4"),
        _LIQUIBASE | {"root.yaml": _LIQUIBASE_ROOT, "Run.java": _JAVA % _RUN_LIQUIBASE},
        (("java", "-cp", "{cache}/lib/*", "Run.java"),),
        {name: name for name in _LIQUIBASE},
    ),
)
