"""Lint on the resource: a dangerous file is refused before anything runs, and a reason in the file lets it through."""

from dbmigration.api.conditions import ConditionType
from dbmigration.api.reasons import Reason
from tests.e2e.studio import Studio

FILES = {"001_first.sql": "CREATE TABLE first (id bigint PRIMARY KEY);"}
DROP = "-- Purpose: gone\n\nDROP TABLE first;\n"
REASON = "-- dbmigration: ignore drop-table because nobody has read it since release 41\n"


def test_a_destructive_file_is_stalled_with_file_line_and_rule_until_it_says_why(studio: Studio) -> None:
    studio.start(FILES)
    studio.put_files(FILES | {"002_drop.sql": DROP})
    refused = studio.wait_reason(Reason.LINT_FAILED, stalled=True)
    run, said = refused.status.run, refused.condition(ConditionType.STALLED)
    assert run is not None
    assert said is not None
    assert (run.file, run.line) == ("002_drop.sql", 3)
    for words in ("002_drop.sql:3", "drop-table", "docs/rules/drop-table.md"):
        assert words in said.message
    assert studio.database.history() == ["001_first.sql"]
    assert ("Warning", "LintFailed") in [(kind, reason) for kind, reason, _ in studio.events()]
    assert "[drop-table]" in studio.kubectl("logs", f"job/{run.job_name}")

    studio.put_files(FILES | {"002_drop.sql": REASON + DROP})
    studio.wait_ready(version="002")
    assert studio.database.tables() == []


def test_the_resource_chooses_what_is_refused(studio: Studio) -> None:
    studio.start(FILES)
    studio.put_files(FILES | {"002_drop.sql": DROP})
    studio.wait_reason(Reason.LINT_FAILED, stalled=True)
    studio.put_resource(lint={"ignore": ["drop-tables"]})
    wrong = studio.wait_reason(Reason.SPEC_INVALID, stalled=True)
    assert "drop-tables" in (wrong.message or "")
    studio.put_resource(lint={"failOn": "warning", "ignore": ["drop-table", "missing-header", "missing-rollback"]})
    studio.wait_ready(version="002")
