"""The Helm chart: the operator of manifests/base, values that are checked, a release that is upgraded and removed under a database."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.helm import CHART, HelmError, helm
from tests.cluster.images import operator_image
from tests.cluster.interface import Cluster
from tests.cluster.operator import InstalledOperator, operator_objects, wait_for_operator
from tests.e2e.conftest import new_namespace
from tests.e2e.databases import Server
from tests.e2e.restart import paused
from tests.e2e.studio import CLAIM_NAME, NAME, REQUIRE_BACKUP, Studio, settle
from tests.e2e.volume import files_on_volume

Json = dict[str, Any]
RELEASE = "dbmigration-operator"
OTHER = "other"
"""A release whose cluster-wide objects are not those of the session's operator."""
FIRST = {"001_first.sql": "CREATE TABLE first (id int);"}
SECOND = FIRST | {"002_second.sql": "CREATE TABLE second (id int);"}


def render(*options: str, namespace: str = "dbmigration-system", release: str = RELEASE) -> dict[tuple[str, str], Json]:
    """The chart's objects by kind and name."""
    text = helm("template", release, CHART, "--namespace", namespace, *options)
    return by_name([item for item in yaml.safe_load_all(text) if item])


def by_name(objects: list[Json]) -> dict[tuple[str, str], Json]:
    return {(item["kind"], item["metadata"]["name"]): item for item in objects}


def operator_container(objects: dict[tuple[str, str], Json], name: str = RELEASE) -> Json:
    found: Json = objects["Deployment", name]["spec"]["template"]["spec"]["containers"][0]
    return found


def variables(container: Json) -> dict[str, Any]:
    return {each["name"]: each.get("value", each.get("valueFrom")) for each in container["env"]}


def test_the_chart_makes_what_the_kustomize_base_makes(cluster: Cluster) -> None:
    """Every object, but the namespace, which is Helm's own business. Labels differ, and what a variable says by its default."""
    chart = render(
        f"--set=image.repository={operator_image().rpartition(':')[0]}", f"--set=image.tag={operator_image().rpartition(':')[2]}"
    )
    base = by_name(operator_objects(cluster, namespace=None, image=operator_image()))
    del base["Namespace", "dbmigration-system"]
    assert chart.keys() == base.keys()
    for key, wanted in base.items():
        found = chart[key]
        for item in (found, wanted):
            for field in ("labels", "annotations"):
                kept = {
                    name: text for name, text in item["metadata"].pop(field, {}).items() if name.startswith(("rbac.", "dbmigration.dev/"))
                }
                item["metadata"] |= {field: kept} if kept else {}
        if key[0] == "Deployment":
            told = variables(operator_container({key: found})), variables(operator_container({key: wanted}))
            assert told[1].items() <= told[0].items()
            for item in (found, wanted):
                del item["spec"]["selector"], item["spec"]["template"]["metadata"], item["spec"]["template"]["spec"]["containers"][0]["env"]
        if key[0] == "ValidatingAdmissionPolicy":
            for item in (found, wanted):
                # The chart knows the namespace.
                (condition,) = item["spec"].pop("matchConditions")
                assert re.search(r"system:serviceaccount:.*:dbmigration-operator", condition["expression"])
        assert found == wanted, key


def test_lint_has_nothing_to_say() -> None:
    assert "1 chart(s) linted, 0 chart(s) failed" in helm("lint", "--strict", CHART)


@pytest.mark.parametrize(
    "wrong",
    [
        "image.tga=1",
        "imagee.tag=1",
        "image.pullPolicy=Sometimes",
        "image.digest=abc",
        "image.repository=",
        "image.repository=Has Spaces",
        "watchNamespaces={Team_A}",
        "watchNamespaces={a,a}",
        "watchNamespaces=all",
        "log.format=xml",
        "log.level=verbose",
        "workers=0",
        "workers=many",
        "allowed.s3Hosts=null,allowed.s3Hosts={}",
        "allowed.serviceAccounts={two words}",
        "allowed.serviceAccounts={a\\,b}",
        "admissionPolicy.enabled=maybe",
        "networkPolicy.apiServerCIDRs={10.0.0.1}",
        "networkPolicy.apiServerPorts={0}",
        "clusterName=two words",
        "traces.endpoint=collector:4318",
        "traces.endpoint=http://user:password@collector:4318",
        "crds.keep=yes please",
        "extraEnv[0].value=1",
        "imagePullSecrets={registry}",
    ],
)
def test_a_value_that_makes_no_sense_is_refused(wrong: str) -> None:
    with pytest.raises(HelmError, match="values don't meet the specifications of the schema"):
        render(f"--set={wrong}")


