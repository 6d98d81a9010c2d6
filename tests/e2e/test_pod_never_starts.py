"""The run's pod cannot start: the resource says why in the words of scheduler, quota or kubelet, and heals when the cause is gone."""

import json
import secrets

from dbmigration.api.reasons import Reason
from dbmigration.api.spec import Spec
from dbmigration.decide.keys import job_name, run_key
from dbmigration.decide.observed import FoundSource, Observed, Runner
from dbmigration.migrations.digest import digest_bytes
from tests.cluster.images import operator_image
from tests.cluster.operator import InstalledOperator, wait_for_operator
from tests.e2e.studio import NAME, Studio

FILES = {"001_first.sql": "CREATE TABLE first (id int);"}


def test_unschedulable_pod_is_told_in_the_schedulers_words(studio: Studio) -> None:
    """A change of the spec replaces the pod that waits, at once."""
    studio.prepare(FILES)
    studio.put_resource(job={"nodeSelector": {"disk": "of-gold"}})
    waiting = studio.wait_reason(Reason.UNSCHEDULABLE, stalled=False)
    assert "node(s) didn't match Pod's node affinity/selector" in waiting.message
    assert studio.database.history() == []

    studio.put_resource()
    seen = studio.wait_ready(version="001")
    assert seen.status.run is not None
    assert (seen.status.run.attempt, seen.status.run.failures, seen.status.run.counted) == (1, 0, 0)
    assert len(studio.jobs()) == 1


def test_quota_is_told_in_its_own_words(studio: Studio) -> None:
    """The Job is there and no pod; when the quota is gone the Job controller makes one, and nothing else has to be done."""
    studio.prepare(FILES)
    studio.put({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "no-pods"}, "spec": {"hard": {"pods": "0"}}})
    studio.kubectl("wait", "resourcequota/no-pods", "--for=jsonpath={.status.hard.pods}=0", "--timeout=30s")
    studio.put_resource()
    waiting = studio.wait_reason(Reason.ADMISSION_DENIED, stalled=False)
    assert "exceeded quota: no-pods" in waiting.message
    assert studio.database.history() == []

    studio.kubectl("delete", "resourcequota", "no-pods")
    assert studio.wait_ready(version="001").generation == waiting.generation


def test_quota_on_jobs_is_told_in_its_own_words(studio: Studio) -> None:
    """The Job itself is refused."""
    studio.prepare(FILES)
    hard = {"count/jobs.batch": "0"}
    studio.put({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "no-jobs"}, "spec": {"hard": hard}})
    studio.kubectl("wait", "resourcequota/no-jobs", r"--for=jsonpath={.status.hard.count/jobs\.batch}=0", "--timeout=30s")
    studio.put_resource()
    waiting = studio.wait_reason(Reason.ADMISSION_DENIED, stalled=False)
    assert "exceeded quota: no-jobs" in waiting.message
    assert studio.jobs() == []

    studio.kubectl("delete", "resourcequota", "no-jobs")
    wake(studio)
    assert studio.wait_ready(version="001").generation == waiting.generation


def test_image_that_cannot_be_pulled_is_told_in_kubelets_words(studio: Studio, operator: InstalledOperator) -> None:
    """image-pull-fails: a wrong image for runs; the next, right one replaces the pod that waits, with no edit of the resource."""
    studio.prepare(FILES)
    allow_no_image_but(studio, operator, "registry.invalid/absent:1")
    set_runner_image(studio, operator, "DBMIGRATION_RUNNER_IMAGE=registry.invalid/absent:1")
    try:
        studio.put_resource()
        waiting = studio.wait_reason(Reason.IMAGE_PULL_FAILED, stalled=False)
        assert "registry.invalid/absent:1" in waiting.message
    finally:
        allow_no_image_but(studio, operator, operator_image())
        set_runner_image(studio, operator, "DBMIGRATION_RUNNER_IMAGE-")
    seen = studio.wait_ready(version="001")
    assert seen.generation == waiting.generation
    assert studio.database.history() == ["001_first.sql"]


def test_foreign_job_of_the_same_name_is_left_alone(studio: Studio) -> None:
    """foreign-job-same-name: neither adopted nor deleted; when it goes, the run starts."""
    studio.prepare(FILES)
    studio.put_resource(suspend=True)
    studio.wait_reason(Reason.SUSPENDED)
    name = first_job_name(studio)
    container = {"name": "sleeper", "image": "registry.invalid/absent:1"}
    foreign = {"template": {"spec": {"restartPolicy": "Never", "containers": [container]}}, "suspend": True}
    studio.put({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": foreign})
    before = json.loads(studio.kubectl("get", "job", name, "-o", "json"))["metadata"]

    studio.put_resource()
    waiting = studio.wait_reason(Reason.JOB_CONFLICT, stalled=False)
    assert name in waiting.message
    after = json.loads(studio.kubectl("get", "job", name, "-o", "json"))["metadata"]
    assert (after["uid"], after["resourceVersion"]) == (before["uid"], before["resourceVersion"])
    assert studio.database.history() == []

    studio.kubectl("delete", "job", name)
    wake(studio)
    seen = studio.wait_ready(version="001")
    assert seen.status.run is not None
    assert seen.status.run.job_name == name


def first_job_name(studio: Studio) -> str:
    """What the operator will call the resource's first Job."""
    seen = studio.look()
    spec = Spec.model_validate(seen.raw["spec"])
    digest = digest_bytes({name: text.encode() for name, text in FILES.items()})
    observed = Observed(
        namespace=studio.namespace,
        name=NAME,
        uid=seen.uid,
        generation=seen.generation,
        retry=None,
        spec=spec,
        spec_error=None,
        status=seen.status,
        source=FoundSource(digest, len(FILES)),
        jobs=(),
        runner=Runner("", ""),
    )
    return job_name(observed, run_key(spec, digest, None), attempt=1)


def wake(studio: Studio) -> None:
    """Make the operator look now: it looks by itself every 30 seconds after the API server refused a Job."""
    studio.kubectl("annotate", "dbm", NAME, f"look={secrets.token_hex(3)}", "--overwrite")


def set_runner_image(studio: Studio, operator: InstalledOperator, assignment: str) -> None:
    studio.cluster.kubectl("set", "env", f"deployment/{operator.deployment}", "-n", operator.namespace, assignment)
    wait_for_operator(studio.cluster, operator)


def allow_no_image_but(studio: Studio, operator: InstalledOperator, image: str) -> None:
    """What the admission policy lets runs run."""
    change = [{"op": "replace", "path": "/template/spec/containers/0/image", "value": image}]
    studio.cluster.kubectl(
        *("patch", "podtemplate", "dbmigration-operator-runs", "-n", operator.namespace, "--type=json", f"--patch={json.dumps(change)}")
    )
