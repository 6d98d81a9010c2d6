"""What makes two runs the same run, and what a Job is called."""

import hashlib
import json
from typing import Any

from dbmigration.api.spec import Spec
from dbmigration.decide.observed import FetchedSource, FoundSource, Observed, Runner

_RUN_FIELDS = {"database", "environment", "target", "rollback", "history", "execution", "backup", "baseline"}
_GATES = {"window", "approval", "promotion"}
_POD_FIELDS = {"job", "source", "database", "backup", "rehearsal"}
_NO_RESULT = {"backup": {"retention", "external", "format", "jobs", "compression", "secret_ref"}}
_NAME_PART = 40
_HASH = 16


def digest(*parts: Any) -> str:
    """A short hash of values that JSON can hold."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:_HASH]


# Defaults are left out of every hash: a later version that adds a field must not run all finished resources again.


def run_key(spec: Spec, source_digest: str, retry: str | None) -> str:
    """Hash of what decides a run's result: the files' bytes rather than their ConfigMaps' names, the spec without scheduling knobs."""
    fields = spec.model_dump(mode="json", include=_RUN_FIELDS, exclude=_NO_RESULT, exclude_defaults=True)
    return digest(fields, source_digest, retry)


def spec_hash(spec: Spec) -> str:
    """Hash of all that can change how a run ends: after a permanent failure any change deserves another try. Gates stand apart in it."""
    rest = digest(spec.model_dump(mode="json", exclude={"suspend", "declared", *_GATES}, exclude_defaults=True))
    gates = spec.model_dump(mode="json", include=_GATES, exclude_defaults=True)
    return f"{rest}-{digest(gates)}" if gates else rest


def same_but_for_gates(before: str, spec: Spec) -> bool:
    """Whether a plan that was made with the spec hash `before` is still the plan: a gate changes when it is carried out, not what it is."""
    return before.partition("-")[0] == spec_hash(spec).partition("-")[0]


def pod_hash(spec: Spec, key: str, runner: Runner) -> str:
    """Hash of everything that decides whether a pod can start: a Job that never started is replaced when it changes."""
    fields = spec.model_dump(mode="json", include=_POD_FIELDS, exclude_defaults=True)
    return digest(fields, key, runner.image)


def look_name(observed: Observed, what: str) -> str:
    """At most 57 characters. `what` tells one look from another: when it was due, or who asked for it."""
    readable = observed.name[: _NAME_PART - 6].replace(".", "-").rstrip("-")
    return f"{readable}-drift-{digest(observed.uid, what)}"


def files_digest(observed: Observed, spec: Spec) -> str | None:
    """Hash of the files that a run is to be given. Of what its pod gets it is known when an earlier run of the same key was given them."""
    source, status = observed.source, observed.status
    if isinstance(source, FoundSource):
        return source.digest
    if not isinstance(source, FetchedSource) or status.run is None or status.source is None:
        return None
    return status.source.digest if status.run.key == run_key(spec, source.identity, observed.retry) else None


def files_revision(observed: Observed, spec: Spec) -> str | None:
    """What the files of `files_digest` were taken from, where that is known."""
    source = observed.status.source
    return source.revision if source is not None and files_digest(observed, spec) is not None else None


def job_name(observed: Observed, key: str, attempt: int) -> str:
    """At most 57 characters, so that pod names and labels made from it fit 63.

    The previous run's name is part of the hash: going from A to B and back to A is three runs, and the first Job of A may still be there.
    """
    previous = observed.status.run.job_name if observed.status.run else ""
    readable = observed.name[:_NAME_PART].replace(".", "-").rstrip("-")
    return f"{readable}-{digest(observed.uid, key, attempt, previous)}"
