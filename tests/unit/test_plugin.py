"""What the kubectl plugin makes of a resource and of a run's log, without a cluster."""

import io
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from dbmigration.api.checklist import Check, CheckState, Item
from dbmigration.api.conditions import Verdict, Work, set_conditions
from dbmigration.api.report import (
    MigrationReport,
    RehearsalReport,
    RehearsedFile,
    RehearsedLock,
    RehearsedRewrite,
    RehearsedStatement,
)
from dbmigration.api.restore_request import RestoreStep
from dbmigration.api.restore_status import RestoreRunStatus, RestoreStatus
from dbmigration.api.states import State
from dbmigration.api.status import PlanStatus, ProgressStatus, RunStatus, Status
from dbmigration.cli.plugin.change import files_above, managed_by, rollback
from dbmigration.cli.plugin.logs import readable
from dbmigration.cli.plugin.main import PLUGIN
from dbmigration.cli.plugin.picture import Paper, status_lines
from dbmigration.cli.plugin.resource import Resource, Restore, bare_name, restore_name
from dbmigration.cli.plugin.restore import restore, restore_spec
from dbmigration.cli.plugin.show import lines_of, rehearsed_lines
from dbmigration.cli.plugin.text import ago, plain, size, span
from dbmigration.cli.plugin.view import Bars, Estimate, View
from dbmigration.cli.plugin.watch import is_over, progress_in
from dbmigration.cli.program import run_program
from dbmigration.cli.words import BadParameter, call
from dbmigration.decide.observed import Progress
from tests.unit.restoring import RESTORED

NOW = datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC)
PAPER = Paper(100, colour=False, signs=True)
FILES = (
    MigrationReport(name="001_first.sql", state=State.APPLIED, applied_at=NOW, duration_ms=27),
    MigrationReport(name="002_second.sql", state=State.FAILED, sqlstate="42P01", line=4, statement="INSERT INTO absent"),
)
READY = Verdict(True, Work.IDLE, "UpToDate", "nothing to do")
STALLED = Verdict(False, Work.STALLED, "SqlFailed", "002_second.sql:4: relation does not exist")
RUNNING = Verdict(False, Work.RECONCILING, "Running", "attempt 1: kubectl logs -f job/studio-1")
WAITING = Verdict(False, Work.IDLE, "ApprovalPending", "plan abc waits")


def resource(verdict: Verdict, *, annotations: dict[str, str] | None = None, generation: int = 1, **changes: Any) -> Resource:
    conditions = set_conditions((), verdict, generation=1, now=NOW)
    status = Status(observed_generation=1, conditions=conditions, **changes)
    metadata = {"name": "studio", "namespace": "apps", "generation": generation, "annotations": annotations or {}}
    return Resource("apps", "studio", {"metadata": metadata, "spec": {"environment": "staging"}}, status)


def run(**changes: Any) -> RunStatus:
    return RunStatus(key="k", job_name="studio-1", started_at=NOW, **changes)


def test_a_stalled_resource_says_reason_message_and_what_to_do_before_all_else() -> None:
    found = resource(STALLED, next_steps=("mend 002_second.sql:4", "read docs/runbook/SqlFailed.md"), migrations=FILES, version="001")
    lines = list(status_lines(found, NOW + timedelta(minutes=3), PAPER))
    assert lines[0] == "✗ Stalled  SqlFailed  apps/studio, 3m ago"
    assert lines[1].strip() == "002_second.sql:4: relation does not exist"
    assert lines[3:6] == ["What to do", "  1. mend 002_second.sql:4", "  2. read docs/runbook/SqlFailed.md"]
    text = "\n".join(lines)
    assert "version     001" in text
    assert "environment staging" in text
    assert "SQLSTATE 42P01; line 4; INSERT INTO absent" in text.replace("\n", " ")


def test_the_checklist_is_shown_with_its_evidence() -> None:
    checks = (
        Check(item=Item.BACKUP_CREATED, state=CheckState.PROVED, evidence="pvc://b/x.dump"),
        Check(item=Item.REVIEWED, state=CheckState.WAITING, evidence="no MigrationApproval"),
    )
    lines = list(status_lines(resource(READY, checklist=checks), NOW, PAPER))
    assert "  ✓ BackupCreated  Proved   pvc://b/x.dump" in lines
    assert "  • Reviewed       Waiting  no MigrationApproval" in lines


