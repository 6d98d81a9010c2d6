"""What the operator's allow-lists do not have is refused on the resource, before anything is made of it."""

from typing import Any

import pytest

from dbmigration.api.reasons import Reason
from tests.e2e.studio import Studio, resource

FILES = {"001_first.sql": "CREATE TABLE first (id int);"}


@pytest.mark.parametrize(
    ("spec", "named"),
    [
        ({"job": {"serviceAccountName": "cloud-admin"}}, "DBMIGRATION_ALLOWED_SERVICE_ACCOUNTS"),
        ({"backup": {"destination": {"s3": {"bucket": "stolen", "endpoint": "http://169.254.169.254"}}}}, "DBMIGRATION_ALLOWED_S3_HOSTS"),
    ],
    ids=["service-account", "metadata-address"],
)
def test_what_no_list_has_is_refused_before_a_job_is_made(studio: Studio, spec: dict[str, Any], named: str) -> None:
    studio.prepare(FILES)
    studio.put_resource(**spec)
    refused = studio.wait_reason(Reason.NOT_ALLOWED, stalled=True)
    assert named in refused.message
    assert studio.jobs() == []
    assert studio.database.tables() == []

    studio.put(resource())
    studio.wait_ready(version="001")
