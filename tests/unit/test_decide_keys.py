"""What makes a run another run, and a Job another Job: keys, hashes and names."""

import pytest

from dbmigration.api.spec import Spec
from dbmigration.decide import keys
from tests.unit.deciding import started, status
from tests.unit.observing import RUNNER, SPEC, key_of, seen, spec, succeeded


def test_what_an_external_backup_is_called_starts_no_run() -> None:
    before, after = (spec(backup={"policy": "External", "external": {"provider": name}}) for name in ("barman", "pgBackRest"))
    assert key_of(before) == key_of(after)
    assert key_of(before) != key_of(spec(backup={"policy": "Skip"}))


def test_going_back_to_an_earlier_source_is_a_new_job_although_its_key_is_old() -> None:
    first = started(seen())
    assert first.start
    done = succeeded(job_name="job-b", key=key_of(digest="b"))
    back = started(seen(status=status(done)))
    assert back.start
    assert back.start.run_key == first.start.run_key
    assert back.start.job_name != first.start.job_name


def test_the_same_facts_name_the_same_job_after_a_crash() -> None:
    """operator-killed-anywhere, between "Job made" and "status written"."""
    assert started(seen()).start == started(seen()).start


@pytest.mark.parametrize("name", ["a", "x" * 253, "with.dots.in.it", f"{'a' * 39}.b"])
def test_job_names_fit_labels(name: str) -> None:
    decision = started(seen(name=name))
    assert decision.start
    assert len(decision.start.job_name) <= 57
    assert decision.start.job_name.replace("-", "").isalnum()


def test_hashes_do_not_change_when_a_default_is_written_out() -> None:
    """A later version that adds a field, or an API server that fills defaults in, must not run 5,000 finished resources again."""
    written = spec(execution={"lockTimeout": "2s", "lockRetries": 10}, suspend=False, retry={"limit": 5})
    assert key_of(written) == key_of()
    assert keys.spec_hash(written) == keys.spec_hash(SPEC)
    assert keys.pod_hash(written, key_of(), RUNNER) == keys.pod_hash(SPEC, key_of(), RUNNER)


@pytest.mark.parametrize(
    ("changed", "new_key"),
    [
        (spec(target="003"), True),
        (spec(environment="staging"), True),
        (spec(execution={"lockTimeout": "9s"}), True),
        (spec(backup={"policy": "Skip"}), True),
        (spec(suspend=True), False),
        (spec(job={"labels": {"team": "a"}}), False),
        (spec(source={"configMaps": [{"name": "files-5f7d"}]}), False),
    ],
)
def test_only_what_matters_for_a_result_makes_a_new_run(changed: Spec, new_key: bool) -> None:
    assert (key_of(changed) != key_of()) is new_key
