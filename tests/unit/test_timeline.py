"""From what a run says of its progress to spans: when each step and file began and ended, and what it waited for."""

import subprocess
import sys

import pytest

from dbmigration.run.progress import Progress, Step
from dbmigration.run.timeline import MOST_EVENTS, MOST_FILES, Span, Timeline
from dbmigration.run.trace_settings import is_wanted, timeout_s


class Clock:
    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        return self.now


class Told:
    """A timeline that is told something every second."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.timeline = Timeline(self.clock)

    def say(self, step: Step, message: str = "", **more: object) -> "Told":
        self.timeline(Progress(step, message, **more))  # type: ignore[arg-type]
        self.clock.now += 1_000_000_000
        return self

    def file(self, name: str, done: int, total: int, step: Step = Step.APPLY) -> "Told":
        self.say(step, f"applying {name}", file=name, done=done, total=total)
        return self.say(step, f"applied {name}", file=name, done=done + 1, total=total, finished=True)

    def ended(self) -> list[Span]:
        self.timeline.end()
        return self.timeline.spans


def shown(spans: list[Span]) -> list[tuple[str, int, int]]:
    """Name, start and end in seconds."""
    return [(span.name, span.start // 10**9, span.end // 10**9) for span in spans]


def test_a_step_lasts_until_the_next_and_what_comes_after_the_last_file_stands_apart() -> None:
    told = Told().say(Step.CONNECT).say(Step.PLAN, finished=True).file("001_a.sql", 0, 2).file("002_b.sql", 1, 2)
    told.clock.now += 5_000_000_000
    spans = told.ended()
    assert shown(spans) == [("connect", 0, 1), ("plan", 1, 2), ("apply", 2, 5), ("finish", 5, 11)]
    assert shown(spans[2].children) == [("apply 001_a.sql", 2, 3), ("apply 002_b.sql", 4, 5)]
    assert all(file.finished for file in spans[2].children)


def test_a_file_that_was_cut_off_ends_with_the_run_and_says_so() -> None:
    told = Told().file("001_a.sql", 0, 2).say(Step.APPLY, file="002_b.sql", done=1, total=2)
    (apply,) = told.ended()
    assert [(file.file, file.finished) for file in apply.children] == [("001_a.sql", True), ("002_b.sql", False)]
    assert not apply.finished
    assert apply.end == apply.children[-1].end


def test_seeds_after_files_are_a_step_of_their_own_and_no_finish_comes_between() -> None:
    told = Told().file("001_a.sql", 0, 1).file("people.sql", 0, 1, Step.SEED)
    assert [span.name for span in told.ended()] == ["apply", "seed", "finish"]


def test_waits_for_locks_are_events_of_the_file_with_how_long() -> None:
    told = Told().say(Step.APPLY, file="001_a.sql")
    told.say(Step.APPLY, file="001_a.sql", blocked_by="process 7").say(Step.APPLY, file="001_a.sql", blocked_by="process 7")
    told.say(Step.APPLY, file="001_a.sql", message="trying again", notice=True)
    (file,) = told.ended()[0].children
    assert [(event.name, event.attributes) for event in file.events] == [
        ("lock wait", {"dbmigration.blocked_by": "process 7"}),
        ("lock wait over", {"dbmigration.lock_wait_ms": 2000}),
        ("notice", {"message": "trying again"}),
    ]


def test_a_run_of_very_many_files_and_notices_stays_small() -> None:
    told = Told()
    for number in range(MOST_FILES + 5):
        told.file(f"{number}.sql", number, MOST_FILES + 6)
    for _ in range(MOST_EVENTS + 5):
        told.say(Step.APPLY, "x" * 2000, notice=True)
    (apply,) = told.ended()
    assert (len(apply.children), told.timeline.left_out) == (MOST_FILES, 5)
    assert len(apply.events) == MOST_EVENTS
    assert all(len(str(event.attributes["message"])) <= 300 for event in apply.events)


@pytest.mark.parametrize(
    ("environ", "wanted"),
    [
        ({}, False),
        ({"OTEL_SERVICE_NAME": "x", "OTEL_TRACES_EXPORTER": "otlp"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4318/v1/traces"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_SDK_DISABLED": "True"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_TRACES_EXPORTER": "none"}, False),
    ],
)
def test_traces_are_off_until_an_endpoint_is_named(environ: dict[str, str], wanted: bool) -> None:
    assert is_wanted(environ) is wanted


@pytest.mark.parametrize(("asked", "seconds"), [({}, 2.0), ("500", 0.5), ("60000", 10.0), ("0", 2.0), ("soon", 2.0)])
def test_a_collector_is_waited_for_two_seconds_or_as_asked_and_never_longer_than_ten(asked: object, seconds: float) -> None:
    environ = {"OTEL_EXPORTER_OTLP_TIMEOUT": str(asked)} if asked else {}
    assert timeout_s(environ) == seconds


@pytest.mark.parametrize("module", ["dbmigration.run.job", "dbmigration.run.restore_job"])
def test_a_job_that_is_not_traced_loads_nothing_for_it(module: str) -> None:
    code = f"import sys, {module}\nprint(*(name for name in sys.modules if name.startswith(('opentelemetry', 'dbmigration.run.t'))))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "dbmigration.run.trace_settings" in loaded
    assert not {"dbmigration.run.tracing", "dbmigration.run.timeline"} & set(loaded)
    assert not [name for name in loaded if name.startswith("opentelemetry")]
