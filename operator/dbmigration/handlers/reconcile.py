"""One look at one resource: observe, decide, act."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import structlog

from dbmigration.decide.decision import Decision
from dbmigration.decide.figures import ended_run
from dbmigration.decide.observed import Runner
from dbmigration.decide.restoring.figures import ended_step
from dbmigration.decide.restoring.observed import RestoreDecision
from dbmigration.decide.restoring.rules import decide as decide_restore
from dbmigration.decide.rules import decide
from dbmigration.handlers.index import ResourceKey, RestoreKey, SourceIndex
from dbmigration.handlers.metrics import Metrics
from dbmigration.handlers.queue import Again
from dbmigration.handlers.slots import Slots
from dbmigration.kube.act import act
from dbmigration.kube.classify import Answer, ApiFailure
from dbmigration.kube.client import Api
from dbmigration.kube.observe import observe
from dbmigration.kube.restores import act_on_restore, observe_restore

Key = ResourceKey | RestoreKey

_AT_ONCE = timedelta(milliseconds=200)

_log = structlog.stdlib.get_logger("dbmigration.operator")


def reconcile(api: Api, runner: Runner, key: ResourceKey, metrics: Metrics, slots: Slots) -> tuple[Decision, timedelta | None] | None:
    """What was decided and when to look again; None when the resource is gone. Raises ApiFailure. Blocks: run it in a thread."""
    now = datetime.now(UTC).replace(microsecond=0)
    seen = observe(api, runner, key.namespace, key.name, now)
    if seen is None:
        return None
    decided = slots.decide(key, seen.observed, now, decide)
    decision = act(api, seen, decided, now)
    if decided.start is not None and decision.start is None:
        slots.forget(key)
    ended = ended_run(seen.observed.status, decision.status)
    if ended is not None:
        metrics.run_ended(key, ended)
    if decision.start is not None or decision.status != seen.observed.status:
        _log_decision(decision, resource=str(key))
    return decision, decision.again_after


def reconcile_restore(api: Api, runner: Runner, key: RestoreKey, metrics: Metrics) -> timedelta | None:
    """Returns when to look again. Raises ApiFailure. Blocks: run it in a thread."""
    now = datetime.now(UTC).replace(microsecond=0)
    seen = observe_restore(api, runner, key.namespace, key.name, now)
    if seen is None:
        return None
    decision = decide_restore(seen.observed, now)
    again_after = act_on_restore(api, seen, decision, now)
    ended = ended_step(seen.observed.status, decision.status)
    if ended is not None and seen.observed.spec is not None:
        metrics.step_ended(ResourceKey(key.namespace, seen.observed.spec.migration_ref.name), ended)
    if decision.start is not None or decision.status != seen.observed.status:
        _log_decision(decision, restore=f"{key.namespace}/{key.name}")
    return again_after


def _log_decision(decision: Decision | RestoreDecision, **about: str) -> None:
    status = decision.status
    reason = status.conditions[0].reason if status.conditions else None
    _log.info("decided", **about, rule=decision.rule, reason=reason, job=status.run.job_name if status.run else None)


def reconciler(
    api: Api,
    runner: Runner,
    index: SourceIndex,
    threads: ThreadPoolExecutor,
    metrics: Metrics,
    slots: Slots,
    wake: Callable[[ResourceKey], None],
) -> Callable[[Key], Awaitable[timedelta | None]]:
    """The work of the queue. Raises Again for what another try mends, every failure but a resource that is gone. `wake`s others."""

    async def work(key: Key) -> timedelta | None:
        result, began = "failed", time.perf_counter()
        loop = asyncio.get_running_loop()
        try:
            if isinstance(key, RestoreKey):
                again_after = await loop.run_in_executor(threads, reconcile_restore, api, runner, key, metrics)
                result = "done"
                return again_after
            done = await loop.run_in_executor(threads, reconcile, api, runner, key, metrics, slots)
            result = "done" if done is not None else "gone"
        except ApiFailure as failure:
            result = failure.answer.value
            raise _again(key, failure) from failure
        except Exception as error:
            # A bug that one resource brings out must not stop the others.
            _log.exception("failed", resource=str(key))
            if isinstance(key, ResourceKey):
                slots.forget(key)
            raise Again from error
        finally:
            metrics.reconciled(result, time.perf_counter() - began)
            if result == "gone" and isinstance(key, ResourceKey):
                slots.forget(key)
            slots.call(wake)
        if done is None:
            index.forget(key)
            return None
        return done[1]

    return work


def _again(key: Key, failure: ApiFailure) -> Again:
    if failure.answer is Answer.CONFLICT:
        return Again(_AT_ONCE)
    _log.warning("again", resource=str(key), status=failure.status, answer=failure.answer.value, message=failure.message)
    return Again(timedelta(seconds=failure.retry_after) if failure.retry_after else None)
