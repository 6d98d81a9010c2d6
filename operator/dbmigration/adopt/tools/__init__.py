"""One module for each tool: how its table is recognised, and what a row of it says."""

from typing import Final

from dbmigration.adopt.foreign import Tool
from dbmigration.adopt.tools import (
    alembic,
    atlas,
    dbmate,
    flyway,
    golang_migrate,
    goose,
    graphile_migrate,
    liquibase,
    node_pg_migrate,
    refinery,
    sqitch,
    sqlx,
    tern,
    yoyo,
)

TOOLS: Final[tuple[Tool, ...]] = (
    flyway.TOOL,
    liquibase.TOOL,
    sqitch.TOOL,
    node_pg_migrate.TOOL,
    golang_migrate.TOOL,
    goose.TOOL,
    dbmate.TOOL,
    tern.TOOL,
    atlas.TOOL,
    graphile_migrate.TOOL,
    alembic.TOOL,
    yoyo.TOOL,
    sqlx.TOOL,
    refinery.TOOL,
)