def test_a_resource_that_nobody_looked_at_says_so() -> None:
    found = Resource("apps", "studio", {"metadata": {"name": "studio", "namespace": "apps", "generation": 1}}, Status())
    assert "no operator has looked at it yet" in "\n".join(status_lines(found, NOW, PAPER))


def test_who_is_in_the_way_of_a_run_is_shown() -> None:
    progress = ProgressStatus(step="apply", file="002_b.sql", summary="apply 1/2 blocked", message="waits", blocked_by="1234 app", at=NOW)
    text = "\n".join(status_lines(resource(RUNNING, run=run(), progress=progress), NOW + timedelta(seconds=75), PAPER))
    assert "blocked by  1234 app" in text
    assert "attempt 1: running for 1m15s (job/studio-1)" in text


def restore_of(verdict: Verdict, **changes: Any) -> Restore:
    status = RestoreStatus(observed_generation=1, conditions=set_conditions((), verdict, generation=1, now=NOW), **changes)
    spec = {"migrationRef": {"name": "studio"}, "backup": {"latest": True}, "into": "studio_monday", "swap": True}
    return Restore("apps", "monday", {"metadata": {"name": "monday", "namespace": "apps", "generation": 1}, "spec": spec}, status)


def test_a_restore_says_what_it_is_about_how_far_it_is_and_what_was_proved() -> None:
    run = RestoreRunStatus(step=RestoreStep.SWAP, key="k", job_name="monday-swap-1", started_at=NOW, trace_id="ab" * 16)
    found = restore_of(RUNNING, run=run, restored=RESTORED, backup_uri="pvc://b/x.dump", next_steps=("wait",))
    text = "\n".join(lines_of(found, NOW + timedelta(seconds=75), PAPER))
    for told in (
        "… Reconciling  Running  apps/monday, 1m15s ago",
        "  1. wait",
        "migration   dbm/studio",
        "backup      pvc://b/x.dump",
        "into        studio_monday, and then in the place of the database in use",
        "swap        attempt 1: running for 1m15s (job/monday-swap-1)",
        f"trace       {'ab' * 16}",
        "restored    1,000 rows and 12 objects",
    ):
        assert told in text


@pytest.mark.parametrize(("verdict", "over"), [(RUNNING, False), (STALLED, True), (Verdict(True, Work.IDLE, "Restored", ""), True)])
def test_a_watch_of_a_restore_ends_when_nothing_more_happens_by_itself(verdict: Verdict, over: bool) -> None:
    assert is_over(restore_of(verdict)) is over


def test_a_restore_is_named_by_its_kind() -> None:
    for name in ("dbr/monday", "databaserestore/monday", "DatabaseRestores.dbmigration.dev/monday"):
        assert restore_name(name) == "monday"
    for name in ("monday", "dbm/monday", "x/monday"):
        assert restore_name(name) is None


@pytest.mark.parametrize("verdict", [READY, STALLED, RUNNING, WAITING])
def test_no_escape_sequence_of_a_message_or_a_name_reaches_the_terminal(verdict: Verdict) -> None:
    hostile = "\x1b]0;owned\x07\x1b[2J\u202e"
    found = resource(
        Verdict(verdict.ready, verdict.work, verdict.reason, f"message {hostile}"),
        next_steps=(f"do {hostile}",),
        migrations=(MigrationReport(name=f"001_{hostile}.sql", state=State.FAILED, statement=f"SELECT {hostile}"),),
        plan=PlanStatus(hash="abc", pending=1, names=(f"001_{hostile}.sql",)),
        progress=ProgressStatus(step="apply", message=hostile, blocked_by=hostile, at=NOW),
    )
    text = "\n".join(status_lines(found, NOW, PAPER)) + readable('{"event": "progress", "message": "x\\u001b[2J"}') + readable(hostile)
    assert not set(text) & set("\x1b\x07\u202e")


