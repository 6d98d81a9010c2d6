"""What a run says while it works: one small record, printed as a bar by the command line and as a log line by the Job."""

from collections.abc import Callable
from typing import NamedTuple

from dbmigration.api.steps import Step

__all__ = ["OnProgress", "Progress", "Step"]


class Progress(NamedTuple):
    """`message` is for a person. `done` of `total` counts files while applying, bytes while backing up (total unknown then).

    `finished` marks the end of the step, or of `file` when one is named. `notice`: nothing is finished, and a log should have the line all
    the same. `blocked_by`: the sessions that hold what the file waits for; None as soon as it goes on. `percent`: how far `file` itself is.
    """

    step: Step
    message: str
    file: str | None = None
    done: int | None = None
    total: int | None = None
    finished: bool = False
    notice: bool = False
    blocked_by: str | None = None
    percent: int | None = None


OnProgress = Callable[[Progress], None]
