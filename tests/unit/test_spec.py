"""What a resource may say. The same rules stand in the CRD; these catch what an older CRD let through."""

from typing import Any

import pytest
from pydantic import ValidationError

from dbmigration.api.backup import BackupPolicy
from dbmigration.api.durations import milliseconds
from tests.unit.observing import SPEC, spec


def test_defaults_are_the_careful_ones() -> None:
    assert SPEC.backup.policy is BackupPolicy.REQUIRED
    assert (SPEC.execution.lock_timeout, SPEC.execution.lock_retries, SPEC.execution.out_of_order) == ("2s", 10, False)
    assert (SPEC.retry.limit, SPEC.retry.backoff, SPEC.suspend, SPEC.target) == (5, "10s", False, None)
    assert SPEC.job.active_deadline_seconds is None


@pytest.mark.parametrize(
    "changes",
    [
        {"backup": {}},
        {"backup": {"policy": "Required"}},
        {"backup": {"policy": "Skip", "destination": {"persistentVolumeClaim": {"claimName": "x"}}}},
        {"backup": {"policy": "Maybe"}},
        {"backup": {"policy": "External"}},
        {"backup": {"policy": "External", "external": {}}},
        {"backup": {"policy": "External", "external": {"provider": ""}}},
        {"backup": {"policy": "External", "external": {"provider": "two\nlines"}}},
        {"backup": {"policy": "External", "external": {"provider": "x", "recoveryPoint": "soon"}}},
        {"backup": {"policy": "External", "external": {"provider": "x", "restoreTestedOn": "yesterday"}}},
        {"backup": {"policy": "External", "external": {"provider": "x"}, "retention": {"keepLast": 1}}},
        {"backup": {"policy": "External", "external": {"provider": "x"}, "destination": {"s3": {"bucket": "backups"}}}},
        {"backup": {"destination": {"s3": {"bucket": "backups"}}, "format": "Directory"}},
        {"backup": {"destination": {"persistentVolumeClaim": {"claimName": "x"}}, "format": "Plain"}},
        {"backup": {"destination": {"persistentVolumeClaim": {"claimName": "x"}}, "jobs": 4}},
        {"backup": {"destination": {"persistentVolumeClaim": {"claimName": "x"}}, "format": "Directory", "jobs": 0}},
        {"backup": {"destination": {"persistentVolumeClaim": {"claimName": "x"}}, "compression": "zip"}},
        {"backup": {"destination": {"persistentVolumeClaim": {"claimName": "x"}}, "compression": "gzip:10"}},
        {"backup": {"destination": {"persistentVolumeClaim": {"claimName": "x"}}, "compression": "none:1"}},
        {"backup": {"policy": "Skip", "secretRef": {"name": "x"}}},
        {"backup": {"policy": "External", "external": {"provider": "x"}, "secretRef": {"name": "x"}}},
        {"backup": {"policy": "Skip", "external": {"provider": "x"}}},
        {"backup": {"destination": {"s3": {"bucket": "backups"}}, "external": {"provider": "x"}}},
        {"backup": {"destination": {}}},
        {"backup": {"destination": {"persistentVolumeClaim": {"claimName": "x"}, "s3": {"bucket": "backups"}}}},
        {"backup": {"destination": {"s3": {"bucket": "Not_a_bucket"}}}},
        {"backup": {"destination": {"s3": {"bucket": "backups", "endpoint": "minio:9000"}}}},
        {"backup": {"destination": {"s3": {"bucket": "backups", "prefix": "/x"}}}},
        {"backup": {"destination": {"s3": {"bucket": "backups"}}, "retention": {}}},
        {"backup": {"destination": {"s3": {"bucket": "backups"}}, "retention": {"keepLast": 0}}},
        {"source": {"configMaps": []}},
        {"source": {}},
        {"environment": ""},
        {"target": "4."},
        {"target": "004_create_lancio_org"},
        {"rollback": {}},
        {"rollback": {"to": "V3"}},
        {"rollback": {"to": "none"}},
        {"rollback": {"to": "003", "planHash": "abc"}},
        {"rollback": {"to": "003"}, "target": "004"},
        {"environment": "two words"},
        {"history": {"schema": "platform"}},
        {"history": {"table": "schema_migrations"}},
        {"history": {"schema": "a-b", "table": "t"}},
        {"execution": {"lockTimeout": "2 seconds"}},
        {"execution": {"lockTimeout": ""}},
        {"execution": {"lockRetries": -1}},
        {"retry": {"limit": 0}},
        {"database": {"secretRef": {}}},
        {"database": {"secretRef": {"name": "a"}, "tls": {"caRef": {}}}},
        {"database": {"secretRef": {"name": "a"}, "tls": {"caRef": {"secret": {"name": "a"}, "configMap": {"name": "b"}}}}},
        {"database": {"secretRef": {"name": "a"}, "tls": {"mode": "maybe"}}},
        {"job": {"activeDeadlineSeconds": 0}},
        {"lint": {"failOn": "note"}},
        {"lint": {"ignore": ["Drop Table"]}},
        {"driftCheck": {}},
        {"driftCheck": {"policy": "refuse"}},
        {"driftCheck": {"policy": "Refuse", "timeZone": "Europe/Rome"}},
        {"driftCheck": {"schedule": "0 6 * * *", "timeZone": "Europe/Roma"}},
        {"driftCheck": {"schedule": "@daily"}},
        {"driftCheck": {"schedule": "0 6 * *"}},
        {"driftCheck": {"schedule": "60 6 * * *"}},
        {"driftCheck": {"schedule": "0 24 * * *"}},
        {"driftCheck": {"schedule": "*/0 * * * *"}},
        {"driftCheck": {"schedule": "30-10 * * * *"}},
        {"driftCheck": {"schedule": "0 0 30 2 *"}},
        {"driftCheck": {"schedule": "0 0 * FOO *"}},
        {"promotion": {}},
        {"promotion": {"after": {}}},
        {"promotion": {"after": {"name": "a"}, "evidence": {"configMapRef": {"name": "b"}}}},
        {"window": {"schedule": "0 2 * * 6"}},
    ],
)
def test_what_makes_no_sense_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        spec(**changes)


@pytest.mark.parametrize(
    ("text", "value"), [("0s", 0), ("500ms", 500), ("2s", 2000), ("1m30s", 90_000), ("1h", 3_600_000), ("1h1m1s1ms", 3_661_001)]
)
def test_durations(text: str, value: int) -> None:
    assert milliseconds(text) == value


@pytest.mark.parametrize("text", ["* * * * *", "*/5 0-6,22 1,15 JAN-mar mon-FRI", "0 06 * * 7", "0  6  *  *  *", "59 23 31 12 0"])
def test_schedules_of_cron_are_taken(text: str) -> None:
    check = spec(driftCheck={"schedule": text, "timeZone": "America/Argentina/Buenos_Aires"}).drift_check
    assert check is not None
    assert check.schedule == text


@pytest.mark.parametrize("text", ["", "2", "s", "-1s", "1.5s", "2 s", "1d", "2S", "2s\n"])
def test_what_is_no_duration_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="is no duration"):
        milliseconds(text)


def test_a_rollback_may_stand_beside_the_target_it_ends_at() -> None:
    given = spec(rollback={"to": "003"}, target="003").rollback
    assert given is not None
    assert (given.to, given.plan_hash) == ("003", None)
