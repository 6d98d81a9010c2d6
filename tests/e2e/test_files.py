"""The files in the ConfigMap change: what is new runs once, and nothing else runs anything."""

import base64
import gzip

from dbmigration.api.conditions import ConditionType
from dbmigration.api.reasons import Reason
from dbmigration.api.states import State
from tests.e2e.studio import FILES_NAME, Studio, settle

FIRST = {"001_first.sql": "CREATE TABLE first (id int);"}
SECOND = {"002_second.sql": "CREATE TABLE second (id int);"}
THIRD = {"003_third.sql": "CREATE TABLE third (id int);"}


def test_a_new_file_runs_once(studio: Studio) -> None:
    before = studio.start(FIRST)
    assert studio.database.tables() == ["first"]

    studio.put_files(FIRST | SECOND)
    after = studio.wait_ready(version="002")
    assert after.generation == before.generation
    assert studio.database.history() == ["001_first.sql", "002_second.sql"]
    assert studio.database.tables() == ["first", "second"]
    assert len(studio.jobs()) == 2
    assert [run.to for run in after.status.runs] == ["002", "001"]


def test_unrelated_metadata_change_runs_nothing(studio: Studio) -> None:
    """A label wakes the operator, which finds the same bytes: no Job, and not even a write."""
    before = studio.start(FIRST)
    jobs = studio.jobs()
    studio.kubectl("label", "configmap", FILES_NAME, "team=platform")
    studio.put_files({**FIRST, "README.md": "not a migration"})
    settle(studio)
    assert studio.look().resource_version == before.resource_version
    assert studio.jobs() == jobs


def test_target_is_not_passed(studio: Studio) -> None:
    seen = studio.start(FIRST | SECOND | THIRD, target="002")
    assert seen.status.version == "002"
    assert seen.states["003_third.sql"] is State.PENDING
    assert studio.database.history() == ["001_first.sql", "002_second.sql"]

    studio.put_resource(target=None)
    assert studio.wait_ready(version="003").states["003_third.sql"] is State.APPLIED
    assert studio.database.tables() == ["first", "second", "third"]

    studio.put_resource(target="001")
    assert studio.wait_reason(Reason.TARGET_BELOW_APPLIED).stalled
    assert studio.database.tables() == ["first", "second", "third"]


def test_two_config_maps_are_one_folder(studio: Studio) -> None:
    studio.prepare(FIRST)
    studio.put_files(SECOND | {"verify-002.sql": "SELECT count(*) = 0 FROM second;"}, name="more")
    studio.put_resource(source={"configMaps": [{"name": FILES_NAME}, {"name": "more"}]})
    verified = studio.wait_ready(version="002").condition(ConditionType.VERIFIED)
    assert verified is not None
    assert verified.reason == Reason.VERIFY_PASSED
    assert studio.database.history() == ["001_first.sql", "002_second.sql"]

    studio.put_files(SECOND | FIRST, name="more")
    refused = studio.wait_reason(Reason.SOURCE_INVALID, stalled=True)
    assert "001_first.sql" in refused.message
    assert FILES_NAME in refused.message
    assert len(studio.jobs()) == 1


def test_missing_config_map_is_waited_for(studio: Studio) -> None:
    studio.put_secret(studio.database.secret_keys())
    studio.put_resource()
    waiting = studio.wait_reason(Reason.SOURCE_MISSING, stalled=False)
    assert waiting.reconciling
    assert FILES_NAME in waiting.message
    assert studio.jobs() == []

    studio.put_files(FIRST)
    assert studio.wait_ready(version="001").uid == waiting.uid
    assert studio.database.tables() == ["first"]


def test_edited_after_apply_is_refused(studio: Studio) -> None:
    """Before any SQL; a copy with CRLF line ends is no edit."""
    text = "CREATE TABLE first (\n    id int\n);\n"
    studio.start({"001_first.sql": text})
    studio.put_files({"001_first.sql": text.replace("int", "bigint")} | SECOND)
    refused = studio.wait_reason(Reason.CHECKSUM_MISMATCH, stalled=True)
    assert "001_first.sql" in refused.message
    assert studio.database.tables() == ["first"]

    studio.put_files({"001_first.sql": text.replace("\n", "\r\n")} | SECOND)
    studio.wait_ready(version="002")
    assert studio.database.rows("SELECT data_type FROM information_schema.columns WHERE table_name = 'first'") == ["integer"]


def test_fewer_files_than_history_is_refused(studio: Studio) -> None:
    """The wrong ConfigMap is never taken as a wish to go down."""
    studio.start(FIRST | SECOND)
    studio.put_files(FIRST)
    assert "002_second.sql" in studio.wait_reason(Reason.MISSING_FILES, stalled=True).message
    assert studio.database.tables() == ["first", "second"]


def test_a_suspended_resource_starts_no_run(studio: Studio) -> None:
    studio.prepare(FIRST)
    studio.put_resource(suspend=True)
    waiting = studio.wait_reason(Reason.SUSPENDED, stalled=False)
    assert not waiting.reconciling
    assert studio.jobs() == []

    studio.put_resource(suspend=None)
    studio.wait_ready(version="001")

    studio.put_resource(suspend=True)
    studio.put_files(FIRST | SECOND)
    studio.wait_reason(Reason.SUSPENDED)
    assert studio.database.tables() == ["first"]
    assert len(studio.jobs()) == 1


def test_files_of_another_tool_are_run_as_they_are_up_to_a_version_and_back(studio: Studio) -> None:
    files = {
        "dbmigration.toml": 'layout = "flyway"\n',
        "V1__first.sql": "CREATE TABLE first (id int);",
        "V1.2__second.sql": "CREATE TABLE second (id int);",
        "V1.10__third.sql": "CREATE TABLE third (id int);",
        "U1.10__third.sql": "DROP TABLE third;",
    }
    seen = studio.start(files, target="1.2")
    assert (seen.status.version, seen.states["V1.10__third.sql"]) == ("1.2", State.PENDING)
    assert studio.database.tables() == ["first", "second"]

    studio.put_resource(target=None)
    studio.wait_ready(version="1.10")
    assert studio.database.tables() == ["first", "second", "third"]

    studio.put_resource(rollback={"to": "1.2"})
    assert studio.wait_ready(version="1.2").states["V1.10__third.sql"] is State.ROLLED_BACK
    assert studio.database.history() == ["V1__first.sql", "V1.2__second.sql"]


def test_a_file_with_gzip_is_the_file(studio: Studio) -> None:
    """In a ConfigMap's binaryData, as kubectl puts it there; packed in another way it is still the same."""

    def put(level: int) -> None:
        packed = {name: base64.b64encode(gzip.compress(text.encode(), level)).decode() for name, text in FIRST.items()}
        binary = {f"{name}.gz": data for name, data in packed.items()}
        studio.put({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": FILES_NAME}, "binaryData": binary, "data": SECOND})

    studio.put_secret(studio.database.secret_keys())
    put(1)
    studio.put_resource()
    before = studio.wait_ready(version="002")
    assert studio.database.history() == ["001_first.sql", "002_second.sql"]
    put(9)
    again = studio.wait(lambda seen: seen.ready and seen.status.source != before.status.source, "another look at the same files")
    assert again.status.version == "002"
    assert studio.database.history() == ["001_first.sql", "002_second.sql"]
