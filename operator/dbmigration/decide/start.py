"""From a spec to one run: the request that the Job gets."""

from datetime import datetime

from dbmigration.api.backup import BackupPolicy, ExternalBackup, S3Destination
from dbmigration.api.database import SecretRef
from dbmigration.api.durations import milliseconds
from dbmigration.api.reasons import Reason
from dbmigration.api.request import (
    BackupRequest,
    ExecutionRequest,
    ExternalRequest,
    FetchRequest,
    ResourceRef,
    RollbackRequest,
    RunRequest,
    S3Request,
    SecretKeys,
)
from dbmigration.api.spec import OnFailure, Spec
from dbmigration.decide import keys
from dbmigration.decide.decision import StartRun
from dbmigration.decide.observed import FetchedSource, KnownSource, Observed
from dbmigration.decide.queue import server_of


def start_run(observed: Observed, spec: Spec, source: KnownSource, key: str, now: datetime) -> StartRun:
    """The next attempt with `key`."""
    attempt = _attempt(observed, key)
    name = keys.job_name(observed, key, attempt)
    return StartRun(
        job_name=name,
        run_key=key,
        spec_hash=keys.spec_hash(spec),
        pod_hash=keys.pod_hash(spec, key, observed.runner),
        attempt=attempt,
        retry_value=observed.retry,
        request=_traced(_request(observed, spec, source, name, attempt), observed, now),
        server=server_of(observed.status),
    )


def start_look(observed: Observed, spec: Spec, source: KnownSource, what: str) -> StartRun:
    """A look at the schema: the same database and files as a run, no backup, nothing to do. `what` as in `keys.look_name`."""
    name = keys.look_name(observed, what)
    request = _request(observed, spec, source, name, 1)
    return StartRun(
        job_name=name,
        run_key="",
        spec_hash="",
        pod_hash="",
        attempt=1,
        retry_value=observed.check_drift,
        request=request.model_copy(update={"look_only": True, "rollback": None, "backup": BackupRequest(required=False)}),
    )


def _traced(request: RunRequest, observed: Observed, now: datetime) -> RunRequest:
    if not observed.runner.traces:
        return request
    return request.model_copy(update={"asked_at": now, "queued_since": observed.status.queued_since})


def _request(observed: Observed, spec: Spec, source: KnownSource, name: str, attempt: int) -> RunRequest:
    return RunRequest(
        resource=ResourceRef(namespace=observed.namespace, name=observed.name, uid=observed.uid, cluster=observed.runner.cluster),
        run_id=name,
        attempt=attempt,
        source_digest=keys.files_digest(observed, spec),
        fetch=_fetch(source.request, keys.files_revision(observed, spec)) if isinstance(source, FetchedSource) else None,
        environment=spec.environment,
        target=spec.target,
        rollback=RollbackRequest(to=spec.rollback.to, plan_hash=spec.rollback.plan_hash) if spec.rollback else None,
        baseline=spec.baseline,
        undo_on_failure=spec.on_failure is OnFailure.ROLLBACK,
        claimed_by=spec.database.take_over,
        history_schema=spec.history.schema_ if spec.history else None,
        history_table=spec.history.table if spec.history else None,
        secret_keys=secret_keys(spec.database.secret_ref),
        tls_mode=spec.database.tls.mode if spec.database.tls else None,
        ca_key=ca_key(spec),
        execution=ExecutionRequest(
            lock_timeout_ms=milliseconds(spec.execution.lock_timeout),
            statement_timeout_ms=milliseconds(spec.execution.statement_timeout),
            lock_retries=spec.execution.lock_retries,
            out_of_order=spec.execution.out_of_order,
        ),
        backup=_backup(observed, spec),
        lint_fail_on=spec.lint.fail_on,
        lint_ignore=spec.lint.ignore,
        drift_policy=spec.drift_check.policy.lower() if spec.drift_check and spec.drift_check.policy else None,
        reapply_rolled_back=_asks_again(observed),
    )


def _fetch(request: FetchRequest, revision: str | None) -> FetchRequest:
    """A branch is looked up once: another attempt at the same gets the same commit."""
    if request.git is None or request.git.commit is not None or revision is None:
        return request
    return request.model_copy(update={"git": request.git.model_copy(update={"revision": revision})})


def _backup(observed: Observed, spec: Spec) -> BackupRequest:
    destination = spec.backup.destination
    if spec.backup.policy is not BackupPolicy.REQUIRED or destination is None:
        return BackupRequest(required=False, external=_external(spec.backup.external) if spec.backup.external else None)
    retention = spec.backup.retention
    claim, s3 = destination.persistent_volume_claim, destination.s3
    return BackupRequest(
        required=True,
        # A bucket is often shared: the namespace keeps two resources of one name apart.
        prefix=observed.name if claim else f"{observed.namespace}/{observed.name}",
        uri_base=f"pvc://{claim.claim_name}" if claim else None,
        keep_last=retention.keep_last if retention else None,
        keep_days=retention.keep_days if retention else None,
        s3=s3_request(s3) if s3 else None,
        format=spec.backup.format,
        jobs=spec.backup.jobs,
        compression=spec.backup.compression,
        secret_name=spec.backup.secret_ref.name if spec.backup.secret_ref else None,
        secret_keys=secret_keys(spec.backup.secret_ref) if spec.backup.secret_ref else SecretKeys(),
    )


def _external(declared: ExternalBackup) -> ExternalRequest:
    return ExternalRequest(**declared.model_dump())


def s3_request(destination: S3Destination) -> S3Request:
    """How the run gets into the bucket."""
    fields = destination.model_dump(include={"bucket", "prefix", "endpoint", "region", "encryption", "kms_key_id"})
    return S3Request(**fields, secret_name=destination.secret_ref.name if destination.secret_ref else None)


def _attempt(observed: Observed, key: str) -> int:
    """Number 1 when the key is new. A Job that was replaced before its pod started was no attempt, so its number is used again."""
    run = observed.status.run
    if run is None or run.key != key:
        return 1
    return run.attempt if run.reason == Reason.PENDING else run.attempt + 1


def _asks_again(observed: Observed) -> bool:
    """A person set a new retry annotation after an earlier run: what was rolled back may be applied again.

    On a resource that has had no run yet the annotation is only text that came along with the manifest.
    """
    return bool(observed.retry) and observed.status.run is not None and observed.retry != observed.status.last_handled_retry


def secret_keys(reference: SecretRef) -> SecretKeys:
    """Which keys of the Secret hold what."""
    if reference.key is not None:
        return SecretKeys(uri=reference.key)
    return SecretKeys(**reference.keys.model_dump()) if reference.keys else SecretKeys()


def ca_key(spec: Spec) -> str | None:
    """The key with the authority's PEM file, where one is named."""
    reference = spec.database.tls.ca_ref if spec.database.tls else None
    if reference is None:
        return None
    chosen = reference.secret or reference.config_map
    return chosen.key if chosen else None