def test_an_air_gapped_cluster_pulls_from_its_mirror_by_digest() -> None:
    digest = "sha256:" + "0" * 64
    objects = render(
        *("--set=image.registry=mirror.internal:5000", "--set=image.repository=platform/dbmigration", f"--set=image.digest={digest}"),
        *("--set=imagePullSecrets[0].name=mirror", "--set=runner.image=mirror.internal:5000/runner:1"),
        "--set=admissionPolicy.images={mirror.internal:5000/rewritten:1}",
    )
    container, image = operator_container(objects), f"mirror.internal:5000/platform/dbmigration@{digest}"
    assert container["image"] == image
    assert objects["Deployment", RELEASE]["spec"]["template"]["spec"]["imagePullSecrets"] == [{"name": "mirror"}]
    assert variables(container)["DBMIGRATION_RUNNER_IMAGE"] == "mirror.internal:5000/runner:1"
    allowed = objects["PodTemplate", "dbmigration-operator-runs"]["template"]["spec"]["containers"]
    assert [each["image"] for each in allowed] == [image, "mirror.internal:5000/runner:1", "mirror.internal:5000/rewritten:1"]


def test_named_namespaces_get_roles_and_the_operator_no_cluster_role() -> None:
    objects = render(
        *("--set=watchNamespaces={a,b}", "--set=crds.install=false", "--set=userRoles.create=false", "--set=admissionPolicy.enabled=false"),
        namespace="ops",
    )
    assert not [kind for kind, _ in objects if kind.startswith(("Cluster", "Validating"))]
    text = helm("template", RELEASE, CHART, "--namespace", "ops", "--set=watchNamespaces={a,b}", "--set=admissionPolicy.enabled=false")
    kinds = ("Role", "RoleBinding", "PodTemplate")
    roles = [item for item in yaml.safe_load_all(text) if item and item["kind"] in kinds]
    assert sorted((item["kind"], item["metadata"]["namespace"]) for item in roles) == [
        # What the administrator's policy looks for in the namespace of a Job.
        *(("PodTemplate", "a"), ("PodTemplate", "b")),
        *(("Role", "a"), ("Role", "b")),
        *(("RoleBinding", "a"), ("RoleBinding", "b")),
    ]
    told = variables(operator_container(objects))
    # It may not look at its own pod there, so the image of runs is told.
    assert (told["DBMIGRATION_WATCH_NAMESPACES"], told["DBMIGRATION_RUNNER_IMAGE"]) == ("a,b", "dbmigration-operator:0.1.0")
    assert "DBMIGRATION_RUNNER_IMAGE" not in variables(operator_container(render("--set=watchNamespaces={ops}", namespace="ops")))


