"""The manifests that people copy: the API server takes each of them, and the Deployment that waits for its schema does."""

import json
import subprocess
from typing import Final

import yaml

from tests.cluster.cache import CHECKOUT
from tests.cluster.images import operator_image, postgres_image
from tests.cluster.interface import Cluster
from tests.cluster.operator import InstalledOperator
from tests.e2e.studio import RUN_SECONDS, Studio
from tests.e2e.watch import Json, watch_until

SAMPLES: Final = CHECKOUT / "manifests" / "samples"
FILES: Final = {f"00{number}_step.sql": f"CREATE TABLE step_{number} (id int);" for number in range(1, 5)}
APP: Final = "studio-app"


def sample(name: str) -> list[Json]:
    return [document for document in yaml.safe_load_all((SAMPLES / name).read_text()) if document]


def test_the_api_server_takes_every_sample_as_it_is(cluster: Cluster, operator: InstalledOperator, namespace: str) -> None:
    """In a namespace that enforces the restricted standard, with fields that nobody knows refused."""
    names = sorted(path.name for path in SAMPLES.glob("*.yaml"))
    kinds = set()
    for name in names:
        documents = sample(name)
        for document in documents:
            document["metadata"]["namespace"] = namespace
            kinds |= set(document["spec"]["source"]) if document["kind"] == "DatabaseMigration" else set()
        listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": documents})
        said = cluster.kubectl(
            *["apply", "--server-side", "--dry-run=server", "--validate=strict", "--warnings-as-errors", "-f", "-"],
            input=listed,
            stderr=subprocess.STDOUT,
        )
        assert said.count("serverside-applied (server dry run)") == len(documents), (name, said)
    assert kinds == {"configMaps", "image", "git", "fluxRef"}, "a sample for each kind of source"


def test_a_deployment_starts_when_its_schema_is_there_without_a_right_in_the_cluster(studio: Studio) -> None:
    """The sample's init container, with the application's login that may read one table."""
    first = dict(list(FILES.items())[:1])
    studio.start(first)
    app, database = f"{studio.database.user}_app", studio.database
    database.administer(f"CREATE ROLE {app} LOGIN PASSWORD 'of-the-app'")
    database.rows(f"GRANT USAGE ON SCHEMA dbmigration TO {app}; GRANT SELECT ON dbmigration.schema_migrations TO {app}")
    uri = f"postgresql://{app}:of-the-app@{database.host}:5432/{database.name}"
    studio.put({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": APP}, "stringData": {"uri": uri}})
    studio.put(deployment(studio.namespace))

    def waits(pod: Json) -> bool:
        states = pod.get("status", {}).get("initContainerStatuses", [])
        return any("running" in state["state"] for state in states)

    watch_until(studio.cluster, "pods", studio.namespace, lambda pod: pod_of_app(pod) and waits(pod), what="a pod that waits", seconds=60)
    assert available(studio) == 0
    (pod,) = [each for each in pods(studio) if pod_of_app(each)]
    assert pod["spec"]["serviceAccountName"] == "default"
    assert not [volume for volume in pod["spec"].get("volumes", []) if "projected" in volume], "no token is mounted"

    studio.put_files(FILES)
    studio.wait_ready(version="004")
    studio.kubectl("rollout", "status", "deployment/studio", f"--timeout={RUN_SECONDS:.0f}s")
    assert available(studio) == 1


def deployment(namespace: str) -> Json:
    """The sample, with this cluster's images, one replica, and something that runs in the place of the application."""
    (found,) = sample("gate.yaml")
    found["metadata"]["namespace"] = namespace
    found["spec"]["replicas"] = 1
    pod = found["spec"]["template"]["spec"]
    pod["terminationGracePeriodSeconds"] = 1
    pod["initContainers"][0] |= {"image": operator_image(), "imagePullPolicy": "IfNotPresent"}
    pod["containers"][0] |= {"image": postgres_image(), "imagePullPolicy": "IfNotPresent", "command": ["sleep", "infinity"]}
    return dict(found)


def pod_of_app(pod: Json) -> bool:
    return bool(pod["metadata"].get("labels", {}).get("app") == "studio")


def pods(studio: Studio) -> list[Json]:
    return list(json.loads(studio.kubectl("get", "pods", "-o", "json"))["items"])


def available(studio: Studio) -> int:
    found = json.loads(studio.kubectl("get", "deployment/studio", "-o", "json"))
    return int(found["status"].get("availableReplicas", 0))
