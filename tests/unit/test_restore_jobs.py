"""The Job of a DatabaseRestore: restricted as a run's is, found from both resources, with no more than its step needs."""

import json
from dataclasses import replace
from typing import Any

import pytest

from dbmigration.api.names import RESTORE_ANNOTATION, RESTORE_UID_LABEL, UID_LABEL
from dbmigration.api.request import BACKUP_DIR, S3_SECRET_DIR, SECRET_DIR
from dbmigration.api.restore import RestoreSpec
from dbmigration.api.restore_report import RestoreReport
from dbmigration.api.restore_request import RESTORE_REQUEST_VARIABLE, RestoreRequest
from dbmigration.api.visible import visible
from dbmigration.decide.restoring.observed import RestoreObserved, StartStep
from dbmigration.decide.restoring.rules import decide
from dbmigration.kube.job_seen import job_seen, owned_by
from dbmigration.kube.reports import read_report, report_in_log
from dbmigration.kube.restore_jobs import build_restore_job
from dbmigration.kube.restore_seen import is_of_restore
from tests.unit.observing import NOW, RUNNER
from tests.unit.restoring import S3, SUSPENDED, WITH_SWAP, chosen, migration, observed, report, restored
from tests.unit.test_jobs import mounts, pod


def start(given: RestoreObserved) -> StartStep:
    decision = decide(given, NOW)
    assert decision.start is not None
    return decision.start


RESTORES = start(observed(status=chosen()))
SWAPS = start(observed(spec=WITH_SWAP, status=restored(), migration=migration(spec=SUSPENDED)))


def manifest(given: StartStep) -> dict[str, Any]:
    return build_restore_job(given, RUNNER)


@pytest.mark.parametrize("given", [RESTORES, SWAPS])
def test_it_is_as_confined_as_a_run(given: StartStep) -> None:
    found = pod(manifest(given))
    container = found["containers"][0]
    assert container["args"] == ["run-restore"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert (found["automountServiceAccountToken"], found["restartPolicy"], manifest(given)["spec"]["backoffLimit"]) == (False, "Never", 0)
    value = next(v["value"] for v in container["env"] if v["name"] == RESTORE_REQUEST_VARIABLE)
    assert RestoreRequest.model_validate_json(value) == given.request


def test_a_restore_reads_the_backup_and_writes_none() -> None:
    found = mounts(manifest(RESTORES))
    assert set(found) == {SECRET_DIR, "/tmp", BACKUP_DIR}
    assert (found[BACKUP_DIR]["persistentVolumeClaim"], found[BACKUP_DIR]["ro"]) == ({"claimName": "backups"}, True)


def test_a_volume_of_another_name_is_mounted() -> None:
    given = start(observed(status=chosen(backup_uri="pvc://other/studio/1.dump")))
    assert mounts(manifest(given))[BACKUP_DIR]["persistentVolumeClaim"] == {"claimName": "other"}


def test_a_bucket_needs_its_secret_and_no_volume() -> None:
    given = start(observed(status=chosen(backup_uri="s3://backups/prod/1.dump"), migration=migration(spec=S3)))
    assert set(mounts(manifest(given))) == {SECRET_DIR, "/tmp", S3_SECRET_DIR}


def test_a_swap_needs_no_backup() -> None:
    assert set(mounts(manifest(SWAPS))) == {SECRET_DIR, "/tmp"}


def test_both_resources_find_it_and_only_one_owns_it() -> None:
    job = manifest(SWAPS)
    labels, template = job["metadata"]["labels"], job["spec"]["template"]["metadata"]
    assert (labels[UID_LABEL], labels[RESTORE_UID_LABEL], template["labels"][RESTORE_UID_LABEL]) == ("uid-m", "uid-r", "uid-r")
    assert template["annotations"][RESTORE_ANNOTATION] == "back"
    assert (owned_by(job, "uid-r"), owned_by(job, "uid-m"), is_of_restore(job)) == (True, False, True)
    job["metadata"]["creationTimestamp"] = "2026-11-23T12:00:00Z"
    seen = job_seen(job)
    assert (seen.name, seen.run_key, seen.pod_hash, seen.attempt) == (SWAPS.job_name, SWAPS.key, SWAPS.pod_hash, 1)


def test_a_job_that_only_says_so_is_no_restores() -> None:
    job = manifest(SWAPS)
    job["metadata"]["ownerReferences"] = []
    assert not is_of_restore(job)


def test_names_are_short_and_differ() -> None:
    long = start(replace(observed(status=chosen()), name="x." * 120))
    assert len(long.job_name) <= 57
    assert len({long.job_name, RESTORES.job_name, SWAPS.job_name}) == 3


def test_a_report_is_believed_only_where_it_is_of_this_very_job() -> None:
    told = report()
    assert read_report(told.to_json(), "job-1", RestoreReport) == told
    assert read_report(told.to_json(), "job-2", RestoreReport) is None
    line = json.dumps({"report": json.loads(told.to_json())})
    assert read_report(told.to_json()[:100], "job-1", RestoreReport) is None
    assert report_in_log(f"noise\n{line}\n", "job-1", RestoreReport) == told
    assert report_in_log("{}", "job-1", RestoreReport) is None


def test_what_its_pod_writes_cannot_steer_a_terminal() -> None:
    for message in ("\x1b[2Jdone", "a\u202eb"):
        found = read_report(report(message=message).to_json(), "job-1", RestoreReport)
        assert found is not None
        assert found.message == visible(message) != message


@pytest.mark.parametrize(
    "wrong",
    [
        {"backup": {}},
        {"backup": {"latest": False}},
        {"backup": {"latest": True, "uri": "pvc://a/b.dump"}},
        {"backup": {"uri": "file:///b.dump"}},
        {"backup": {"uri": "pvc://a/../../b.dump"}},
        {"into": ""},
        {"into": "dbmigration_restoring_1"},
        {"into": "9lives"},
        {"into": "x" * 64},
        {"jobs": 0},
        {"unknown": 1},
    ],
)
def test_what_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    base: dict[str, Any] = {"migrationRef": {"name": "studio"}, "backup": {"latest": True}, "into": "new"}
    RestoreSpec.model_validate(base)
    with pytest.raises(ValueError, match="validation error"):
        RestoreSpec.model_validate(base | wrong)
