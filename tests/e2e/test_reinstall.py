"""The operator is removed as docs/install.md says, and installed again."""

from tests.cluster.interface import Cluster
from tests.cluster.operator import InstalledOperator, install_operator, uninstall_operator
from tests.e2e.studio import Studio


def test_an_operator_that_was_removed_and_installed_again_migrates(cluster: Cluster, operator: InstalledOperator, studio: Studio) -> None:
    """Its admission policy stayed: an API server that saw it go would find no parameters for it any more and refuse every run."""
    uninstall_operator(cluster)
    assert cluster.kubectl("get", "namespace", operator.namespace, "--ignore-not-found") == ""
    assert install_operator(cluster) == operator
    studio.start({"001_first.sql": "CREATE TABLE first (id int);"})
    assert studio.database.tables() == ["first"]
