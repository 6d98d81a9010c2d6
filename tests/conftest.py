"""Which tests may run beside which (`make test` has three workers)."""

import os
from typing import Any, Final
from zlib import crc32

import pytest
from xdist.scheduler import LoadScopeScheduling

from tests.cluster.choose import choose_provider
from tests.cluster.kind import docker_answers

CLUSTERS: Final = 2
"""Nodes of our own that a session may have at once: most of the time their tests wait."""


class AWorkerForEachCluster(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
    """A file is never torn apart, and all that uses one cluster, whose one operator these tests restart, is one piece.

    A cluster that somebody else runs (kind, or the user's own) is one, whatever the number of workers.
    """

    def __init__(self, config: pytest.Config, log: Any) -> None:
        super().__init__(config, log)
        self._clusters = CLUSTERS if choose_provider(os.environ, docker_answers) == "local" else 1

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return f"cluster {crc32(file.encode()) % self._clusters}" if file.startswith("tests/e2e/") else file


@pytest.hookimpl(optionalhook=True)  # without -n there is nothing to schedule
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    return AWorkerForEachCluster(config, log)
