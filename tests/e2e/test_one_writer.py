"""One database, two resources in two namespaces that reach it through different host names: one of them writes."""

import json
import secrets
from collections.abc import Iterator
from dataclasses import replace

import pytest

from dbmigration.api.reasons import Reason
from tests.cluster.interface import Cluster
from tests.e2e.seen import Seen
from tests.e2e.studio import SECRET_NAME, Studio

FIRST = {"001_first.sql": "CREATE TABLE first (id int);"}
SECOND = {"002_second.sql": "CREATE TABLE second (id int);"}


@pytest.fixture
def rival(cluster: Cluster, studio: Studio) -> Iterator[Studio]:
    """A resource of the same name in another namespace, which knows the server by its full name."""
    name = f"rival-{secrets.token_hex(3)}"
    labels = {"pod-security.kubernetes.io/enforce": "restricted", "dbmigration.dev/test": "true"}
    wanted = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
    cluster.kubectl("create", "-f", "-", input=json.dumps(wanted))
    try:
        cluster.kubectl("wait", "--for=create", "serviceaccount/default", "-n", name, "--timeout=30s")
        other = replace(studio, namespace=name)
        other.prepare(FIRST | SECOND)
        other.put_secret(studio.database.secret_keys() | {"host": f"{studio.database.host}.cluster.local"})
        yield other
    finally:
        cluster.kubectl("delete", "namespace", name, "--wait=false")


def test_a_second_resource_is_refused_and_takes_over_only_when_it_names_the_owner(studio: Studio, rival: Studio) -> None:
    """two-resources-one-database: through different Secrets and host names."""
    ours, theirs = f"{studio.namespace}/studio", f"{rival.namespace}/studio"
    owner = studio.start(FIRST)
    assert claim_of(owner) == ours

    rival.put_resource()
    refused = rival.wait_reason(Reason.DATABASE_CLAIMED, stalled=True)
    assert (claim_of(refused), identity_of(refused)) == (ours, identity_of(owner))
    assert studio.database.tables() == ["first"]

    rival.put_resource(database={"secretRef": {"name": SECRET_NAME}, "takeOver": ours})
    assert claim_of(rival.wait_ready(version="002")) == theirs
    assert studio.database.tables() == ["first", "second"]

    studio.put_files(FIRST | SECOND)
    late = studio.wait_reason(Reason.DATABASE_CLAIMED, stalled=True)
    assert claim_of(late) == theirs


def test_a_resource_made_anew_goes_on_with_its_database(studio: Studio) -> None:
    before = studio.start(FIRST)
    studio.delete()
    studio.put_files(FIRST | SECOND)
    studio.put_resource()
    after = studio.wait_ready(version="002")
    assert after.uid != before.uid
    assert claim_of(after) == claim_of(before)


def test_a_first_run_with_a_baseline_adopts_and_applies_the_rest(studio: Studio) -> None:
    studio.database.rows("CREATE TABLE first (id int)")
    ready = studio.start(FIRST | SECOND, baseline="001")
    assert (ready.status.version, ready.status.applied) == ("002", 2)
    assert studio.database.tables() == ["first", "second"]


def claim_of(seen: Seen) -> str | None:
    return seen.status.database.claim if seen.status.database else None


def identity_of(seen: Seen) -> str | None:
    return seen.status.database.identity if seen.status.database else None
