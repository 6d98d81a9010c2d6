"""The operator's process: `dbmigration operator`."""

import asyncio
import contextlib
import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import kopf
import structlog

from dbmigration.api.names import API_VERSION, APPROVAL_PLURAL, MANAGED_BY, MANAGED_BY_LABEL, PLURAL, RESTORE_PLURAL
from dbmigration.decide.observed import Runner
from dbmigration.handlers.index import SourceIndex
from dbmigration.handlers.logs import configure_logs
from dbmigration.handlers.metrics import Metrics
from dbmigration.handlers.queue import WorkQueue
from dbmigration.handlers.reconcile import Key, reconciler
from dbmigration.handlers.registry import quiet, watch, watch_flux
from dbmigration.handlers.settings import OperatorSettings, read_settings
from dbmigration.handlers.slots import Slots
from dbmigration.kube import flux
from dbmigration.kube.classify import Answer, ApiFailure
from dbmigration.kube.client import Api, connect, namespaced
from dbmigration.kube.own import read_own_image

_API_LOOK_S = 5.0
_FLUX_LOOK_S = 60.0

_log = structlog.stdlib.get_logger("dbmigration.operator")


def main() -> int:
    """Run until SIGTERM. Raises Usage for settings that make no sense."""
    settings = read_settings(os.environ)
    configure_logs(settings.log_format, settings.log_level)
    metrics = Metrics()
    api = connect(connections=settings.workers, on_answer=metrics.asked)
    try:
        if settings.metrics_port:
            metrics.serve(settings.metrics_port)
        runner = replace(
            settings.runner or _own_image(api, settings), cluster=settings.cluster, allowed=settings.allowed, traces=settings.traces
        )
        with ThreadPoolExecutor(settings.workers, thread_name_prefix="reconcile") as threads:
            _run(settings, runner, api, threads, metrics)
    finally:
        api.close()
    return 0


def _own_image(api: Api, settings: OperatorSettings) -> Runner:
    """Our own pod's image, waited for while the API server restarts: it may be that which restarted us. Raises ApiFailure."""
    while True:
        try:
            return read_own_image(api, settings.pod_namespace, settings.pod_name)
        except ApiFailure as failure:
            if failure.answer is not Answer.AGAIN:
                raise
            _log.warning("waiting for the API server", found=failure.message)
            time.sleep(_API_LOOK_S)


def _run(settings: OperatorSettings, runner: Runner, api: Api, threads: ThreadPoolExecutor, metrics: Metrics) -> None:
    index = SourceIndex()
    slots = Slots(settings.limits)
    queue: WorkQueue[Key] = WorkQueue(
        reconciler(api, runner, index, threads, metrics, slots, lambda key: queue.add(key)), workers=settings.workers
    )
    registry = kopf.OperatorRegistry()
    watch(registry, queue, index, metrics, slots)
    metrics.watch_queue(queue)
    working: list[asyncio.Task[None]] = []
    stop = asyncio.Event()

    @kopf.on.login(registry=registry)
    def log_in(**given: Any) -> kopf.ConnectionInfo | None:
        return kopf.login_with_service_account(**given) or kopf.login_with_kubeconfig(**given)

    @kopf.on.startup(registry=registry)
    async def start(**_: Any) -> None:
        await _wait_for_crd(api)
        await _remember_jobs(api, settings.namespaces, slots)
        if await _serves_flux(api):
            watch_flux(registry, queue, index)
        else:
            working.append(asyncio.create_task(_stop_when_flux_comes(api, stop), name="flux"))
        task = asyncio.create_task(queue.run(), name="queue")
        # A queue that ended works on nothing any more: the process ends, and the Deployment starts a new one.
        task.add_done_callback(lambda _: stop.set())
        working.append(task)
        _log.info("started", image=runner.image, namespaces=list(settings.namespaces) or "all", workers=settings.workers)

    @kopf.on.cleanup(registry=registry)
    async def finish(**_: Any) -> None:
        for task in working:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        _log.info("stopped")

    kopf.run(
        registry=registry,
        settings=quiet(kopf.OperatorSettings()),
        clusterwide=not settings.namespaces,
        namespaces=settings.namespaces,
        standalone=True,
        stop_flag=stop,
        liveness_endpoint=f"http://0.0.0.0:{settings.health_port}/healthz" if settings.health_port else None,
    )


async def _remember_jobs(api: Api, namespaces: tuple[str, ...], slots: Slots) -> None:
    """Whatever runs has to be known before anything is started."""
    paths = [namespaced("batch/v1", namespace, "jobs") for namespace in namespaces] or ["/apis/batch/v1/jobs"]
    while True:
        try:
            for path in paths:
                # Those that succeeded are left out by the server: they are most.
                query = {"labelSelector": f"{MANAGED_BY_LABEL}={MANAGED_BY}", "fieldSelector": "status.successful=0"}
                for job in await asyncio.to_thread(api.items, path, **query):
                    slots.remember_job(job)
            return
        except ApiFailure as failure:
            _log.warning("waiting for the list of Jobs", found=failure.message)
        await asyncio.sleep(_API_LOOK_S)


async def _wait_for_crd(api: Api) -> None:
    """kopf looks for its resources once; installed in the wrong order it would watch nothing for ever."""
    while True:
        try:
            found = await asyncio.to_thread(api.get, f"/apis/{API_VERSION}")
            absent = {PLURAL, APPROVAL_PLURAL, RESTORE_PLURAL} - {resource.get("name") for resource in found.get("resources", ())}
            if not absent:
                return
            missing = f"{' and '.join(sorted(absent))}: not served yet"
        except ApiFailure as failure:
            missing = failure.message
        _log.warning("waiting for the CustomResourceDefinition: kubectl apply -k crds", found=missing)
        await asyncio.sleep(_API_LOOK_S)


async def _serves_flux(api: Api) -> bool:
    try:
        return await asyncio.to_thread(api.get_or_none, f"/apis/{flux.GROUP}/{flux.VERSION}") is not None
    except ApiFailure:
        return False


async def _stop_when_flux_comes(api: Api, stop: asyncio.Event) -> None:
    """kopf looks for its resources once, at its start: the Deployment starts a new process, and runs go on meanwhile."""
    while True:
        if await _serves_flux(api):
            break
        await asyncio.sleep(_FLUX_LOOK_S)
    _log.info("Flux was installed: starting again to watch its sources")
    stop.set()
