"""The resource that a command is about: the words that name it, and how it was when it was read."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from dbmigration.api.conditions import Condition, ConditionType, find
from dbmigration.api.names import (
    GROUP,
    KIND,
    PLURAL,
    RESTORE_KIND,
    RESTORE_PLURAL,
    RESTORE_SHORT_NAME,
    RETRY_ANNOTATION,
    SHORT_NAME,
)
from dbmigration.api.status import Status
from dbmigration.cli.exits import Exit
from dbmigration.cli.failure import print_error
from dbmigration.cli.plugin.text import plain
from dbmigration.cli.words import Argument, Option

if TYPE_CHECKING:
    from dbmigration.api.restore_status import RestoreStatus
    from dbmigration.kube.client import Api

Name = Annotated[str, Argument("NAME", "The DatabaseMigration, as studio or dbm/studio.")]
EitherName = Annotated[str, Argument("NAME", "The DatabaseMigration, as studio or dbm/studio; or a DatabaseRestore, as dbr/monday.")]
Namespace = Annotated[
    str | None,
    Option("--namespace", "-n", metavar="NAMESPACE", help="Its namespace; default: the kubeconfig's.", show_default=False),
]
Context = Annotated[
    str | None, Option("--context", metavar="CONTEXT", help="The kubeconfig's context; default: the current one.", show_default=False)
]


@dataclass(frozen=True, slots=True)
class CustomResource:
    """A DatabaseMigration or a DatabaseRestore as the API server had it: what the two have in common."""

    namespace: str
    name: str
    raw: dict[str, Any]
    status: "Status | RestoreStatus"

    @property
    def ready(self) -> Condition | None:
        return find(self.status.conditions, ConditionType.READY)

    @property
    def is_ready(self) -> bool:
        return self.ready is not None and self.ready.status == "True"

    @property
    def stalled(self) -> bool:
        return find(self.status.conditions, ConditionType.STALLED) is not None

    @property
    def reconciling(self) -> bool:
        return find(self.status.conditions, ConditionType.RECONCILING) is not None

    @property
    def current(self) -> bool:
        """The operator has seen the newest spec, and answered the newest wish for a retry."""
        annotations = self.raw["metadata"].get("annotations") or {}
        asked = annotations.get(RETRY_ANNOTATION)
        answered = asked is None or asked == self.status.last_handled_retry or self.reconciling
        return self.status.observed_generation == self.raw["metadata"].get("generation", 0) and answered

    @property
    def word(self) -> str:
        """Ready, Stalled, Reconciling, or Waiting for a person or a clock."""
        if self.is_ready:
            return "Ready"
        return "Stalled" if self.stalled else "Reconciling" if self.reconciling or self.ready is None else "Waiting"


@dataclass(frozen=True, slots=True)
class Resource(CustomResource):
    """One DatabaseMigration."""

    status: Status

    @classmethod
    def of(cls, raw: dict[str, Any]) -> "Resource":
        """Of a manifest. A status that cannot be read (of a newer operator) is read as far as its fields can."""
        from dbmigration.kube.resources import read_status

        metadata = raw["metadata"]
        return cls(metadata["namespace"], metadata["name"], raw, read_status(Status, raw.get("status") or {}))


@dataclass(frozen=True, slots=True)
class Restore(CustomResource):
    """One DatabaseRestore."""

    status: "RestoreStatus"

    @classmethod
    def of(cls, raw: dict[str, Any]) -> "Restore":
        """As `Resource.of`."""
        from dbmigration.api.restore_status import RestoreStatus
        from dbmigration.kube.resources import read_status

        metadata = raw["metadata"]
        return cls(metadata["namespace"], metadata["name"], raw, read_status(RestoreStatus, raw.get("status") or {}))


def bare_name(name: str) -> str:
    """ "dbm/studio" is studio, as kubectl has it."""
    kind, slash, rest = name.partition("/")
    return rest if slash and kind.lower() in _spelt(SHORT_NAME, KIND, PLURAL) else name


def restore_name(name: str) -> str | None:
    """ "dbr/monday" is the DatabaseRestore monday. None: a DatabaseMigration is meant."""
    kind, slash, rest = name.partition("/")
    return rest if slash and kind.lower() in _spelt(RESTORE_SHORT_NAME, RESTORE_KIND, RESTORE_PLURAL) else None


def _spelt(short: str, kind: str, plural: str) -> tuple[str, ...]:
    return short, kind.lower(), plural, f"{plural}.{GROUP}", f"{kind.lower()}.{GROUP}"


@contextmanager
def cluster(namespace: str | None, context: str | None) -> Iterator[tuple["Api", str]]:
    """The API server and the namespace that is meant. What it refuses ends the process: 3 where trying again can help, else 1."""
    from dbmigration.kube.classify import Answer, ApiFailure
    from dbmigration.kube.client import NoCluster, connect, own_namespace

    try:
        api = connect(connections=4, context=context)
        place = namespace or own_namespace(context)
    except NoCluster as error:
        print_error(f"error: no cluster: {plain(str(error))}; set KUBECONFIG, or name a context with --context")
        sys.exit(Exit.USAGE)
    try:
        yield api, place
    except ApiFailure as failure:
        print_error(f"error: {plain(failure.message)}")
        sys.exit(Exit.TRY_AGAIN if failure.answer is Answer.AGAIN else Exit.FAILED)
    finally:
        api.close()


def read(api: "Api", namespace: str, name: str) -> Resource:
    """Raises ApiFailure."""
    from dbmigration.kube.client import resource_path

    return Resource.of(api.get(resource_path(namespace, bare_name(name))))


def read_either(api: "Api", namespace: str, name: str) -> Resource | Restore:
    """A DatabaseRestore where the name says so. Raises ApiFailure."""
    restore = restore_name(name)
    if restore is None:
        return read(api, namespace, name)
    from dbmigration.kube.restore_seen import restore_path

    return Restore.of(api.get(restore_path(namespace, restore)))
