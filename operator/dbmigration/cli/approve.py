"""`dbmigration approve`: a person agrees to the plan that a resource waits with."""

import sys
from typing import TYPE_CHECKING, Annotated

from dbmigration.api.reasons import Reason
from dbmigration.cli.exits import Exit
from dbmigration.cli.failure import print_error
from dbmigration.cli.plugin.resource import Context, Name, Namespace, Resource, cluster, read
from dbmigration.cli.plugin.show import rehearsed_lines, write
from dbmigration.cli.plugin.text import plain
from dbmigration.cli.words import BadParameter, Option

if TYPE_CHECKING:
    from dbmigration.kube.client import Api


def approve(
    name: Name,
    namespace: Namespace = None,
    context: Context = None,
    yes: Annotated[bool, Option("--yes", help="Do not ask.")] = False,
    plan_hash: Annotated[str | None, Option("--plan-hash", metavar="HASH", help="Approve no other plan than this.")] = None,
    comment: Annotated[str | None, Option("--comment", metavar="TEXT", help="Why, or the number of a change.")] = None,
) -> int:
    """Approve the plan that a DatabaseMigration waits with.

    Shows it, asks, and makes a MigrationApproval that names its hash, with kubectl's configuration.
    """
    if not yes and not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise BadParameter("nobody can be asked here: look at the plan, then give --yes", param_hint="--yes")
    if comment is not None and len(comment) > 1024:
        raise BadParameter("at most 1024 characters", param_hint="--comment")
    with cluster(namespace, context) as (api, place):
        return _approve(api, read(api, place, name), yes, plan_hash, comment)


def _approve(api: "Api", found: Resource, yes: bool, wanted: str | None, comment: str | None) -> int:
    from dbmigration.kube.approvals import make_approval, who_am_i

    status, ready, plan = found.status, found.ready, found.status.plan
    where = f"{found.namespace}/{found.name}"
    if ready is None or plan is None or plan.hash is None or ready.reason not in (Reason.APPROVAL_PENDING, Reason.APPROVAL_STALE):
        print_error(f"error: {where} waits for no approval: it is {ready.reason if ready else 'not looked at yet'}")
        return Exit.FAILED
    sys.stdout.write(f"{where}: {plan.pending} pending, now at version {status.version or 'none'}\n")
    sys.stdout.writelines(f"  {plain(file)}\n" for file in plan.names)
    sys.stdout.write(f"  ... and {plan.pending - len(plan.names)} more\n" if plan.pending > len(plan.names) else "")
    sys.stdout.write(f"plan {plan.hash}\n")
    write(rehearsed_lines(found))
    if wanted is not None and wanted != plan.hash:
        print_error("error: PlanChanged: that is not the plan of --plan-hash; nothing was approved")
        return Exit.FAILED
    if not yes:
        sys.stdout.write("Approve exactly this plan? Type yes: ")
        sys.stdout.flush()
        if sys.stdin.readline().strip() != "yes":
            print_error("nothing was approved")
            return Exit.FAILED
    made = make_approval(api, found.raw, plan.hash, approved_by=who_am_i(api), comment=comment)
    sys.stdout.write(f"approved: MigrationApproval {made}\n")
    return Exit.OK
