"""More is due than may run at once: the others wait, say so, write nothing meanwhile, and start by themselves one after the other."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime
from itertools import pairwise

import pytest

from dbmigration.api.conditions import ConditionType
from dbmigration.api.reasons import Reason
from tests.cluster.operator import InstalledOperator, wait_for_operator
from tests.e2e.conftest import new_namespace
from tests.e2e.databases import WAIT_AT_GATE, Server
from tests.e2e.restart import restart_operator
from tests.e2e.seen import Seen
from tests.e2e.studio import Studio, settle

FIRST = {"001_first.sql": "CREATE TABLE first (id int);"}
SECOND = FIRST | {"002_second.sql": "CREATE TABLE second (id int);"}
SLOW = FIRST | {"002_second.sql": f"{WAIT_AT_GATE}CREATE TABLE second (id int);"}


@pytest.fixture
def three(studio: Studio, operator: InstalledOperator, server: Server) -> Iterator[list[Studio]]:
    """Three resources whose databases are on one server, which may have one run at a time."""
    with ExitStack() as stack:
        found = [studio]
        for _ in range(2):
            name = stack.enter_context(new_namespace(studio.cluster, "queue"))
            found.append(replace(studio, namespace=name, database=server.new_database()))
        for each in found:
            each.start(FIRST)
        set_limit(studio, operator, "DBMIGRATION_MAX_RUNS_PER_SERVER=1")
        try:
            yield found
        finally:
            set_limit(studio, operator, "DBMIGRATION_MAX_RUNS_PER_SERVER-")


def test_runs_on_one_server_wait_for_each_other_and_a_restarted_operator_still_knows(
    three: list[Studio], operator: InstalledOperator
) -> None:
    slow, second, third = three
    slow.database.close_gate()
    slow.put_files(SLOW)
    slow.database.wait_for_runner_at_gate()
    for each in (second, third):
        each.put_files(SECOND)
        waiting = each.wait_reason(Reason.QUEUED, stalled=False)
        assert waiting.reconciling
        assert "DBMIGRATION_MAX_RUNS_PER_SERVER" in waiting.message
        assert waiting.status.queued_since is not None
    settle(second)
    before = [each.look() for each in (second, third)]

    restart_operator(slow.cluster, operator)
    settle(second)
    after = [each.look() for each in (second, third)]
    assert [seen.resource_version for seen in after] == [seen.resource_version for seen in before], "who waits writes nothing"
    assert [each.database.tables() for each in (second, third)] == [["first"], ["first"]]

    slow.database.open_gate()
    done = [each.wait_ready(version="002") for each in three]
    times = sorted(began_and_ended(seen) for seen in done)  # who was queued in the same second goes by name
    for (_, ended), (began, _) in pairwise(times):
        assert ended <= began, times
    assert all(seen.status.queued_since is None for seen in done)
    ready = done[2].condition(ConditionType.READY)
    assert ready is not None
    assert ready.reason == Reason.UP_TO_DATE


def began_and_ended(seen: Seen) -> tuple[datetime, datetime]:
    assert seen.status.run is not None
    assert seen.status.run.finished_at is not None
    return seen.status.run.started_at, seen.status.run.finished_at


def set_limit(studio: Studio, operator: InstalledOperator, assignment: str) -> None:
    studio.cluster.kubectl("set", "env", f"deployment/{operator.deployment}", "-n", operator.namespace, assignment)
    wait_for_operator(studio.cluster, operator)
