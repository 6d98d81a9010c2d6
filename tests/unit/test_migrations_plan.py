"""Files and history → what a run would do, or what forbids it."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from dbmigration.api.reasons import Reason
from dbmigration.api.states import State
from dbmigration.errors import Permanent
from dbmigration.migrations.model import AppliedMigration, Header, History, MigrationFile, MigrationSet, Plan, SetConfig
from dbmigration.migrations.plan import BEYOND_TARGET, Survey, make_plan, survey

NAMES = ("001_schema.sql", "002_billing.sql", "003_users.sql", "004_lancio.sql")
WHEN = datetime(2025, 11, 21, 12, tzinfo=UTC)


def file(name: str, checksum: str | None = None, environments: tuple[str, ...] = ()) -> MigrationFile:
    version = name.partition("_")[0]
    header = Header(environments=environments, environment_line=3 if environments else None)
    return MigrationFile(int(version), version, name, Path(name), checksum or f"sum of {name}", 1, header)


def files(names: Sequence[str] = NAMES, *changed: MigrationFile) -> MigrationSet:
    by_name = {name: file(name) for name in names} | {one.name: one for one in changed}
    return MigrationSet(Path(), tuple(sorted(by_name.values(), key=lambda one: one.number)), SetConfig(), "sha256:0")


def history(
    *applied: str,
    unverified: Sequence[str] = (),
    rolled_back: Mapping[str, str] | None = None,
    partial: Mapping[str, tuple[int, str]] | None = None,
    finished: Mapping[str, tuple[str, ...]] | None = None,
) -> History:
    rows = [AppliedMigration(name, WHEN, None if name in unverified else f"sum of {name}", 7) for name in applied]
    return History(tuple(rows), rolled_back or {}, partial or {}, finished or {})


def look(
    found: MigrationSet,
    known: History,
    *,
    environment: str | None = "staging",
    target: str | None = None,
    out_of_order: bool = False,
    reapply_rolled_back: bool = False,
    unchanged: bool = False,
) -> Survey:
    return survey(
        found,
        known,
        environment=environment,
        target=target,
        out_of_order=out_of_order,
        reapply_rolled_back=reapply_rolled_back,
        finished_unchanged=lambda _path, _hashes: unchanged,
    )


def plan(found: MigrationSet, known: History, environment: str | None = "staging", target: str | None = None) -> Plan:
    result = look(found, known, environment=environment, target=target)
    assert result.findings == ()
    return result.plan


def states(result: Plan) -> list[State]:
    return [one.state for one in result.migrations]


def reasons(result: Survey) -> list[Reason]:
    return [finding.reason for finding in result.findings]


def pending(result: Plan) -> list[str]:
    return [one.name for one in result.pending]


def test_everything_is_pending_on_an_empty_history() -> None:
    result = plan(files(), history())
    assert states(result) == [State.PENDING] * 4
    assert pending(result) == list(NAMES)
    assert result.version is None


def test_applied_rows_are_applied_and_the_rest_is_pending() -> None:
    result = plan(files(), history(*NAMES[:2]))
    assert states(result) == [State.APPLIED, State.APPLIED, State.PENDING, State.PENDING]
    assert (pending(result), result.version) == (list(NAMES[2:]), "002")
    assert (result.migrations[0].applied_at, result.migrations[0].duration_ms) == (WHEN, 7)


def test_nothing_is_pending_when_all_is_applied() -> None:
    result = plan(files(), history(*NAMES))
    assert (result.pending, result.version, result.count(State.APPLIED)) == ((), "004", 4)


def test_a_row_without_a_checksum_is_applied_unverified_and_never_edited() -> None:
    result = plan(files(NAMES, file(NAMES[0], "another")), history(*NAMES, unverified=NAMES[:1]))
    assert states(result) == [State.APPLIED_UNVERIFIED, *[State.APPLIED] * 3]
    assert any("without a recorded checksum" in note for note in result.notes)


def test_production_only_elsewhere_is_skipped_not_pending() -> None:
    found = files(NAMES, file(NAMES[3], environments=("production",)))
    assert states(plan(found, history(*NAMES[:3]))) == [*[State.APPLIED] * 3, State.SKIPPED]
    assert plan(found, history(*NAMES[:3])).pending == ()
    assert pending(plan(found, history(*NAMES[:3]), "production")) == [NAMES[3]]


def test_a_file_that_was_applied_is_applied_even_where_it_would_be_skipped() -> None:
    found = files(NAMES, file(NAMES[3], environments=("production",)))
    assert states(plan(found, history(*NAMES)))[3] is State.APPLIED


def test_edited_after_apply_is_refused_and_every_edited_file_named() -> None:
    found = files(NAMES, file(NAMES[0], "x"), file(NAMES[2], "y"))
    result = look(found, history(*NAMES[:3]))
    assert reasons(result) == [Reason.CHECKSUM_MISMATCH]
    assert NAMES[0] in result.findings[0].message
    assert NAMES[2] in result.findings[0].message
    assert NAMES[1] not in result.findings[0].message


def test_edited_pending_file_is_no_change_of_history() -> None:
    assert pending(plan(files(NAMES, file(NAMES[3], "x")), history(*NAMES[:3]))) == [NAMES[3]]


def test_fewer_files_than_history_is_refused_and_never_taken_as_going_down() -> None:
    result = look(files(NAMES[:2]), history(*NAMES))
    assert reasons(result) == [Reason.MISSING_FILES]
    assert all(name in result.findings[0].message for name in NAMES[2:])
    assert result.plan.pending == ()
    assert [one.file for one in result.plan.migrations[2:]] == [None, None]


def test_a_renamed_file_is_missing_and_the_new_name_is_said() -> None:
    result = look(files([*NAMES[:3], "004_other.sql"]), history(*NAMES))
    assert reasons(result)[0] is Reason.MISSING_FILES
    assert "004_other.sql" in result.findings[0].message


def test_an_unfinished_file_that_is_gone_is_missing() -> None:
    assert reasons(look(files(NAMES[:3]), history(*NAMES[:3], partial={NAMES[3]: (2, "x")}))) == [Reason.MISSING_FILES]


def test_rows_that_are_no_file_names_are_missing_files() -> None:
    result = look(files(), history(*NAMES, "init"))
    assert reasons(result) == [Reason.MISSING_FILES]
    assert (result.plan.version, "init" in result.findings[0].message) == ("004", True)


def test_lower_number_after_higher_is_refused_unless_it_is_allowed() -> None:
    known = history(NAMES[0], NAMES[3])
    result = look(files(), known)
    assert reasons(result) == [Reason.OUT_OF_ORDER]
    assert all(name in result.findings[0].message for name in NAMES[1:3])
    allowed = look(files(), known, out_of_order=True)
    assert (allowed.findings, pending(allowed.plan)) == ((), list(NAMES[1:3]))


def test_an_unfinished_file_is_taken_up_again_although_a_higher_one_is_applied() -> None:
    known = history(NAMES[0], *NAMES[2:], partial={NAMES[1]: (1, f"sum of {NAMES[1]}")})
    assert pending(plan(files(), known)) == [NAMES[1]]


def test_a_skipped_lower_number_is_not_out_of_order() -> None:
    found = files(NAMES, file(NAMES[1], environments=("production",)))
    assert pending(plan(found, history(NAMES[0], NAMES[2]))) == [NAMES[3]]


def test_production_only_file_does_not_come_by_surprise_when_its_header_changes_later() -> None:
    assert reasons(look(files(), history(NAMES[0], *NAMES[2:]))) == [Reason.OUT_OF_ORDER]


@pytest.mark.parametrize("target", ["003", "3", "0003", "003_users.sql"])
def test_files_beyond_the_target_are_listed_but_not_run(target: str) -> None:
    result = plan(files(), history(NAMES[0]), target=target)
    assert pending(result) == list(NAMES[1:3])
    assert [(one.state, one.beyond_target) for one in result.migrations] == [
        (State.APPLIED, False),
        (State.PENDING, False),
        (State.PENDING, False),
        (State.PENDING, True),
    ]
    assert result.migrations[3].note == BEYOND_TARGET


@pytest.mark.parametrize("target", ["005", "x", "", "003_x.sql", "-1", "٣"])
def test_a_target_that_is_no_file_is_refused(target: str) -> None:
    assert reasons(look(files(), history(), target=target)) == [Reason.TARGET_UNKNOWN]


def test_a_target_below_the_applied_version_is_refused_naming_rollback() -> None:
    result = look(files(), history(*NAMES[:3]), target="002")
    assert reasons(result) == [Reason.TARGET_BELOW_APPLIED]
    assert "rollback" in result.findings[0].message


def test_a_target_that_is_skipped_here_is_reached_by_what_comes_before_it() -> None:
    found = files(NAMES, file(NAMES[3], environments=("production",)))
    assert pending(plan(found, history(), target="004")) == list(NAMES[:3])


@pytest.mark.parametrize("environment", ["prod", "Production", ""])
def test_unknown_environment_is_refused(environment: str) -> None:
    assert reasons(look(files(), history(), environment=environment)) == [Reason.UNKNOWN_ENVIRONMENT]


def test_an_environment_is_required_when_a_header_names_one() -> None:
    found = files(NAMES, file(NAMES[3], environments=("production",)))
    result = look(found, history(), environment=None)
    assert reasons(result) == [Reason.ENVIRONMENT_REQUIRED]
    assert (result.findings[0].place.file, result.findings[0].place.line) == (NAMES[3], 3)
    assert pending(plan(files(), history(), None)) == list(NAMES)


def test_rolled_back_file_stays_so_until_its_text_changes_or_a_person_asks() -> None:
    known = history(*NAMES[:3], rolled_back={NAMES[3]: f"sum of {NAMES[3]}"})
    result = look(files(), known)
    assert (reasons(result), states(result.plan)[3], result.plan.pending) == ([Reason.ROLLED_BACK], State.ROLLED_BACK, ())
    assert pending(plan(files(NAMES, file(NAMES[3], "mended")), known)) == [NAMES[3]]
    assert pending(look(files(), known, reapply_rolled_back=True).plan) == [NAMES[3]]


def test_rolled_back_files_beyond_the_target_or_elsewhere_forbid_nothing() -> None:
    known = history(*NAMES[:3], rolled_back={NAMES[3]: f"sum of {NAMES[3]}"})
    beyond = plan(files(), known, target="003")
    assert (states(beyond)[3], beyond.pending) == (State.ROLLED_BACK, ())
    found = files(NAMES, file(NAMES[3], environments=("production",)))
    assert states(plan(found, known))[3] is State.SKIPPED


def test_a_file_applied_again_after_a_rollback_is_applied() -> None:
    assert states(plan(files(), history(*NAMES, rolled_back={NAMES[3]: f"sum of {NAMES[3]}"})))[3] is State.APPLIED


def test_an_unfinished_file_is_pending_with_what_is_done() -> None:
    result = plan(files(), history(*NAMES[:3], partial={NAMES[3]: (2, f"sum of {NAMES[3]}")}))
    assert (pending(result), result.migrations[3].statements_done) == ([NAMES[3]], 2)


@pytest.mark.parametrize(
    ("finished", "unchanged", "expected"),
    [
        (("a", "b"), True, []),
        (("a", "b"), False, [Reason.PARTIAL_FILE_EDITED]),
        (("a",), True, [Reason.PARTIAL_FILE_EDITED]),
        ((), True, [Reason.PARTIAL_FILE_EDITED]),
    ],
)
def test_what_is_done_of_an_unfinished_file_may_not_be_edited_and_what_is_not_may(
    finished: tuple[str, ...], unchanged: bool, expected: list[Reason]
) -> None:
    known = history(*NAMES[:3], partial={NAMES[3]: (2, "before the edit")}, finished={NAMES[3]: finished})
    assert reasons(look(files(), known, unchanged=unchanged)) == expected


def test_every_kind_of_finding_is_reported_gravest_first_and_a_run_raises_that() -> None:
    found = files(NAMES[:3], file(NAMES[0], "edited"))
    known = history(NAMES[0], NAMES[2], "005_gone.sql")
    result = look(found, known)
    assert reasons(result) == [Reason.MISSING_FILES, Reason.CHECKSUM_MISMATCH, Reason.OUT_OF_ORDER]
    with pytest.raises(Permanent) as caught:
        make_plan(found, known, environment=None, target=None, out_of_order=False, reapply_rolled_back=False)
    assert caught.value.reason is Reason.MISSING_FILES


def test_messages_stay_short_however_many_files_they_name() -> None:
    names = [f"{number:04}_{'long_name' * 8}.sql" for number in range(1, 400)]
    result = look(files(names[:1]), history(*names))
    assert (reasons(result), len(result.findings[0].message) <= 1024) == ([Reason.MISSING_FILES], True)
    assert "389 more" in result.findings[0].message or "388 more" in result.findings[0].message


def test_gap_in_numbers_is_only_said() -> None:
    result = plan(files(["001_a.sql", "002_b.sql", "005_c.sql"]), history())
    assert len(result.pending) == 3
    assert [note for note in result.notes if "002 and 005" in note]


def test_timestamps_have_no_gaps() -> None:
    assert plan(files(["20250101120000_a.sql", "20250301120000_b.sql"]), history()).notes == ()


def test_the_hash_covers_environment_names_and_texts_of_what_is_pending() -> None:
    base = plan(files(), history(*NAMES[:2])).hash
    others = {
        plan(files(), history(*NAMES[:2]), "production").hash,
        plan(files(), history(*NAMES[:1])).hash,
        plan(files(NAMES, file(NAMES[3], "x")), history(*NAMES[:2])).hash,
        plan(files([*NAMES[:3], "004_other.sql"], file("004_other.sql", f"sum of {NAMES[3]}")), history(*NAMES[:2])).hash,
        plan(files(), history(*NAMES[:2]), target="003").hash,
    }
    assert len(others | {base}) == 6
    assert base == plan(files(NAMES, file(NAMES[0], "old")), history(*NAMES[:2], unverified=NAMES[:1])).hash


def test_numbers_decide_which_version_is_newest() -> None:
    names = ["099_a.sql", "1000_b.sql"]
    assert plan(files(names), history(*reversed(names))).version == "1000"
