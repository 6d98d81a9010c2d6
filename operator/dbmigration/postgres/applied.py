"""What an application may ask: which files are applied. One statement on one table, with its own login, also through a pooler."""

import psycopg
from psycopg import conninfo as libpq_conninfo

from dbmigration.api.reasons import Reason
from dbmigration.errors import Transient
from dbmigration.migrations.model import HistoryTable
from dbmigration.postgres.conninfo import ConnInfo
from dbmigration.postgres.errors import classify_connect
from dbmigration.postgres.quote import qualified

CONNECT_SECONDS = 5


def applied_names(conninfo: ConnInfo, table: HistoryTable) -> tuple[str, ...]:
    """Raises Transient: what `classify_connect` does, HISTORY_NOT_FOUND, PERMISSION_DENIED."""
    parameters = {"connect_timeout": str(CONNECT_SECONDS)} | dict(conninfo.parameters)
    try:
        connection = psycopg.Connection.connect(libpq_conninfo.make_conninfo(**parameters), autocommit=True, prepare_threshold=None)
    except psycopg.Error as error:
        raise classify_connect(error, conninfo.password) from None
    where = qualified(table.schema, table.table)
    with connection:
        try:
            rows = connection.execute(f"SELECT migration_name FROM {where}".encode()).fetchall()
        except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
            raise Transient(Reason.HISTORY_NOT_FOUND, f"there is no history table {where} yet") from None
        except psycopg.errors.InsufficientPrivilege:
            raise Transient(Reason.PERMISSION_DENIED, f"the login may not read {where}: GRANT USAGE on its schema, SELECT on it") from None
        except psycopg.Error as error:
            raise Transient(Reason.DATABASE_UNAVAILABLE, f"{where} cannot be read: {error.sqlstate or type(error).__name__}") from None
    return tuple(str(row[0]) for row in rows)
