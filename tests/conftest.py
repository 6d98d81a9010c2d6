"""Which tests may run beside which (`make test` has two workers)."""

from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling


class OneWorkerForTheCluster(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
    """A file is never torn apart, and all that uses the cluster, whose one operator these tests restart, is one piece."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return "cluster" if file.startswith("tests/e2e/") else file


@pytest.hookimpl(optionalhook=True)  # without -n there is nothing to schedule
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    return OneWorkerForTheCluster(config, log)
