"""Which tests may run beside which (`make test` has three workers)."""

import os
from typing import Any, Final

import pytest
from xdist.scheduler import LoadScopeScheduling

from tests.cluster.choose import choose_provider
from tests.cluster.kind import docker_answers

CLUSTERS: Final = 2
"""Nodes of our own that a session may have at once: most of the time their tests wait."""


class AWorkerForEachCluster(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
    """A file is never torn apart. Files that need a cluster go, one by one, to as many workers as there may be clusters: each has its own.

    A cluster that somebody else runs (kind, or the user's own) is one, whatever the number of workers.
    """

    def __init__(self, config: pytest.Config, log: Any) -> None:
        super().__init__(config, log)
        self._clusters = CLUSTERS if choose_provider(os.environ, docker_answers) == "local" else 1

    def _split_scope(self, nodeid: str) -> str:
        return nodeid.partition("::")[0]

    def _assign_work_unit(self, node: Any) -> None:
        scope = self._next_for(node)
        if scope is not None:
            self.workqueue.move_to_end(scope, last=False)
            super()._assign_work_unit(node)

    def _reschedule(self, node: Any) -> None:
        if not node.shutting_down and self.workqueue and self._next_for(node) is None:
            node.shutdown()  # what is left needs a cluster, and those who have one are at it
        else:
            super()._reschedule(node)

    def _next_for(self, node: Any) -> str | None:
        """A file that needs a cluster first: those take longest."""
        waiting: list[str] = list(self.workqueue)
        with_cluster = [scope for scope in waiting if scope.startswith("tests/e2e/")]
        if with_cluster and node in self.nodes[: self._clusters]:
            return with_cluster[0]
        return next((scope for scope in waiting if scope not in with_cluster), None)


@pytest.hookimpl(optionalhook=True)  # without -n there is nothing to schedule
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    return AWorkerForEachCluster(config, log)
