"""The search for passwords that follows every test of a resource (fixture `studio`) finds them where they are."""

import pytest

from dbmigration.api.reasons import Reason
from tests.e2e.leaks import left_behind, secret_values, shown_in, spellings
from tests.e2e.studio import NAME, Studio, resource

PASSWORD = "p@ss:/?#%&'\" \\ end"


@pytest.mark.parametrize("shown", sorted(spellings(PASSWORD) - {PASSWORD.replace("'", "''")}))
def test_a_password_is_found_in_every_spelling(shown: str) -> None:
    assert shown_in({"a log": "nothing", "an event": f"connecting to {shown}@host"}, [PASSWORD]) == ["an event"]
    assert shown_in({"a log": "nothing", "an event": "password ***"}, [PASSWORD]) == []


def test_a_password_on_a_resource_is_found_before_its_namespace_goes(studio: Studio) -> None:
    studio.put_secret({"uri": "postgresql://me:s3cret%2Fpassword@nowhere.invalid/db", "AWS_SECRET_ACCESS_KEY": "another-secret"})
    assert secret_values(studio.cluster, studio.namespace) == {"s3cret%2Fpassword", "s3cret/password", "another-secret"}
    careless = resource()
    careless["metadata"]["annotations"] = {"note": "the password is s3cret/password"}
    studio.put(careless)
    studio.wait_reason(Reason.SOURCE_MISSING)
    texts = left_behind(studio.cluster, studio.namespace)
    assert shown_in(texts, secret_values(studio.cluster, studio.namespace)) == ["resources"]
    assert NAME in texts["events"]
    studio.delete()
