"""A file that runs statement by statement, and what a failure of it leaves."""

from pathlib import Path

import pytest

from dbmigration.errors import DbmigrationError
from tests.engine.conftest import Database
from tests.engine.support import apply_all, write_files

NAME = "001_steps.sql"

FIVE = """CREATE TABLE t (id int);
INSERT INTO t VALUES (1), (1);
CREATE UNIQUE INDEX CONCURRENTLY t_id ON t (id);
CREATE INDEX CONCURRENTLY t_id2 ON t (id);
INSERT INTO t VALUES (7);
"""


def failing(database: Database, directory: Path, text: str, **others: str) -> DbmigrationError:
    with pytest.raises(DbmigrationError) as caught:
        apply_all(database, write_files(directory, {NAME: text, **others}))
    return caught.value


def invalid_indexes(database: Database) -> str:
    return database.psql("SELECT indexrelid::regclass FROM pg_index WHERE NOT indisvalid ORDER BY 1")
