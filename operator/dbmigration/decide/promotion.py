"""`spec.promotion`: whether the files that are pending here have been applied in the database that goes first.

Either both were given the same bytes and all of them are done there: then whatever the plan is, it was proved. Or it has done a list of
files that is the one here up to the newest pending file, whatever came after it there. Or the pending files, where they are few, are looked
up one by one among those that it names. Then the run is told the plan's hash and carries out no other. A file that is skipped there counts:
it is not for that environment, and was there with the same checksum.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from dbmigration.api.conditions import Verdict, Work, clip
from dbmigration.api.listed import listed
from dbmigration.api.reasons import Reason
from dbmigration.api.spec import Spec
from dbmigration.api.states import State
from dbmigration.api.status import PromotionStatus, RunStatus
from dbmigration.decide import keys
from dbmigration.decide.observed import Observed, Stage

_NAMED: Final = 5
_FEW: Final = 10
"""Status names fewer files than there are only when there are many."""
_SAID: Final = {
    State.PENDING: "is pending there",
    State.FAILED: "failed there",
    State.ROLLED_BACK: "was rolled back there",
    State.APPLIED_UNVERIFIED: "was applied there without a checksum",
}


@dataclass(frozen=True, slots=True)
class Promoted:
    """The files were applied there. `plan_hash`: only this plan was looked at; None: every plan of these files is proved."""

    plan_hash: str | None


@dataclass(frozen=True, slots=True)
class Unpromoted:
    """What is missing there, for a person."""

    message: str


def promotion(o: Observed, spec: Spec) -> Promoted | Unpromoted | None:
    """What `spec.promotion` says of what is pending; None where nothing is asked for. A rollback is never held back: it is the way home."""
    if spec.promotion is None or spec.rollback is not None:
        return None
    stage = o.stage
    if stage is None or stage.problem is not None:
        return Unpromoted(f"{stage.label}: {stage.problem}" if stage else "the database that goes first was not read")
    found = _whole(o, spec, stage) or _up_to(o, stage) or _by_name(o, stage)
    if isinstance(found, Promoted) and stage.not_ready is not None and not _seen_before(o, spec, stage):
        return Unpromoted(f"{stage.label} has the files and is not Ready: {stage.not_ready}")
    return found


def promotion_verdict(run: RunStatus, found: Unpromoted) -> Verdict:
    """Ready while the other database is waited for: neither at work nor failed."""
    return Verdict(False, Work.IDLE, Reason.PROMOTION_PENDING, clip(f"{found.message}; {run.message}"))


def promoted(o: Observed, spec: Spec, now: datetime) -> PromotionStatus | None:
    """What status says of it. Once it was Ready with these files it does not have to be Ready again: it goes on to its next ones."""
    stage = o.stage
    digest = keys.files_digest(o, spec)
    if stage is None or digest is None or not isinstance(promotion(o, spec), Promoted):
        return None
    if _seen_before(o, spec, stage):
        return o.status.promotion
    return PromotionStatus(by=stage.label, environment=stage.environment, digest=digest, seen_at=now)


def _whole(o: Observed, spec: Spec, stage: Stage) -> Promoted | None:
    """The same bytes, names and all, and every file done."""
    same = stage.digest is not None and stage.digest == keys.files_digest(o, spec)
    return Promoted(None) if same and stage.complete else None


def _up_to(o: Observed, stage: Stage) -> Promoted | None:
    """The same files from the first to the newest pending one, however many, and every one done."""
    plan = o.status.plan
    same = plan is not None and plan.hash is not None and plan.prefix_digest is not None and plan.prefix_digest in stage.prefixes
    return Promoted(plan.hash) if plan is not None and same else None


def _by_name(o: Observed, stage: Stage) -> Promoted | Unpromoted:
    plan = o.status.plan
    if plan is None or plan.hash is None:
        return Unpromoted(f"{stage.label} has other files, and what is pending here is not known yet")
    here = {each.name: each.checksum for each in (*o.status.migrations, *o.status.seeds)}
    if plan.pending > len(plan.names):
        return _many(o, stage, plan.pending, here)
    missing = [f"{name} {why}" for name in plan.names if (why := _missing(stage, name, here.get(name)))]
    if not missing:
        return Promoted(plan.hash)
    return _listed(stage, missing)


def _many(o: Observed, stage: Stage, pending: int, here: Mapping[str, str | None]) -> Unpromoted:
    """Too many to be named: the lists differ, and what can be seen of the difference is said."""
    # Beyond a target nothing has to be there.
    listed = o.status.migrations if o.spec is not None and o.spec.target is None else ()
    named = [each.name for each in listed if each.state in (State.PENDING, State.FAILED)]
    missing = [f"{name} {why}" for name in named if name in stage.files and (why := _missing(stage, name, here.get(name)))]
    if missing:
        return _listed(stage, missing)
    return Unpromoted(
        f"{stage.label} has not applied the files that are here, each with the same text, up to the newest of the {pending} that are "
        "pending: give both the same files, seeds too"
    )


def _listed(stage: Stage, missing: list[str]) -> Unpromoted:
    return Unpromoted(f"{stage.label}: {listed(missing, _NAMED)}")


def _missing(stage: Stage, name: str, checksum: str | None) -> str | None:
    """What is wrong with it there, None when nothing is."""
    if name not in stage.files:
        return "is not there" if len(stage.files) < _FEW else f"is not among the newest {len(stage.files)} files that it names"
    state, there = stage.files[name]
    if state not in (State.APPLIED, State.SKIPPED):
        return _SAID[state]
    return None if checksum is not None and there == checksum else "has another text there"


def _seen_before(o: Observed, spec: Spec, stage: Stage) -> bool:
    before = o.status.promotion
    return before is not None and (before.by, before.digest) == (stage.label, keys.files_digest(o, spec))
