"""`spec.rehearsal`: what a run is told of it, and what its times mean for a window that is open."""

from datetime import datetime, timedelta
from typing import NamedTuple

from dbmigration.api.conditions import Verdict, Work
from dbmigration.api.durations import milliseconds
from dbmigration.api.reasons import Reason
from dbmigration.api.rehearsal import Rehearsal
from dbmigration.api.report import RehearsalReport
from dbmigration.api.request import RehearsalRequest, RehearsalServerRequest, SecretKeys
from dbmigration.api.spec import Spec
from dbmigration.api.status import RunStatus
from dbmigration.decide import keys
from dbmigration.decide.fit import Fit, fit, lasting
from dbmigration.decide.observed import Observed
from dbmigration.decide.window import closes_at, longest, next_opening

_OTHERS = "*"
"""Stands for the files that a status has no room for."""


def rehearsal_request(o: Observed, spec: Spec, now: datetime) -> RehearsalRequest | None:
    asked = spec.rehearsal
    if asked is None or not spec.rehearses:
        return None
    known = _proved(o, spec, asked, now)
    reference = asked.secret_ref
    return RehearsalRequest(
        secret_name=reference.name if reference else None,
        secret_keys=_secret_keys(asked),
        server=_server(asked),
        max_lock_ms=asked.max_lock_seconds * 1000 if asked.max_lock_seconds is not None else None,
        fail_on_rewrite=asked.fail_on_rewrite,
        jobs=asked.jobs,
        proved_plan=known.plan_hash if known is not None else None,
        proved_ms=_times(known) if known is not None else {},
    )


def _server(asked: Rehearsal) -> RehearsalServerRequest | None:
    server = asked.server
    if server is None:
        return None
    return RehearsalServerRequest(image=server.image, storage=server.storage_bytes, parameters=server.parameters)


def _secret_keys(asked: Rehearsal) -> SecretKeys:
    reference = asked.secret_ref
    if reference is None:
        return SecretKeys()
    if reference.key is not None:
        return SecretKeys(uri=reference.key)
    return SecretKeys(**reference.keys.model_dump()) if reference.keys else SecretKeys()


def _proved(o: Observed, spec: Spec, asked: Rehearsal, now: datetime) -> RehearsalReport | None:
    """A rehearsal that passed under this spec, whatever its gates are, and is young enough to be taken at its word."""
    known, run = o.status.rehearsal, o.status.run
    if known is None or not known.passed or run is None or not keys.same_but_for_gates(run.spec_hash, spec):
        return None
    return known if now - known.completed_at < timedelta(milliseconds=milliseconds(asked.max_age)) else None


def _times(known: RehearsalReport) -> dict[str, int]:
    times = {file.name: file.duration_ms for file in known.files}
    others = known.duration_ms - sum(times.values())
    return times | ({_OTHERS: others} if others > 0 else {})


class _Need(NamedTuple):
    """`files_ms` by name, in their order, of what is pending; `before_ms` is spent before the first of them."""

    files_ms: dict[str, int]
    before_ms: float


def too_short_verdict(o: Observed, spec: Spec, run: RunStatus, now: datetime) -> Verdict | None:
    """Ready while the rehearsed files do not fit into what is left of the open window, or into no window, also while that is closed.

    None where they do, or nobody knows.
    """
    window = spec.window
    closes = closes_at(window, now) if window is not None else None
    need = _need(o, spec, now)
    if window is None or need is None:
        return None
    left_ms = (closes - now).total_seconds() * 1000 if closes is not None else 0.0
    whole = longest(window, now)
    whole_ms = whole.total_seconds() * 1000
    found = fit(tuple(need.files_ms.values()), left_ms=left_ms - need.before_ms, whole_ms=whole_ms - need.before_ms)
    if found is Fit.NOW or (found is Fit.LATER and closes is None):
        return None
    before = f", {lasting(need.before_ms)} go before them" if need.before_ms >= 1000 else ""
    if found is Fit.NEVER:
        name, ms = next(iter(need.files_ms.items()))
        one = timedelta(milliseconds=milliseconds(window.duration))
        message = (
            f"{name} took {lasting(ms)} in the rehearsal{before}, and with half as much again that is longer than any window of "
            f"{window.duration if whole == one else lasting(whole_ms)}: widen spec.window, or split the file"
        )
        return Verdict(False, Work.IDLE, Reason.WINDOW_CLOSED, f"{message}; {run.message}")
    opening = next_opening(window, now)
    message = (
        f"the pending files took {lasting(sum(need.files_ms.values()))} in the rehearsal{before}, and with half as much again they do not "
        f"fit into the {lasting(left_ms)} that are left of this window; "
        + (f"the next opens at {opening:%Y-%m-%dT%H:%M:%SZ}" if opening else "no other comes: correct spec.window")
    )
    return Verdict(False, Work.IDLE, Reason.WINDOW_CLOSED, f"{message}; {run.message}")


def _need(o: Observed, spec: Spec, now: datetime) -> _Need | None:
    """None where not every pending file was rehearsed."""
    known, plan, backup = o.status.rehearsal, o.status.plan, o.status.backup
    if known is None or plan is None or spec.rehearsal is None or not spec.rehearses:
        return None
    times = _times(known)
    if plan.names and plan.pending == len(plan.names) and times.keys() >= set(plan.names):  # all, or what an interrupted run has left
        times = {name: times[name] for name in plan.names}
    elif plan.hash != known.plan_hash:
        return None
    before = backup.completed_at - backup.started_at if backup is not None else timedelta(0)
    if _proved(o, spec, spec.rehearsal, now) is None:
        before += known.completed_at - known.started_at
    return _Need(times, before.total_seconds() * 1000) if times else None
