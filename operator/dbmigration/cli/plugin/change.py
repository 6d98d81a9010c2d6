"""The commands that change a resource: retry and rollback. Each says what it does before, and what follows after."""

import sys
from datetime import UTC, datetime
from typing import Annotated, Any, Final

from dbmigration.api.names import RETRY_ANNOTATION
from dbmigration.api.states import State
from dbmigration.cli.exits import Exit
from dbmigration.cli.failure import print_error
from dbmigration.cli.plugin.resource import Context, Name, Namespace, Resource, cluster, read
from dbmigration.cli.plugin.text import plain
from dbmigration.cli.words import BadParameter, Option

_GITOPS_MARKS: Final = (
    ("kustomize.toolkit.fluxcd.io/", "Flux"),
    ("helm.toolkit.fluxcd.io/", "Flux"),
    ("argocd.argoproj.io/", "Argo CD"),
    ("meta.helm.sh/", "Helm"),
)

Watch = Annotated[bool, Option("--watch", "-w", help="Go on as `kubectl dbmigration watch` does.")]
To = Annotated[str, Option("--to", metavar="VERSION", help="Undo every migration above this one; 000: all.")]
PlanHash = Annotated[
    str | None, Option("--plan-hash", metavar="HASH", help="Have the run refuse any other plan than this.", show_default=False)
]
Yes = Annotated[bool, Option("--yes", "-y", help="Do not ask. Required where nobody can answer (in a pipe).")]


def retry(name: Name, namespace: Namespace = None, context: Context = None, watch: Watch = False) -> int:
    """Try again at once what failed for good, and lift RolledBack: sets the annotation dbmigration.dev/retry."""
    from dbmigration.kube.client import resource_path

    with cluster(namespace, context) as (api, place):
        found = read(api, place, name)
        value = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
        api.merge_patch(resource_path(found.namespace, found.name), {"metadata": {"annotations": {RETRY_ANNOTATION: value}}})
    sys.stdout.write(f"asked {found.namespace}/{found.name} for another run\n")
    return _watched(found, context) if watch else Exit.OK


def rollback(
    name: Name,
    to: To,
    namespace: Namespace = None,
    context: Context = None,
    plan_hash: PlanHash = None,
    yes: Yes = False,
    watch: Watch = False,
) -> int:
    """Show what would be rolled back, ask, and write spec.rollback: a run takes a backup and goes down to --to VERSION."""
    from dbmigration.kube.client import resource_path

    if not to.isdecimal():
        raise BadParameter(f"{to!r} is no version: give the number of a migration, like 003, or 000 for all", param_hint="--to")
    if not yes and not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise BadParameter("nobody can be asked here: give --yes", param_hint="--yes")
    with cluster(namespace, context) as (api, place):
        found = read(api, place, name)
        above = files_above(found, to)
        if not above:
            print_error(f"error: no applied migration is above {to}: {place}/{found.name} is at version {found.status.version or 'none'}")
            return Exit.FAILED
        _show(found, to, above)
        if not yes and not agrees():
            print_error("nothing was asked for")
            return Exit.FAILED
        wanted: dict[str, Any] = {"to": to, "planHash": plan_hash}
        api.merge_patch(resource_path(found.namespace, found.name), {"spec": {"rollback": wanted}})
    sys.stdout.write(
        f"asked {found.namespace}/{found.name} to go down to {to}. While spec.rollback stands nothing is applied; "
        f"docs/rollback.md says how to go on\n"
    )
    return _watched(found, context) if watch else Exit.OK


def files_above(found: Resource, to: str) -> list[str]:
    """The applied files with a higher number, newest first, as far as status names them (the newest 50)."""
    applied = (State.APPLIED, State.APPLIED_UNVERIFIED)
    numbered = ((migration.name, migration.name.partition("_")[0]) for migration in found.status.migrations if migration.state in applied)
    return [name for name, number in reversed(list(numbered)) if number.isdecimal() and int(number) > int(to)]


def managed_by(raw: dict[str, Any]) -> str | None:
    """The tool that writes this resource from somewhere else, by the marks that it leaves on it."""
    metadata = raw.get("metadata") or {}
    keys = [*(metadata.get("labels") or {}), *(metadata.get("annotations") or {})]
    return next((tool for mark, tool in _GITOPS_MARKS if any(key.startswith(mark) for key in keys)), None)


def _show(found: Resource, to: str, above: list[str]) -> None:
    out = sys.stdout
    out.write(f"{found.namespace}/{found.name} is at version {found.status.version or 'none'}. To roll back, in this order:\n")
    out.writelines(f"  {plain(name)}\n" for name in above)
    out.write("with their rollback scripts, after a backup. What the scripts drop is gone from the database, and is in that backup only.\n")
    out.write(f"See first what would be lost: give --plan-hash {'0' * 64}, and the refusal names it, and the hash to give.\n")
    if found.status.backup is not None:
        out.write(f"the newest backup so far: {found.status.backup.uri}, {found.status.backup.completed_at:%Y-%m-%d %H:%M} UTC\n")
    tool = managed_by(found.raw)
    if tool is not None:
        print_error(
            f"warning: {tool} writes this resource and will take spec.rollback out again, or call it drift: "
            f'put `rollback: {{to: "{to}"}}` into its source as well, or instead'
        )
    out.flush()


def agrees() -> bool:
    """Ask on the terminal; an empty line is no."""
    sys.stdout.write("Go on? [y/N] ")
    sys.stdout.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _watched(found: Resource, context: str | None) -> int:
    from dbmigration.cli.plugin.watch import watch

    return watch(found.name, found.namespace, context)
