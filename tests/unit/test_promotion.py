"""`spec.promotion`: pending files wait until another database has the same ones, and what it says is believed exactly as far as it goes."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from dbmigration.api.conditions import ConditionType, Verdict, Work, find, set_conditions
from dbmigration.api.evidence import EvidenceDocument, EvidenceFile
from dbmigration.api.reasons import Reason
from dbmigration.api.report import MigrationReport, Report
from dbmigration.api.states import State
from dbmigration.api.status import SourceStatus, Status
from dbmigration.decide import keys
from dbmigration.decide.decision import Decision
from dbmigration.decide.intervals import IDLE_LOOK
from dbmigration.decide.observed import Stage
from dbmigration.decide.rules import decide
from dbmigration.kube.classify import Answer, ApiFailure
from dbmigration.kube.client import Api
from dbmigration.kube.promotion import read_stage, stage_of, stage_of_evidence
from tests.unit.observing import DIGEST, NOW, ended, report, run, seen, spec

AFTER = {"after": {"name": "studio", "namespace": "staging"}}
ASKED = spec(promotion=AFTER)
STAGING = "DatabaseMigration staging/studio"
PLAN = "a" * 64
SUMS = {"005_e.sql": "e" * 64, "006_f.sql": "f" * 64}
LISTED = tuple(MigrationReport(name=name, state=State.PENDING, checksum=checksum) for name, checksum in SUMS.items())
PREPARED = report(
    reason=Reason.PREPARED, plan_hash=PLAN, executed_sql=False, applied_now=(), pending=2, pending_names=tuple(SUMS),
    migrations=LISTED, backup=None, backup_reason=None, verify_reason=None,
)  # fmt: skip
OTHERS = Stage(STAGING, environment="staging", digest="sha256:other", complete=True)


def having(*states: State, sums: dict[str, str] | None = None, **changes: Any) -> Stage:
    """Staging with other bytes, and the pending files in these states."""
    wanted = sums or SUMS
    files = dict(zip(wanted, zip(states, wanted.values(), strict=True), strict=True))
    return replace(OTHERS, files=files, **changes)


def waits(stage: Stage | None, given: Report = PREPARED, **changes: Any) -> Decision:
    """What is decided once a run has planned."""
    asked = spec(**({"promotion": AFTER} | changes))
    status = Status(run=run(spec_hash=keys.spec_hash(asked)), source=SourceStatus(digest=DIGEST))
    first = decide(seen(spec=asked, status=status, jobs=(ended(given),), stage=stage), NOW)
    return decide(seen(spec=asked, status=first.status, stage=stage), NOW)


def ready(decision: Decision) -> tuple[str, str, int]:
    found = find(decision.status.conditions, ConditionType.READY)
    assert found is not None
    work = (ConditionType.RECONCILING, ConditionType.STALLED)
    return found.status, found.reason, sum(c.type in work for c in decision.status.conditions)


def message(decision: Decision) -> str:
    return decision.status.conditions[0].message


@pytest.mark.parametrize(
    ("stage", "said"),
    [
        (Stage(STAGING, problem="it does not exist"), f"{STAGING}: it does not exist"),
        (OTHERS, "005_e.sql is not there, 006_f.sql is not there"),
        (having(State.APPLIED, State.PENDING), "006_f.sql is pending there"),
        (having(State.ROLLED_BACK, State.FAILED), "005_e.sql was rolled back there, 006_f.sql failed there"),
        (having(State.APPLIED, State.APPLIED_UNVERIFIED), "006_f.sql was applied there without a checksum"),
        (having(State.APPLIED, State.APPLIED, sums=SUMS | {"006_f.sql": "0" * 64}), "006_f.sql has another text there"),
        (having(State.APPLIED, State.APPLIED, not_ready="SqlFailed"), "is not Ready: SqlFailed"),
        (replace(OTHERS, digest=DIGEST, complete=False), "005_e.sql is not there"),
        (replace(OTHERS, digest=DIGEST, complete=True, not_ready="Running"), "is not Ready: Running"),
    ],
)
def test_files_that_are_not_proved_there_wait_without_being_stalled_or_at_work(stage: Stage, said: str) -> None:
    found = waits(stage)
    assert (found.rule, ready(found), found.start) == ("promotion_pending", ("False", "PromotionPending", 0), None)
    assert said in message(found)
    assert found.status.promotion is None
    assert found.status.next_steps[0] == "see how far the files are there: `kubectl describe -n staging dbm studio`"
    again = decide(seen(spec=ASKED, status=found.status, stage=stage), NOW + timedelta(hours=1))
    assert again.status == found.status, "an idle operator writes nothing"


@pytest.mark.parametrize("states", [(State.APPLIED, State.APPLIED), (State.APPLIED, State.SKIPPED)])
def test_files_that_are_applied_or_skipped_there_run_and_the_run_is_told_their_plan(states: tuple[State, State]) -> None:
    stage = having(*states)
    found = waits(stage)
    assert found.start is not None
    assert (found.start.request.promoted, found.start.request.prepare) == (PLAN, False)
    assert found.status.promotion is not None
    assert (found.status.promotion.by, found.status.promotion.digest) == (STAGING, DIGEST)


def test_a_first_run_plans_where_the_files_differ_and_applies_at_once_where_they_are_the_same() -> None:
    start = decide(seen(spec=ASKED, stage=having(State.APPLIED, State.APPLIED)), NOW).start
    assert start is not None
    assert (start.request.prepare, start.request.promoted) == (True, None)
    start = decide(seen(spec=ASKED, stage=replace(OTHERS, digest=DIGEST)), NOW).start
    assert start is not None
    assert (start.request.prepare, start.request.promoted) == (False, None)


def test_more_files_than_the_plan_names_are_only_proved_by_the_same_bytes() -> None:
    many = PREPARED.model_copy(update={"pending": 21})
    assert ready(waits(having(State.APPLIED, State.APPLIED), many))[1] == "PromotionPending"
    assert waits(replace(OTHERS, digest=DIGEST), many).start is not None


def test_once_seen_ready_it_goes_on_to_its_next_files_but_a_rollback_there_stops_us() -> None:
    window = {"schedule": "0 2 * * *", "duration": "1h"}
    closed = waits(having(State.APPLIED, State.APPLIED), window=window)
    assert ready(closed)[1] == "WindowClosed"
    asked, opened = spec(promotion=AFTER, window=window), NOW.replace(hour=2) + timedelta(days=1)
    busy = having(State.APPLIED, State.APPLIED, not_ready="Running")
    assert decide(seen(spec=asked, status=closed.status, stage=busy), opened).start is not None
    back = having(State.APPLIED, State.ROLLED_BACK)
    assert ready(decide(seen(spec=asked, status=closed.status, stage=back), opened))[1] == "PromotionPending"


def test_promotion_comes_before_approval_and_approval_before_the_window() -> None:
    gates: dict[str, Any] = {"approval": {"required": True}, "window": {"schedule": "0 2 * * *", "duration": "1h"}}
    assert ready(waits(OTHERS, **gates))[1] == "PromotionPending"
    assert ready(waits(having(State.APPLIED, State.APPLIED), **gates))[1] == "ApprovalPending"
    assert waits(OTHERS, **gates).again_after is not None
    assert waits(OTHERS).again_after != IDLE_LOOK


def test_a_rollback_does_not_wait_for_another_database() -> None:
    start = decide(seen(spec=spec(promotion=AFTER, rollback={"to": "003"})), NOW).start
    assert start is not None
    assert (start.request.prepare, start.request.promoted) == (False, None)


def test_a_gate_that_changes_while_a_plan_waits_makes_no_new_plan() -> None:
    waiting = waits(OTHERS)
    moved = spec(promotion={"after": {"name": "other"}}, window={"schedule": "0 2 * * *", "duration": "1h"})
    assert decide(seen(spec=moved, status=waiting.status, stage=OTHERS), NOW).rule == "promotion_pending"
    freed = decide(seen(spec=spec(), status=waiting.status), NOW)
    assert freed.start is not None
    assert freed.start.request.prepare is False
    linted = decide(seen(spec=spec(promotion=AFTER, lint={"failOn": "warning"}), status=waiting.status, stage=OTHERS), NOW)
    assert linted.start is not None, "what the plan is made with is no gate"


def test_a_failure_for_good_is_tried_again_when_a_gate_changes() -> None:
    before = keys.spec_hash(spec())
    assert keys.spec_hash(ASKED) != before
    assert keys.same_but_for_gates(keys.spec_hash(ASKED), spec())


def test_what_a_resource_says() -> None:
    conditions = set_conditions((), Verdict(True, Work.IDLE, Reason.UP_TO_DATE, ""), generation=3, now=NOW)
    status = Status(
        observed_generation=3,
        conditions=conditions,
        source=SourceStatus(digest=DIGEST, complete=True),
        migrations=(MigrationReport(name="005_e.sql", state=State.APPLIED, checksum="e" * 64),),
    )
    body = {"metadata": {"generation": 3}, "spec": {"environment": "staging"}, "status": status.model_dump(mode="json", by_alias=True)}
    files = {"005_e.sql": (State.APPLIED, "e" * 64)}
    assert stage_of("x", body) == Stage("x", environment="staging", digest=DIGEST, complete=True, files=files)
    assert stage_of("x", body | {"metadata": {"generation": 4}}).not_ready is not None
    assert stage_of("x", {"metadata": {"generation": 1}, "spec": {}}).not_ready is not None


def test_evidence_is_believed_as_it_was_printed_and_not_otherwise() -> None:
    printed = EvidenceDocument(
        environment="staging", resource="staging/studio", database="studio", identity="7/1", server_version="15.18", made_at=NOW,
        source_digest=DIGEST, complete=True,
        files=(EvidenceFile(name="005_e.sql", state=State.APPLIED, checksum="e" * 64, applied_at=NOW),),
    ).sealed()  # fmt: skip
    stage = stage_of_evidence("x", printed.to_json())
    assert (stage.problem, stage.not_ready, stage.digest, stage.complete) == (None, None, DIGEST, True)
    assert stage.files == {"005_e.sql": (State.APPLIED, "e" * 64)}
    for text in (
        printed.to_json().replace("005_e", "006_e"),
        printed.model_copy(update={"complete": False}).to_json(),
        printed.to_json().replace('"version":1', '"version":2'),
        "{}",
        "",
        "no JSON",
    ):
        assert stage_of_evidence("x", text).problem is not None
    refused = printed.model_copy(update={"refused": "ChecksumMismatch: edited"}).sealed()
    assert stage_of_evidence("x", refused.to_json()).not_ready == "ChecksumMismatch: edited"


class OneAnswer(Api):
    """An API server that has one answer to everything."""

    def __init__(self, answer: dict[str, Any] | ApiFailure | None) -> None:
        self.answer = answer

    def get_or_none(self, path: str) -> dict[str, Any] | None:
        assert path.startswith(("/apis/dbmigration.dev/", "/api/v1/namespaces/studio/configmaps/"))
        if isinstance(self.answer, ApiFailure):
            raise self.answer
        return self.answer


@pytest.mark.parametrize(
    ("promoting", "answer", "said"),
    [
        (AFTER, None, "it does not exist"),
        (AFTER, ApiFailure(Answer.REFUSED, "forbidden", status=403), "may not read DatabaseMigrations in namespace staging"),
        ({"after": {"name": "studio"}}, None, "names this resource itself"),
        ({"evidence": {"configMapRef": {"name": "staging"}}}, None, "dbmigration status --evidence"),
        ({"evidence": {"configMapRef": {"name": "staging"}}}, {"data": {"other": "x"}}, "is not what"),
    ],
)
def test_what_cannot_be_read_says_why(promoting: dict[str, Any], answer: dict[str, Any] | ApiFailure | None, said: str) -> None:
    stage = read_stage(OneAnswer(answer), "studio", "studio", spec(promotion=promoting))
    assert stage is not None
    assert said in (stage.problem or "")


def test_what_another_try_may_mend_is_tried_again() -> None:
    with pytest.raises(ApiFailure):
        read_stage(OneAnswer(ApiFailure(Answer.AGAIN, "restarting", status=503)), "studio", "studio", ASKED)
    assert read_stage(OneAnswer(None), "studio", "studio", spec()) is None
