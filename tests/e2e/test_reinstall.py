"""The operator is removed as docs/install.md says, and installed again."""

from tests.cluster.interface import Cluster
from tests.cluster.operator import InstalledOperator, install_operator, uninstall_operator
from tests.e2e.studio import Studio


def test_an_operator_that_was_removed_bounds_nobody_and_installed_again_migrates(
    cluster: Cluster, operator: InstalledOperator, studio: Studio
) -> None:
    """Its admission policy stays without its template, and must not refuse what others make."""
    uninstall_operator(cluster)
    assert cluster.kubectl("get", "namespace", operator.namespace, "--ignore-not-found") == ""
    policy = "validatingadmissionpolicybinding/dbmigration-operator-jobs"
    assert cluster.kubectl("get", policy, "-o", "name")
    said = cluster.kubectl("create", "job", "of-somebody-else", "-n", "default", "--image=any", "--dry-run=server", "-o", "name")
    assert said.strip() == "job.batch/of-somebody-else"

    assert install_operator(cluster) == operator
    studio.start({"001_first.sql": "CREATE TABLE first (id int);"})
    assert studio.database.tables() == ["first"]
