"""kopf's part: events in, keys into the queue. No handler here changes an object, so kopf adds neither finalizer nor annotation."""

from typing import Any

import kopf

from dbmigration.api.names import (
    APPROVAL_PLURAL,
    GROUP,
    KIND,
    MANAGED_BY,
    MANAGED_BY_LABEL,
    PLURAL,
    RESOURCE_ANNOTATION,
    RESTORE_ANNOTATION,
    RESTORE_PLURAL,
    VERSION,
)
from dbmigration.api.sources import FluxKind
from dbmigration.handlers.index import CONFIG_MAP, ResourceKey, RestoreKey, SourceIndex, used_by
from dbmigration.handlers.metrics import Metrics
from dbmigration.handlers.queue import WorkQueue
from dbmigration.handlers.reconcile import Key
from dbmigration.handlers.restores import RestoreIndex
from dbmigration.handlers.slots import Slots
from dbmigration.kube import flux

_SERVER_TIMEOUT_S = 300
_LIST_CHUNK = 500


def watch(registry: kopf.OperatorRegistry, queue: WorkQueue[Key], index: SourceIndex, metrics: Metrics, slots: Slots) -> None:
    """Register what is watched."""
    restores = RestoreIndex()

    @kopf.on.event(GROUP, VERSION, PLURAL, registry=registry)
    async def resource_changed(type: str, body: kopf.Body, namespace: str | None, name: str, **_: Any) -> None:
        key = ResourceKey(namespace or "", name)
        for follower in index.users(KIND, key.namespace, key.name):
            queue.add(follower)
        if type == "DELETED":
            index.forget(key)
            metrics.resource_gone(key)
            slots.forget(key)
            slots.call(queue.add)
            return
        slots.remember_waiting(key, body.get("status") or {})
        metrics.resource_seen(key, body)
        index.remember(key, used_by(key.namespace, body.get("spec", {})))
        queue.add(key)

    @kopf.on.event(GROUP, VERSION, PLURAL, registry=registry)
    async def restores_wait(namespace: str | None, name: str, **_: Any) -> None:
        for restore in restores.about(ResourceKey(namespace or "", name)):
            queue.add(restore)

    @kopf.on.event(GROUP, VERSION, RESTORE_PLURAL, registry=registry)
    async def restore_changed(type: str, body: kopf.Body, namespace: str | None, name: str, **_: Any) -> None:
        key = RestoreKey(namespace or "", name)
        migration = ResourceKey(key.namespace, str((body.get("spec", {}).get("migrationRef") or {}).get("name")))
        queue.add(migration)  # what it waits for may be over
        if type == "DELETED":
            restores.forget(key)
            metrics.restore_gone(key)
            return
        metrics.restore_seen(key, body)
        restores.remember(key, migration)
        queue.add(key)

    @kopf.on.event("batch", "v1", "jobs", registry=registry)
    async def job_changed(meta: kopf.Meta, namespace: str | None, **_: Any) -> None:
        _add_owner(meta, namespace)

    @kopf.on.event("", "v1", "pods", registry=registry)
    async def pod_changed(meta: kopf.Meta, namespace: str | None, **_: Any) -> None:
        _add_owner(meta, namespace)

    @kopf.on.event("", "v1", "configmaps", registry=registry)
    async def config_map_changed(namespace: str | None, name: str, **_: Any) -> None:
        for key in index.users(CONFIG_MAP, namespace or "", name):
            queue.add(key)

    @kopf.on.event(GROUP, VERSION, APPROVAL_PLURAL, registry=registry)
    async def approval_changed(body: kopf.Body, namespace: str | None, **_: Any) -> None:
        name = (body.get("spec", {}).get("migrationRef") or {}).get("name")
        if name:
            queue.add(ResourceKey(namespace or "", str(name)))

    def _add_owner(meta: kopf.Meta, namespace: str | None) -> None:
        name = meta.annotations.get(RESOURCE_ANNOTATION)
        if meta.labels.get(MANAGED_BY_LABEL) != MANAGED_BY:
            return
        restore = meta.annotations.get(RESTORE_ANNOTATION)
        if restore is not None:
            queue.add(RestoreKey(namespace or "", restore))
        if name is not None:
            key = ResourceKey(namespace or "", name)
            queue.add(key)
            for waiting in restores.about(key):
                queue.add(waiting)


def watch_flux(registry: kopf.OperatorRegistry, queue: WorkQueue[Key], index: SourceIndex) -> None:
    """Register Flux's sources, where the cluster has them: kopf complains of kinds that it does not find."""

    def register(kind: FluxKind) -> None:
        @kopf.on.event(flux.GROUP, flux.VERSION, flux.PLURALS[kind], registry=registry, id=f"flux-{kind}")
        async def source_changed(namespace: str | None, name: str, **_: Any) -> None:
            for key in index.users(kind.value, namespace or "", name):
                queue.add(key)

    for kind in FluxKind:
        register(kind)


def quiet(settings: kopf.OperatorSettings) -> kopf.OperatorSettings:
    """kopf that only watches: nothing is written, no CRD and no namespace is listed, and lists are narrowed by the server."""
    settings.posting.enabled = False
    settings.scanning.disabled = True
    settings.peering.standalone = True
    settings.watching.server_timeout = _SERVER_TIMEOUT_S
    settings.watching.client_timeout = _SERVER_TIMEOUT_S + 30
    settings.watching.connect_timeout = 10
    settings.watching.chunk_size = _LIST_CHUNK
    settings.networking.request_timeout = 60
    ours = f"{MANAGED_BY_LABEL}={MANAGED_BY}"
    settings.watching.label_selectors["batch", "v1", "jobs"] = ours
    settings.watching.label_selectors["", "v1", "pods"] = ours
    # One in every namespace, and nobody's migrations.
    settings.watching.field_selectors["", "v1", "configmaps"] = "metadata.name!=kube-root-ca.crt"
    return settings