@pytest.mark.parametrize(
    ("found", "over"),
    [
        (resource(READY), True),
        (resource(STALLED), True),
        (resource(WAITING), True),
        (resource(RUNNING), False),
        (resource(READY, generation=2), False),
        (resource(STALLED, annotations={"dbmigration.dev/retry": "2"}, last_handled_retry="1"), False),
        (resource(STALLED, annotations={"dbmigration.dev/retry": "2"}, last_handled_retry="2"), True),
    ],
)
def test_a_watch_ends_only_when_nothing_more_happens_by_itself(found: Resource, over: bool) -> None:
    assert is_over(found) is over


def test_what_is_in_a_pipe_is_one_line_for_each_thing_that_is_done_or_in_the_way() -> None:
    out = io.StringIO()
    view = View(out.write)
    for seen in (resource(RUNNING, run=run()), resource(RUNNING, run=run()), resource(READY)):
        view.resource(seen)
    view.progress(Progress("apply", file="001_a.sql", done=0, total=2, message="applying 001_a.sql"))
    view.progress(Progress("apply", file="001_a.sql", done=1, total=2, message="applied 001_a.sql: 1 statement", finished=True))
    blocked = Progress("apply", file="002_b.sql", done=1, total=2, message="waiting for ACCESS EXCLUSIVE", blocked_by="1234 app")
    view.progress(blocked)
    view.progress(blocked)
    assert [line[10:] for line in out.getvalue().splitlines()] == [
        "Running: attempt 1: kubectl logs -f job/studio-1",
        "applied 001_a.sql: 1 statement",
        "waiting for ACCESS EXCLUSIVE",
    ]


def test_on_a_terminal_there_is_a_bar_for_all_files_and_one_for_the_file_at_work() -> None:
    from rich.console import Console

    console = Console(file=io.StringIO(), force_terminal=True, width=100, color_system=None)
    view = Bars(console)
    view._at = Progress("apply", file="004_index.sql", done=3, total=7, percent=40, message="CREATE INDEX: building", blocked_by="1234 app")
    with console.capture() as captured:
        console.print(view.drawn())
    text = captured.get()
    assert "3/7 files" in text
    assert "004_index.sql" in text
    assert "40%" in text
    assert "blocked by 1234 app" in text


def test_time_left_is_told_once_it_can_be_known_and_begins_anew_with_another_file() -> None:
    estimate = Estimate()
    estimate.seen("a", 0, 0.0)
    assert estimate.left(1.0) is None
    estimate.seen("a", 20, 10.0)
    assert estimate.left(10.0) == pytest.approx(40.0)
    assert estimate.left(20.0) == pytest.approx(30.0)
    estimate.seen("b", 50, 30.0)
    assert estimate.left(30.0) is None
    estimate.seen("b", 10, 31.0)
    assert estimate.left(40.0) is None


def test_a_line_of_the_log_is_readable() -> None:
    line = '{"ts": "2026-02-03T04:05:06.123+00:00", "level": "info", "event": "progress", "message": "connected", "step": "connect"}'
    assert readable(line) == "04:05:06  connect  connected"
    assert readable('{"report": {"runId": "x"}}') == ""
    assert readable("Traceback of something else") == "Traceback of something else"
    assert progress_in(line) == Progress("connect", message="connected")
    assert progress_in('["no object"]') is progress_in("{broken") is None


def test_what_would_be_rolled_back_is_newest_first_and_only_what_is_applied() -> None:
    files = (
        *FILES[:1],
        MigrationReport(name="002_b.sql", state=State.APPLIED),
        MigrationReport(name="003_c.sql", state=State.APPLIED_UNVERIFIED),
    )
    found = resource(READY, migrations=(*files, MigrationReport(name="004_d.sql", state=State.PENDING)))
    assert files_above(found, "001") == ["003_c.sql", "002_b.sql"]
    assert files_above(found, "003") == []
    assert files_above(found, "0") == ["003_c.sql", "002_b.sql", "001_first.sql"]


@pytest.mark.parametrize(
    ("metadata", "tool"),
    [
        ({"labels": {"kustomize.toolkit.fluxcd.io/name": "apps"}}, "Flux"),
        ({"annotations": {"argocd.argoproj.io/tracking-id": "apps:x"}}, "Argo CD"),
        ({"annotations": {"meta.helm.sh/release-name": "apps"}}, "Helm"),
        ({"labels": {"team": "a"}, "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}"}}, None),
        ({}, None),
    ],
)
def test_who_writes_the_resource_from_elsewhere_is_known_by_its_marks(metadata: dict[str, Any], tool: str | None) -> None:
    assert managed_by({"metadata": metadata}) == tool


