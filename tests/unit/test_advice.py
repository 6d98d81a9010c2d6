"""status.nextSteps: what a person can do, with commands that can be typed."""

import re
import shlex
from datetime import UTC, datetime
from pathlib import Path

import pytest

from dbmigration.api.conditions import Condition, Verdict, Work, set_conditions
from dbmigration.api.reasons import Reason
from dbmigration.api.status import NEXT_STEP_LIMIT, NEXT_STEPS_KEPT, RunSummary, Status
from dbmigration.cli.main import DBMIGRATION
from dbmigration.cli.plugin.main import PLUGIN
from dbmigration.cli.words import parser_of
from dbmigration.decide.advice import _STEPS, next_steps
from dbmigration.decide.rules import decide
from tests.unit.observing import NOW, failed, seen, succeeded

ROOT = Path(__file__).parents[2]
WORKS = datetime(2026, 1, 1, tzinfo=UTC)

NOBODY_HAS_TO_ACT = {
    # On its way, or all is well, or said by another condition or command.
    Reason.UP_TO_DATE, Reason.PENDING, Reason.RUNNING, Reason.QUEUED, Reason.PREPARED, Reason.INTERRUPTED, Reason.CONNECTION_LOST,
    Reason.BACKUP_VERIFIED, Reason.BACKUP_SKIPPED, Reason.BACKUP_DECLARED, Reason.NOTHING_PENDING, Reason.NO_DRIFT,
    Reason.SCHEMA_NOT_COMPARED,
    Reason.VERIFY_PASSED, Reason.NO_VERIFY_FILE, Reason.ENVIRONMENT_REQUIRED, Reason.HISTORY_NOT_FOUND, Reason.HISTORY_DIRTY,
    # Of a DatabaseRestore: test_advice_restore.py.
    Reason.RESTORED, Reason.SWAPPED, Reason.MIGRATION_RUNNING, Reason.MIGRATION_MISSING,
    Reason.MIGRATION_NOT_SUSPENDED, Reason.BACKUP_MISSING, Reason.SWAP_FAILED,
}  # fmt: skip


def conditions(reason: Reason, *, ready: bool = False) -> tuple[Condition, ...]:
    return set_conditions((), Verdict(ready, Work.IDLE if ready else Work.STALLED, reason, "why"), generation=1, now=WORKS)


def steps_of(reason: Reason) -> tuple[str, ...]:
    run = failed(reason, file="005_limits.sql", line=12)
    return next_steps(seen(), Status(conditions=conditions(reason), run=run))


def test_every_reason_has_steps_or_needs_none() -> None:
    assert set(_STEPS) | NOBODY_HAS_TO_ACT == set(Reason)
    assert not set(_STEPS) & NOBODY_HAS_TO_ACT


@pytest.mark.parametrize("reason", _STEPS)
def test_the_steps_of_a_reason(reason: Reason) -> None:
    steps = steps_of(reason)
    assert len(steps) == NEXT_STEPS_KEPT, "three things to do, and the page"
    assert all(len(step.encode()) < NEXT_STEP_LIMIT and "{namespace}" not in step and "NAME" not in step for step in steps)
    page = (ROOT / steps[-1].removeprefix("read ")).read_text()
    assert page.startswith(f"# {reason.value}\n")
    shown = next_steps(seen(), Status(conditions=conditions(reason), run=failed(reason, job_name="JOB")))[:-1]
    for step in shown:
        told = step.replace(" db`", " studio-db`").replace(" files`", " studio-migrations`").replace(" backups`", " studio-backups`")
        assert told[1:] in page, "the page says what the resource says"
    for step in steps:
        assert all((ROOT / page).is_file() for page in re.findall(r"docs/[\w-]+\.md", step))
        for command in re.findall(r"`([^`]*)`", step):
            is_taken(command)


def is_taken(command: str) -> None:
    words = shlex.split(command)
    plugin = words[:2] == ["kubectl", "dbmigration"]
    if plugin:
        words = words[1:]
    if words[0] == "dbmigration":
        found = (PLUGIN if plugin else DBMIGRATION).command_of(words[1])
        assert found is not None
        parser_of(words[1], found).parse_args(words[2:])
    else:
        assert words[0] == "kubectl"
        assert "studio" in words or words[1] == "explain", "the namespace, or the resource"


def test_names_and_places_are_in_them() -> None:
    assert steps_of(Reason.SQL_FAILED) == (
        "mend 005_limits.sql:12 and apply the files again: new text starts a new run",
        "read what the run said: `kubectl logs -n studio job/job-1`",
        "see every file and what holds it up: `kubectl dbmigration status studio -n studio`",
        "read docs/runbook/SqlFailed.md",
    )


def test_a_file_that_lacks_a_right_needs_no_new_text() -> None:
    denied = Status(conditions=conditions(Reason.SQL_FAILED), run=failed(file="005_limits.sql", line=12, sqlstate="42501"))
    steps = next_steps(seen(), denied)
    assert steps[0] == "have the right granted that the message names, or mend 005_limits.sql:12"
    assert steps[1].startswith("once it is granted: `kubectl annotate -n studio dbm studio dbmigration.dev/retry=")
    is_taken(steps[1].split("`")[1])


def test_the_way_back_is_named_where_the_run_had_applied_files_before_it_failed() -> None:
    past = RunSummary(id="job-1", started_at=NOW, finished_at=NOW, outcome="Failed", reason="SqlFailed").model_copy(update={"from_": "003"})
    status = Status(conditions=conditions(Reason.SQL_FAILED), run=failed(), runs=(past,), version="004")
    undo = "or undo what this run applied before it: `kubectl dbmigration rollback studio -n studio --to 003`"
    assert next_steps(seen(), status)[2] == undo
    is_taken(undo.split("`")[1])


def test_a_resource_that_is_ready_has_none() -> None:
    assert next_steps(seen(), Status(conditions=conditions(Reason.ROLLED_BACK, ready=True))) == ()
    assert next_steps(seen(), Status()) == ()


def test_they_come_and_go_with_the_failure() -> None:
    status = decide(seen(status=Status(run=failed())), NOW).status
    assert status.next_steps[0].startswith("mend the file that the message names")
    again = decide(seen(status=status.model_copy(update={"run": succeeded()})), NOW).status
    assert again.next_steps == ()


def test_a_spec_that_cannot_be_read() -> None:
    status = decide(seen(spec=None, spec_error="spec.window: no"), NOW).status
    assert status.next_steps[0] == "correct the field that the message names: `kubectl edit -n studio dbm studio`"
