"""What a resource may name: the operator's allow-lists."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbmigration.decide.allowed import allows, allows_host, not_allowed
from dbmigration.decide.observed import AllowLists
from tests.unit.observing import RUNNER, spec


def s3(**fields: str) -> dict[str, Any]:
    return {"backup": {"destination": {"s3": {"bucket": "backups", **fields}}}}


def image(reference: str) -> dict[str, Any]:
    return {"source": {"image": {"reference": reference}}}


def server(image: str) -> dict[str, Any]:
    return {"rehearsal": {"where": "Pod", "server": {"image": image}}}


def refused(changes: dict[str, Any], **lists: tuple[str, ...]) -> str | None:
    return not_allowed(spec(**changes), replace(RUNNER, allowed=AllowLists(**lists)))


@pytest.mark.parametrize(
    ("changes", "lists"),
    [
        ({}, {}),
        ({"job": {"serviceAccountName": "default"}}, {}),
        ({"job": {"serviceAccountName": "migrations"}}, {"service_accounts": ("other", "migrations")}),
        ({"job": {"serviceAccountName": "migrations-eu"}}, {"service_accounts": ("migrations-*",)}),
        ({"job": {"serviceAccountName": "any.thing"}}, {"service_accounts": ("*",)}),
        (s3(), {}),
        (image("registry/app:1"), {}),
        (image("registry.example.com/apps/studio@sha256:00"), {"images": ("other/*", "registry.example.com/apps/*")}),
        (server("postgres:17"), {"images": ("other/*", "postgres:*")}),
        (s3(endpoint="https://minio.storage.svc:9000"), {}),
        (s3(endpoint="https://Minio.Storage.svc:9000/"), {"s3_hosts": ("minio.storage.svc",)}),
        (s3(region="eu-central-1"), {"s3_hosts": ("s3.eu-central-1.amazonaws.com/backups",)}),
        (s3(), {"s3_hosts": ("*.amazonaws.com",)}),
        (s3(endpoint="http://169.254.1.1"), {"s3_hosts": ("*", "169.254.1.1")}),
    ],
)
def test_what_a_list_has_is_allowed(changes: dict[str, Any], lists: dict[str, tuple[str, ...]]) -> None:
    assert refused(changes, **lists) is None


@pytest.mark.parametrize(
    ("changes", "lists", "named"),
    [
        ({"job": {"serviceAccountName": "cloud-admin"}}, {}, "spec.job.serviceAccountName is cloud-admin"),
        ({"job": {"serviceAccountName": "cloud-admin"}}, {"service_accounts": ("cloud", "admin", "cloudXadmin")}, "cloud-admin"),
        ({"job": {"serviceAccountName": "axb"}}, {"service_accounts": ("a.b",)}, "axb"),
        (image("docker.io/evil:1"), {"images": ("registry.example.com/*",)}, "spec.source.image.reference is docker.io/evil:1"),
        (image("registry.example.com.evil/app:1"), {"images": ("registry.example.com/*",)}, "registry.example.com.evil/app:1"),
        (server("docker.io/evil:1"), {"images": ("postgres:*",)}, "spec.rehearsal.server.image is docker.io/evil:1"),
        (s3(), {"s3_hosts": ()}, "s3.amazonaws.com/backups"),
        (s3(endpoint="https://evil.example"), {"s3_hosts": ("minio.storage.svc",)}, "evil.example/backups"),
        (s3(endpoint="https://minio.storage.svc.evil.example"), {"s3_hosts": ("minio.storage.svc",)}, "evil.example"),
        (s3(endpoint="https://minio"), {"s3_hosts": ("minio/studio-*",)}, "minio/backups"),
    ],
)
def test_what_no_list_has_is_refused_by_name(changes: dict[str, Any], lists: dict[str, tuple[str, ...]], named: str) -> None:
    said = refused(changes, **lists)
    assert said is not None
    assert named in said
    assert "DBMIGRATION_ALLOWED_" in said


@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254",
        "2852039166",
        "0xA9FEA9FE",
        "0251.0376.0251.0376",
        "169.254.43518",
        "::ffff:169.254.169.254",
        "fe80::1",
        "fd00:ec2::254",
        "100.100.100.200",
        "metadata.google.internal",
        "Metadata.Google.Internal.",
    ],
)
def test_an_address_that_gives_out_a_clouds_credentials_is_only_allowed_by_name(host: str) -> None:
    assert not allows_host(("*",), host)
    assert not allows_host(("*.*", "1*", "f*"), host)
    assert allows_host((host.lower().rstrip("."),), host)


def test_the_service_account_is_looked_at_first() -> None:
    said = refused({"job": {"serviceAccountName": "x"}, **s3()}, s3_hosts=())
    assert said is not None
    assert said.startswith("spec.job.serviceAccountName")


@given(st.text(max_size=20), st.text(max_size=20))
def test_a_pattern_without_a_star_is_itself_only(pattern: str, value: str) -> None:
    plain = pattern.replace("*", "")
    assert allows((plain,), value) == (plain == value)
    assert allows(("*",), value)
    assert allows((f"{plain}*",), f"{plain}{value}")


@given(st.text(max_size=30))
def test_no_host_makes_it_fail(host: str) -> None:
    allows_host(("*", host), host)
