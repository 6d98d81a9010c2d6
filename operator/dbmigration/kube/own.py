"""What the operator knows of its own pod."""

from dbmigration.decide.observed import Runner
from dbmigration.kube.classify import Answer, ApiFailure
from dbmigration.kube.client import Api, namespaced

CONTAINER = "operator"


def read_own_image(api: Api, namespace: str, name: str) -> Runner:
    """Image and pull policy of the container `operator` of our own pod: Jobs run the same. Raises ApiFailure."""
    pod = api.get(namespaced("v1", namespace, "pods", name))
    for container in pod["spec"]["containers"]:
        if container["name"] == CONTAINER:
            return Runner(container["image"], container.get("imagePullPolicy", "IfNotPresent"))
    raise ApiFailure(Answer.REFUSED, f"pod {namespace}/{name} has no container named {CONTAINER}")
