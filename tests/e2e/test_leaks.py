"""The search for passwords that follows every test of a resource (fixture `studio`) finds them where they are."""

import os
import subprocess

import pytest

from dbmigration.api.reasons import Reason
from tests.cluster.steps import wait_until
from tests.e2e.leaks import left_behind, secret_values, shown_in, spellings
from tests.e2e.processes import CommandLines
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


def test_a_password_on_a_command_line_is_found_in_containers_and_only_there() -> None:
    """`sleep` with a number that nobody else sleeps for, in a process namespace of its own, as a container's programs are."""
    contained = ["unshare", "--pid", "--fork", "--kill-child", *([] if os.geteuid() == 0 else ["--user", "--map-root-user"]), "sleep"]
    with CommandLines() as commands:
        inside = subprocess.Popen([*contained, "600.00417"])
        outside = subprocess.Popen(["sleep", "600.00418"])
        try:
            wait_until("the command line", lambda: "sleep 600.00417" in commands.seen, seconds=60)
        finally:
            for process in (inside, outside):
                process.kill()
                process.wait()
    assert shown_in({"command lines": commands.text()}, ["600.00417"]) == ["command lines"]
    assert shown_in({"command lines": commands.text()}, ["600.00418"]) == []