def test_every_other_value_reaches_what_it_is_about() -> None:
    values: Json = {
        "allowed": {"serviceAccounts": ["a-*", "b"], "s3Hosts": ["minio.svc/studio-*"], "images": ["reg/*"], "gitHosts": ["git.svc"]},
        "log": {"format": "console", "level": "DEBUG"},
        "workers": 3,
        "runs": {"max": 0, "maxPerServer": 1},
        "clusterName": "rome",
        "traces": {"endpoint": "http://collector:4318"},
        "resources": {"requests": {"cpu": "1"}},
        "podAnnotations": {"note": "a"},
        "podLabels": {"team": "b"},
        "nodeSelector": {"disk": "fast"},
        "tolerations": [{"operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "priorityClassName": "high",
        "extraEnv": [{"name": "X", "value": "y"}],
        "serviceAccount": {"annotations": {"cloud": "role"}},
        "networkPolicy": {"enabled": True, "apiServerCIDRs": ["10.0.0.1/32"]},
        "crds": {"keep": False},
    }
    objects = render(*(f"--set-json={name}={json.dumps(value)}" for name, value in values.items()))
    template = objects["Deployment", RELEASE]["spec"]["template"]
    told = variables(template["spec"]["containers"][0])
    assert told.items() >= {
        "DBMIGRATION_ALLOWED_SERVICE_ACCOUNTS": "a-*,b",
        "DBMIGRATION_ALLOWED_S3_HOSTS": "minio.svc/studio-*",
        "DBMIGRATION_ALLOWED_IMAGES": "reg/*",
        "DBMIGRATION_ALLOWED_GIT_HOSTS": "git.svc",
        "DBMIGRATION_LOG_FORMAT": "console",
        "DBMIGRATION_LOG_LEVEL": "DEBUG",
        "DBMIGRATION_WORKERS": "3",
        "DBMIGRATION_MAX_RUNS": "0",
        "DBMIGRATION_MAX_RUNS_PER_SERVER": "1",
        "DBMIGRATION_CLUSTER": "rome",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318",
        "X": "y",
    }.items()  # fmt: skip
    lists = {"dbmigration.dev/service-accounts": "a-*,b", "dbmigration.dev/source-images": "reg/*"}
    assert objects["PodTemplate", "dbmigration-operator-runs"]["metadata"]["annotations"] == lists
    assert template["spec"]["containers"][0]["resources"]["requests"]["cpu"] == "1"
    assert (template["metadata"]["annotations"], template["metadata"]["labels"]["team"]) == ({"note": "a"}, "b")
    for name in ("nodeSelector", "tolerations", "affinity", "priorityClassName"):
        assert template["spec"][name] == values[name]
    assert objects["ServiceAccount", RELEASE]["metadata"]["annotations"] == {"cloud": "role"}
    assert objects["NetworkPolicy", RELEASE]["spec"]["egress"][0]["to"] == [{"ipBlock": {"cidr": "10.0.0.1/32"}}]
    for (kind, _), item in objects.items():
        if kind == "CustomResourceDefinition":
            assert "annotations" not in item["metadata"]


@pytest.fixture
def released(cluster: Cluster, operator: InstalledOperator) -> Iterator[str]:
    """A namespace for a release, and no other operator."""
    with paused(cluster, operator), new_namespace(cluster, "release") as name:
        yield name


def test_resources_databases_and_backups_survive_upgrade_and_uninstall(
    cluster: Cluster, released: str, server: Server, namespace: str, tmp_path: Path
) -> None:
    """From a chart whose CRD lacks a field, in the middle of a run; then the release goes, and comes back to what it left."""
    image, _, tag = operator_image().rpartition(":")
    options = [f"--namespace={released}", f"--set=image.repository={image}", f"--set=image.tag={tag}", "--set=userRoles.create=false"]
    # The session's own definitions are there already, applied by kubectl.
    options += ["--take-ownership", "--force-conflicts", "--wait", "--timeout=3m"]
    crd, name = "crd/databasemigrations.dbmigration.dev", f"{OTHER}-dbmigration-operator"
    placed = InstalledOperator(released, name, name, f"app.kubernetes.io/instance={OTHER}")
    helm("install", OTHER, previous_chart(tmp_path), *options, cluster=cluster)
    assert "onFailure" not in cluster.kubectl("get", crd, "-o", "json")

    studio = Studio(cluster, namespace, server.new_database())
    studio.put_volume()
    studio.start(FIRST, backup=REQUIRE_BACKUP)
    with studio.database.locked("first"):
        # pg_dump of the second run waits for the lock while the operator is replaced.
        studio.put_files(SECOND)
        running = studio.wait(
            lambda seen: seen.reconciling and seen.status.run is not None and seen.status.run.finished_at is None, "a run"
        )
        assert running.status.run is not None
        helm("upgrade", OTHER, CHART, *options, cluster=cluster)
        wait_for_operator(cluster, placed)
    upgraded = studio.wait_ready(version="002")
    assert upgraded.status.run is not None
    assert upgraded.status.run.job_name == running.status.run.job_name
    studio.kubectl("patch", "dbm", NAME, "--type=merge", '--patch={"spec": {"onFailure": "Rollback"}}')
    assert studio.look().raw["spec"]["onFailure"] == "Rollback"
    dumps = [file.path for file in files_on_volume(cluster, namespace, CLAIM_NAME)]
    assert sum(path.endswith(".dump") for path in dumps) == 2

    settle(studio)
    jobs = studio.jobs()
    helm("uninstall", OTHER, f"--namespace={released}", "--wait", "--timeout=3m", cluster=cluster)
    assert not json.loads(
        cluster.kubectl("get", "deployments,serviceaccounts", "-n", released, "-o", "json", "-l=app.kubernetes.io/part-of=dbmigration")
    )["items"]
    left = studio.look()
    assert left.uid == upgraded.uid
    assert [file.path for file in files_on_volume(cluster, namespace, CLAIM_NAME)] == dumps
    assert studio.database.tables() == ["first", "second"]

    helm("install", OTHER, CHART, *options, cluster=cluster)
    settle(studio)
    assert studio.look().status == left.status
    assert studio.jobs() == jobs
    helm("uninstall", OTHER, f"--namespace={released}", "--wait", "--timeout=3m", cluster=cluster)


def previous_chart(folder: Path) -> Path:
    """This chart as an earlier version might have been: without the field spec.onFailure, and with another pod."""
    chart = folder / "previous"
    shutil.copytree(CHART, chart)
    path = chart / "files" / "crds" / "dbmigration.dev_databasemigrations.yaml"
    definition = yaml.safe_load(path.read_text())
    del definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["onFailure"]
    path.write_text("# Generated\n" + yaml.safe_dump(definition, sort_keys=False))
    values = chart / "values.yaml"
    values.write_text(values.read_text().replace("podAnnotations: {}", "podAnnotations: {version: previous}"))
    head = chart / "Chart.yaml"
    head.write_text(head.read_text().replace("version: 0.1.0", "version: 0.0.9", 1))
    return chart
