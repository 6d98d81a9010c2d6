"""Seeds in the ConfigMap: after the migrations, and again when their text changes."""

from dbmigration.api.reasons import Reason
from dbmigration.api.states import State
from tests.e2e.studio import Studio, settle

TABLE = {"001_plans.sql": "CREATE TABLE plans (name text PRIMARY KEY, price int);"}
TOML = {"dbmigration.toml": '[seeds]\ndirectory = "../seeds"\n'}
PRICE = "INSERT INTO plans VALUES ('free', {}) ON CONFLICT (name) DO UPDATE SET price = EXCLUDED.price;"


def seed(price: str) -> dict[str, str]:
    return {"seed-plans.sql": PRICE.format(price)}


def test_an_edited_seed_runs_again_and_a_failing_one_leaves_the_migrations_in(studio: Studio) -> None:
    first = studio.start(TABLE | TOML | seed("1"))
    assert [(each.name, each.state) for each in first.status.seeds] == [("seed-plans.sql", State.APPLIED)]
    settle(studio)
    assert len(studio.jobs()) == 1

    more = TABLE | TOML | {"002_more.sql": "CREATE TABLE more (id int);"}
    studio.put_files(more | seed("1 / 0"))
    failed = studio.wait_reason(Reason.SEED_FAILED, stalled=True)
    assert (failed.status.version, failed.status.pending) == ("002", 1)
    assert "seed-plans.sql:1" in failed.message
    assert [each.state for each in failed.status.seeds] == [State.FAILED]
    assert studio.database.rows("SELECT price FROM plans") == ["1"]

    studio.put_files(more | seed("2"))
    mended = studio.wait_ready(version="002")
    assert mended.status.pending == 0
    assert studio.database.rows("SELECT price FROM plans") == ["2"]
    assert ("Normal", "Migrated") in [(kind, reason) for kind, reason, message in studio.events() if "seed-plans.sql" in message]
