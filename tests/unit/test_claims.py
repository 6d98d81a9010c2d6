"""Claims as the operator handles them: what a run is asked, and what of its answer stands on the resource."""

import pytest
from pydantic import ValidationError

from dbmigration.api.conditions import ConditionType, find
from dbmigration.api.reasons import Reason
from dbmigration.api.report import Database, Report
from dbmigration.api.request import RunRequest
from dbmigration.api.spec import Spec
from dbmigration.api.status import DatabaseStatus, Status
from dbmigration.decide.observed import Runner
from dbmigration.decide.rules import decide
from dbmigration.errors import DbmigrationError, Permanent
from dbmigration.postgres.claim import Claim, Owner, read, refuse_other
from tests.unit.observing import NOW, ended, failure_report, key_of, run, seen, spec

STUDIO = Owner("studio", "studio", "uid-1")
CLAIM = Claim(STUDIO, "7/16384")
TAKING_OVER = spec(database={"secretRef": {"name": "db"}, "takeOver": "staging/studio@rome"})


def request_for(given: Spec, **changes: object) -> RunRequest:
    start = decide(seen(spec=given, **changes), NOW).start
    assert start is not None
    return start.request


def test_a_run_is_told_who_asks_whom_it_may_follow_and_where_it_begins() -> None:
    asked = request_for(TAKING_OVER.model_copy(update={"baseline": "002"}), runner=Runner("image:1", "IfNotPresent", cluster="milan"))
    assert (asked.resource.namespace, asked.resource.name, asked.resource.uid, asked.resource.cluster) == (
        "studio",
        "studio",
        "uid-1",
        "milan",
    )
    assert (asked.claimed_by, asked.baseline) == ("staging/studio@rome", "002")


def test_taking_over_and_a_baseline_are_new_runs_and_their_absence_is_the_old_one() -> None:
    assert len({key_of(), key_of(TAKING_OVER), key_of(spec(baseline="002"))}) == 3
    assert key_of(spec(database={"secretRef": {"name": "db"}, "takeOver": None}, baseline=None)) == key_of()


@pytest.mark.parametrize("name", ["studio", "studio/", "/studio", "a/b/c", "Studio/studio", "studio/studio@", "studio/studio@a b"])
def test_an_owner_is_named_in_full(name: str) -> None:
    with pytest.raises(ValidationError):
        spec(database={"secretRef": {"name": "db"}, "takeOver": name})


def claimed(claim: str | None, reason: Reason = Reason.DATABASE_CLAIMED, *, transient: bool = False) -> Report:
    database = Database(identity="7/16384", name="studio", server_version="15.18", claim=claim)
    return failure_report(reason, transient=transient, database=database)


def test_a_refused_resource_is_stalled_and_names_the_owner() -> None:
    status = decide(seen(jobs=(ended(claimed("prod/studio")),), status=Status(run=run())), NOW).status
    stalled = find(status.conditions, ConditionType.STALLED)
    assert stalled is not None
    assert (stalled.status, stalled.reason) == ("True", Reason.DATABASE_CLAIMED)
    assert status.database is not None
    assert status.database.claim == "prod/studio"


@pytest.mark.parametrize(("identity", "claim"), [("7/16384", "studio/studio"), ("7/9", None)])
def test_a_run_that_never_had_the_lock_leaves_what_is_known_of_the_same_database(identity: str, claim: str | None) -> None:
    before = DatabaseStatus(identity=identity, server_version="15.18", claim="studio/studio")
    held = claimed(None, Reason.LOCK_HELD, transient=True)
    status = decide(seen(jobs=(ended(held),), status=Status(run=run(), database=before)), NOW).status
    assert status.database is not None
    assert (status.database.identity, status.database.claim) == ("7/16384", claim)


@pytest.mark.parametrize(
    ("owner", "named", "refused"),
    [
        (STUDIO, None, False),
        (Owner("studio", "studio", "uid-2"), None, False),  # made anew
        (Owner("staging", "studio", "uid-1"), None, True),
        (Owner("studio", "other", "uid-1"), None, True),
        (Owner("studio", "studio", "uid-1", "rome"), None, True),
        (Owner("staging", "studio"), "studio/studio", False),
        (Owner("staging", "studio"), "studio/studio@rome", True),
        (None, None, True),
        (None, "studio/studio", False),
        (None, "staging/studio", True),
    ],
)
def test_who_is_refused(owner: Owner | None, named: str | None, refused: bool) -> None:
    assert (refusal(CLAIM, owner, named) is Reason.DATABASE_CLAIMED) is refused
    assert refusal(None, owner, named) is None


def refusal(claim: Claim | None, owner: Owner | None, named: str | None) -> Reason | None:
    try:
        refuse_other(claim, owner, named)
    except DbmigrationError as error:
        return error.reason
    return None


def test_a_claim_is_read_as_it_was_written_and_only_in_its_own_database() -> None:
    assert read(CLAIM.to_json(), "7/16384") == CLAIM
    assert read(CLAIM.to_json(), "7/16385") is None
    assert read(None, "7/16384") is None


@pytest.mark.parametrize("text", ["", "mine", "[]", "{}", '"x"'])
def test_a_claim_that_cannot_be_read_is_nobodys_to_ignore(text: str) -> None:
    with pytest.raises(Permanent) as refused:
        read(text, "7/16384")
    assert refused.value.reason is Reason.DATABASE_CLAIMED
