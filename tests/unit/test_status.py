"""Status stays small and readable, whatever a run reports."""

import json
from datetime import timedelta

import pytest

from dbmigration.api.reasons import Reason
from dbmigration.api.report import TERMINATION_LIMIT, MigrationReport, Outcome
from dbmigration.api.states import State
from dbmigration.api.status import MIGRATIONS_KEPT, RUNS_KEPT, STATUS_LIMIT, Status
from dbmigration.decide.rules import decide
from tests.unit.observing import BACKUP, NOW, ended, failure_report, report, run, seen

LONGEST = "x" * 249


def migrations(count: int) -> tuple[MigrationReport, ...]:
    """Files with the longest names a ConfigMap can hold, each with an error of the longest kind."""
    return tuple(
        MigrationReport(
            name=f"{number:03d}{LONGEST}",
            state=State.APPLIED,
            checksum="ab" * 32,
            applied_at=NOW,
            duration_ms=10**9,
            sqlstate="42703",
            line=10**6,
            statement="é" * 200,
            message="ü" * 1024,
        )
        for number in range(count)
    )


@pytest.mark.parametrize("count", [4, 50, 500])
def test_status_fits_32_kib_whatever_the_set(count: int) -> None:
    told = report(migrations=migrations(count), pending_names=tuple(f"{n:03d}{LONGEST}" for n in range(count)), message="m" * 1024)
    status = Status(run=run())
    for number in range(RUNS_KEPT + 5):
        now = NOW + timedelta(hours=number)
        status = decide(seen(status=status.model_copy(update={"run": run()}), jobs=(ended(told),)), now).status
        assert len(status.to_json().encode()) <= STATUS_LIMIT
    assert 0 < len(status.migrations) <= MIGRATIONS_KEPT
    assert status.migrations[-1].name == told.migrations[-1].name
    assert 0 < len(status.runs) <= RUNS_KEPT


@pytest.mark.parametrize("count", [4, 50, 500])
def test_seeds_and_losses_make_neither_status_nor_termination_message_too_long(count: int) -> None:
    names = tuple(f"seed-{number:03d}{LONGEST}" for number in range(count))
    told = report(seeds=migrations(count), seeded_now=names, rolled_back_now=names, losses=("x" * 300,) * 20)
    assert len(told.summary().to_json().encode()) <= TERMINATION_LIMIT
    status = decide(seen(status=Status(run=run()), jobs=(ended(told),)), NOW).status
    assert len(status.to_json().encode()) <= STATUS_LIMIT
    assert status.run is not None
    assert status.run.reason == Reason.UP_TO_DATE


def test_newest_files_and_runs_are_the_ones_that_stay() -> None:
    small = tuple(MigrationReport(name=f"{n:03d}_a.sql", state=State.APPLIED) for n in range(80))
    status = Status()
    for number in range(12):
        version = f"{number:03d}"
        told = report(migrations=small, version=version)
        status = decide(seen(status=status.model_copy(update={"run": run()}), jobs=(ended(told),)), NOW).status
    assert [m.name for m in status.migrations] == [f"{n:03d}_a.sql" for n in range(30, 80)]
    assert [r.to for r in status.runs] == [f"{n:03d}" for n in range(11, 1, -1)]


def test_a_night_of_the_same_failure_is_one_run_in_the_list() -> None:
    status = decide(seen(status=Status(run=run()), jobs=(ended(report()),)), NOW).status
    for _ in range(20):
        told = failure_report(Reason.DATABASE_UNAVAILABLE, transient=True, database=None, plan_hash=None, migrations=())
        status = decide(seen(status=status.model_copy(update={"run": run()}), jobs=(ended(told),)), NOW).status
    assert [(r.outcome, r.reason) for r in status.runs] == [("Failed", "DatabaseUnavailable"), ("Succeeded", "UpToDate")]


@pytest.mark.parametrize(
    "hostile",
    [
        report(version="9" * 100_000),
        report(plan_hash="h" * 1000),
        report(backup=BACKUP.model_copy(update={"uri": "u" * 100_000})),
        report(database=None, migrations=(MigrationReport(name="n" * 100_000, state=State.APPLIED),)),
    ],
)
def test_a_report_that_does_not_fit_is_not_believed_but_its_outcome_is_stored(hostile: object) -> None:
    """A pod belongs to a tenant: what it says must neither crash the operator nor be refused by the API server for ever."""
    status = decide(seen(status=Status(run=run()), jobs=(ended(hostile),)), NOW).status  # type: ignore[arg-type]
    assert status.run
    assert status.run.finished_at == NOW
    assert status.run.outcome == Outcome.SUCCEEDED
    assert len(status.to_json().encode()) <= STATUS_LIMIT
    Status.model_validate_json(status.to_json())


def test_status_survives_the_api_server() -> None:
    status = decide(seen(status=Status(run=run()), jobs=(ended(report()),)), NOW).status
    assert Status.model_validate(json.loads(status.to_json())) == status
