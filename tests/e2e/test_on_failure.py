"""spec.onFailure: Rollback takes back what the failed run applied, and only that."""

from dbmigration.api.reasons import Reason
from dbmigration.api.states import State
from dbmigration.decide.announce import UNDONE
from tests.e2e.studio import Studio

GOOD = {f"00{number}_t{number}.sql": f"CREATE TABLE t{number} (id int);" for number in (1, 2, 3)}
SCRIPTS = {f"rollback-00{number}.sql": f"DROP TABLE t{number};" for number in (1, 2, 3)}
BAD = {"004_bad.sql": "CREATE TABLE t4 (id int);\nSELECT 1 / 0;"}


def test_a_failed_run_is_undone_and_goes_forward_once_the_file_is_mended(studio: Studio) -> None:
    first = {name: text for name, text in (GOOD | SCRIPTS).items() if "001" in name}
    studio.start(first, onFailure="Rollback")

    studio.put_files(GOOD | SCRIPTS | BAD)
    stalled = studio.wait_reason(Reason.SQL_FAILED, stalled=True)
    assert "22012" in stalled.message
    assert studio.database.tables() == ["t1"]
    assert stalled.status.version == "001"
    assert stalled.states["002_t2.sql"] is State.PENDING
    assert stalled.states["003_t3.sql"] is State.PENDING
    told = [message for _, reason, message in studio.events() if reason == UNDONE]
    assert len(told) == 1
    assert "002_t2.sql" in told[0]
    assert "003_t3.sql" in told[0]
    assert "001_t1.sql" not in told[0]

    studio.put_files(GOOD | SCRIPTS | {"004_bad.sql": "CREATE TABLE t4 (id int);"})
    studio.wait_ready(version="004")
    assert studio.database.tables() == ["t1", "t2", "t3", "t4"]
