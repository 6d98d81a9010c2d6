"""From a DatabaseRestore and its DatabaseMigration to one step: the request that the Job gets."""

import re
from datetime import datetime
from typing import Final

from dbmigration.api.request import ResourceRef, S3Request
from dbmigration.api.restore import RestoreSpec
from dbmigration.api.restore_request import RestoreRequest, RestoreStep
from dbmigration.api.spec import Spec
from dbmigration.decide import keys
from dbmigration.decide.restoring.observed import MigrationSeen, RestoreObserved, StartStep
from dbmigration.decide.start import ca_key, s3_request, secret_keys

_BUCKET: Final = re.compile(r"s3://([^/]+)/")
_CLAIM: Final = re.compile(r"pvc://([^/]+)/")


def step_key(spec: RestoreSpec, step: RestoreStep, retry: str | None) -> str:
    """Hash of what decides a step's result."""
    return keys.digest(step, spec.allow_slots if step is RestoreStep.SWAP else None, retry)


def start_step(
    o: RestoreObserved, spec: RestoreSpec, migration: MigrationSeen, of: Spec, step: RestoreStep, uri: str, now: datetime
) -> StartStep:
    """The next attempt at `step` with the backup at `uri`."""
    key = step_key(spec, step, o.retry)
    attempt = _attempt(o, key)
    name = _job_name(o, step, key, attempt)
    live, restored = (o.status.database, o.status.restored) if step is RestoreStep.SWAP else (None, None)
    cluster = o.runner.cluster
    return StartStep(
        job_name=name,
        key=key,
        pod_hash=keys.pod_hash(of, key, o.runner),
        attempt=attempt,
        retry_value=o.retry,
        migration=of,
        request=RestoreRequest(
            resource=ResourceRef(namespace=o.namespace, name=o.name, uid=o.uid, cluster=cluster),
            migration=ResourceRef(namespace=o.namespace, name=migration.name, uid=migration.uid, cluster=cluster),
            run_id=name,
            step=step,
            uri=uri,
            into=spec.into,
            jobs=spec.jobs,
            s3=_s3(of, uri) if step is RestoreStep.RESTORE else None,
            secret_keys=secret_keys(of.database.secret_ref),
            tls_mode=of.database.tls.mode if of.database.tls else None,
            ca_key=ca_key(of),
            claimed_by=of.database.take_over,
            live_name=live.name if live else None,
            live_identity=live.identity if live else None,
            restored_identity=restored.identity if restored else None,
            allow_slots=spec.allow_slots,
            asked_at=now if o.runner.traces else None,
        ),
    )


def claim_of(uri: str) -> str | None:
    """The PersistentVolumeClaim that holds the backup; None: it is in a bucket."""
    found = _CLAIM.match(uri)
    return found[1] if found else None


def lacks_bucket(of: Spec, uri: str) -> bool:
    """Whether the backup is in a bucket and nothing says how to open one."""
    return claim_of(uri) is None and (of.backup.destination is None or of.backup.destination.s3 is None)


def opened(of: Spec, uri: str) -> Spec:
    """The spec with the bucket of `uri` as its destination's: the whole key stands in the URI, and another bucket is opened with the same
    keys."""
    found, destination = _BUCKET.match(uri), of.backup.destination
    if found is None or destination is None or destination.s3 is None:
        return of
    s3 = destination.s3.model_copy(update={"bucket": found[1], "prefix": ""})
    return of.model_copy(update={"backup": of.backup.model_copy(update={"destination": destination.model_copy(update={"s3": s3})})})


def _s3(of: Spec, uri: str) -> S3Request | None:
    destination = opened(of, uri).backup.destination
    return s3_request(destination.s3) if claim_of(uri) is None and destination is not None and destination.s3 is not None else None


def _attempt(o: RestoreObserved, key: str) -> int:
    run = o.status.run
    return run.attempt + 1 if run is not None and run.key == key else 1


def _job_name(o: RestoreObserved, step: RestoreStep, key: str, attempt: int) -> str:
    """At most 57 characters, as `keys.job_name`. The previous Job's name is part of the hash."""
    previous = o.status.run.job_name if o.status.run else ""
    readable = o.name[:32].replace(".", "-").rstrip("-")
    return f"{readable}-{step}-{keys.digest(o.uid, key, attempt, previous)}"
