"""`spec.promotion` of more pending files than a plan names: the whole lists are compared, by their digests."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from dbmigration.api.conditions import Verdict, Work, set_conditions
from dbmigration.api.reasons import Reason
from dbmigration.api.status import MIGRATIONS_KEPT, STATUS_LIMIT, SourceStatus, Status
from dbmigration.cli.evidence import evidence_of
from dbmigration.decide import keys
from dbmigration.decide.decision import Decision
from dbmigration.decide.observed import Stage
from dbmigration.decide.rules import decide
from dbmigration.kube.promotion import stage_of, stage_of_evidence
from dbmigration.migrations.model import AppliedMigration, Header, History, MigrationFile, MigrationSet, SetConfig
from dbmigration.migrations.plan import survey
from dbmigration.migrations.prefix import PREFIXES_NAMED
from dbmigration.postgres.session import Server
from dbmigration.run.reporting import build_report
from dbmigration.run.result import RunResult
from tests.unit.observing import DIGEST, NOW, ended, run, seen, spec
from tests.unit.test_migrations_plan import WHEN, file

ASKED = spec(promotion={"after": {"name": "studio", "namespace": "staging"}})
WANTED = 300
AHEAD = 5
NAMES = tuple(f"{number:03}_change.sql" for number in range(1, WANTED + AHEAD + 1))


def seed(checksum: str = "sum of the seed") -> MigrationFile:
    return MigrationFile(0, "", "seed-plans.sql", Path("seed-plans.sql"), checksum, 1, Header())


SEEDS = (seed(),)


def planned(
    names: Sequence[str] = NAMES,
    *,
    applied: int = 0,
    edited: str = "",
    seeds: tuple[MigrationFile, ...] = SEEDS,
    target: str | None = None,
) -> RunResult:
    """What a look at a database finds where the first `applied` of the files are applied, and the seeds with them."""
    files = tuple(file(name, checksum="another text" if name == edited else None) for name in names)
    rows = tuple(AppliedMigration(each.name, WHEN, each.checksum, 7) for each in files[:applied])
    ran = {each.name: AppliedMigration(each.name, WHEN, each.checksum) for each in seeds} if applied else {}
    found = survey(
        MigrationSet(Path(), files, SetConfig(), "sha256:0", seeds),
        History(applied=rows, seeds=ran),
        environment="staging",
        target=target,
        out_of_order=True,
        reapply_rolled_back=False,
    )
    server = Server(version="15.18", version_num=150018, major=15, identity="7/1", database="studio", user="studio")
    return RunResult("job-1", NOW, plan=found.plan, server=server, source_digest="sha256:there")


def as_resource(result: RunResult) -> Stage:
    """What the DatabaseMigration that goes first says after such a run."""
    job = ended(build_report(result, environment="staging"))
    status = decide(seen(status=Status(run=run()), jobs=(job,)), NOW).status
    assert len(status.to_json().encode()) <= STATUS_LIMIT
    ready = set_conditions((), Verdict(True, Work.IDLE, Reason.UP_TO_DATE, ""), generation=1, now=NOW)
    told = status.model_copy(update={"conditions": ready}).model_dump(mode="json", by_alias=True)
    return stage_of("staging/studio", {"metadata": {"generation": 1}, "spec": {"environment": "staging"}, "status": told})


def as_evidence(result: RunResult) -> Stage:
    document = evidence_of(result, "staging")
    assert document is not None
    return stage_of_evidence("staging", document.sealed().to_json())


def waits(stage: Stage, **changes: Any) -> Decision:
    """What is decided here, where all of the files are pending, once a run has planned."""
    result = planned(NAMES[:WANTED], **changes)
    result.prepared = True
    status = Status(run=run(spec_hash=keys.spec_hash(ASKED)), source=SourceStatus(digest=DIGEST))
    first = decide(seen(spec=ASKED, status=status, jobs=(ended(build_report(result, environment="production")),), stage=stage), NOW)
    assert first.status.plan is not None
    assert first.status.plan.pending == WANTED + 1 > len(first.status.plan.names)
    assert len(first.status.to_json().encode()) <= STATUS_LIMIT
    return decide(seen(spec=ASKED, status=first.status, stage=stage), NOW)


@pytest.mark.parametrize("say", [as_resource, as_evidence])
def test_three_hundred_pending_files_are_proved_by_a_database_that_is_further_on(say: Any) -> None:
    found = waits(say(planned(applied=len(NAMES))))
    assert found.rule == "run_due"
    assert found.start is not None
    assert found.start.request.prepare is False
    assert found.status.plan is not None
    assert found.start.request.promoted == found.status.plan.hash is not None


@pytest.mark.parametrize("say", [as_resource, as_evidence])
@pytest.mark.parametrize(
    ("there", "named"),
    [
        ({"applied": len(NAMES), "edited": NAMES[0]}, None),
        ({"applied": len(NAMES), "edited": NAMES[WANTED - 1]}, f"{NAMES[WANTED - 1]} has another text there"),
        ({"applied": WANTED - 1}, f"{NAMES[WANTED - 1]} is pending there"),
        ({"applied": len(NAMES) - 1, "names": (*NAMES[:100], *NAMES[101:])}, None),
        ({"applied": len(NAMES) + 1, "names": sorted((*NAMES, "007_change_too.sql"))}, None),
        ({"applied": len(NAMES), "seeds": ()}, None),
        ({"applied": len(NAMES), "seeds": (seed("another text"),)}, None),
    ],
    ids=["first-edited", "last-edited", "last-pending", "one-missing", "one-more", "no-seed", "seed-edited"],
)
def test_one_file_that_differs_holds_all_of_them_back(say: Any, there: dict[str, Any], named: str | None) -> None:
    found = waits(say(planned(**there)))
    assert (found.rule, found.start) == ("promotion_pending", None)
    if named is not None:
        assert named in found.status.conditions[0].message


def test_a_database_that_stops_half_way_proves_what_it_has_done() -> None:
    stage = as_evidence(planned(applied=WANTED, target=f"{WANTED}"))
    assert not stage.complete
    assert waits(stage).start is not None


def test_a_report_has_digests_for_the_files_that_a_status_names() -> None:
    assert PREFIXES_NAMED == MIGRATIONS_KEPT