@pytest.mark.parametrize(
    ("into", "backup", "about"), [("1st", None, "--into"), ("dbmigration_x", None, "--into"), ("back", "/tmp/x.dump", "--backup")]
)
def test_a_restore_that_makes_no_sense_is_refused_before_anything_is_asked_for(into: str, backup: str | None, about: str) -> None:
    with pytest.raises(BadParameter, match=f"^{about}"):
        restore_spec(resource(READY), into, backup)


def test_nobody_is_asked_in_a_pipe() -> None:
    for command, words in ((restore, ["studio", "--into", "back"]), (rollback, ["studio", "--to", "001"])):
        with pytest.raises(BadParameter, match=r"^--yes"):
            call("x", command, words)


def test_small_words() -> None:
    assert [span(s) for s in (0, 45, 60, 200, 7500, 3600, 450_000)] == ["0s", "45s", "1m", "3m20s", "2h5m", "1h", "5d5h"]
    assert ago(NOW, NOW + timedelta(hours=2)) == "2h ago"
    assert [size(n) for n in (812, 12_345, 4_500_000_000)] == ["812 B", "12.3 kB", "4.5 GB"]
    assert plain("a\tb\x1b[31m") == "a b�[31m"
    names = ("studio", "dbm/studio", "databasemigration.dbmigration.dev/studio", "pod/x")
    assert [bare_name(name) for name in names] == ["studio", "studio", "studio", "pod/x"]


def test_a_command_of_the_other_program_is_refused_with_the_words_to_type(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run_program(PLUGIN, ["lint"])
    assert ended.value.code == 2
    assert "`dbmigration lint`" in capsys.readouterr().err


def rehearsed(**changes: Any) -> Resource:
    """One that waits for an approval of a plan that was tried in a copy."""
    found = RehearsalReport(
        passed=True,
        plan_hash="abc",
        backup_uri="pvc://b/studio/1.dump",
        started_at=NOW,
        completed_at=NOW,
        duration_ms=4200,
        files=(RehearsedFile(name="003_third.sql", statements=2, duration_ms=4200),),
        slowest=(RehearsedStatement(file="003_third.sql", line=7, statement="CREATE INDEX \x1b[31mi", duration_ms=4000),),
        locks=(RehearsedLock(table="public.first", mode="SHARE", held_ms=4100, file="003_third.sql", line=7),),
        rewrites=(RehearsedRewrite(table="public.second", bytes=12_300_000, file="003_third.sql", line=9),),
    )
    plan = PlanStatus(hash="abc", pending=1, names=("003_third.sql",))
    return resource(WAITING, plan=plan, rehearsal=found.model_copy(update=changes))


def test_who_is_to_approve_a_plan_sees_what_it_did_in_the_copy() -> None:
    assert list(rehearsed_lines(rehearsed())) == [
        "",
        "passed in a copy of the database, restored from pvc://b/studio/1.dump:",
        "FILE           STATEMENTS  TIME",
        "003_third.sql  2           4.2s",
        "",
        "SLOWEST STATEMENTS  TIME",
        "003_third.sql:7     4.0s  CREATE INDEX �[31mi",
        "",
        "LOCKED TABLE  STRONGEST LOCK  HELD  BY",
        "public.first  SHARE           4.1s  003_third.sql:7",
        "",
        "REWRITTEN TABLE  SIZE     BY",
        "public.second    12.3 MB  003_third.sql:9",
        "",
    ]
    status = "\n".join(status_lines(rehearsed(), NOW + timedelta(minutes=3), PAPER))
    assert "rehearsal   passed in 4.2s, SHARE on public.first for 4.1s, 3m ago" in status


def test_a_rehearsal_of_another_plan_is_not_shown_as_that_of_this_one() -> None:
    assert list(rehearsed_lines(rehearsed(plan_hash="other"))) == []


def test_a_file_that_failed_in_the_copy_is_in_its_table() -> None:
    failed = rehearsed(passed=False, failed_at="004_fourth.sql:3", message="it failed")
    assert "004_fourth.sql:3              failed" in list(rehearsed_lines(failed))
    assert "FAILED: it failed" in "\n".join(status_lines(failed, NOW, PAPER))
