"""`kubectl dbmigration logs`: what a run said, for a person."""

import json
import sys
from typing import TYPE_CHECKING, Annotated

from dbmigration.api.report import REPORT_KEY
from dbmigration.cli.exits import Exit
from dbmigration.cli.failure import print_error
from dbmigration.cli.plugin.resource import Context, Name, Namespace, cluster, read
from dbmigration.cli.plugin.text import plain
from dbmigration.cli.words import Option

if TYPE_CHECKING:
    from dbmigration.kube.client import Api

_STEP = 9
"""Columns of a step's name."""

Follow = Annotated[bool, Option("--follow", "-f", help="Go on until the run has ended.")]
Run = Annotated[str | None, Option("--run", metavar="JOB", help="Another run than the newest: its Job, as `history` names it.")]
Raw = Annotated[bool, Option("--raw", help="The lines as they are, JSON, with the report at the end.")]


def logs(
    name: Name, namespace: Namespace = None, context: Context = None, follow: Follow = False, run: Run = None, raw: Raw = False
) -> int:
    """Show what the newest run said, or follow it. The pods of the newest three runs are kept."""
    from dbmigration.kube.follow import Changed, Failed, Follower, LogEnded, Said

    with cluster(namespace, context) as (api, place):
        found = read(api, place, name)
        newest = found.status.run
        job = run or (newest.job_name if newest is not None else None)
        if job is None:
            print_error(f"error: {found.namespace}/{found.name} has had no run yet")
            return Exit.FAILED
        with Follower(api, found.namespace, found.name) as follower:
            if not follow and not _has_pod(api, found.namespace, job):
                print_error(f"error: the pod of job/{job} is not there: it has not started yet, or has been removed since")
                return Exit.FAILED
            follower.follow_log(job)
            quiet = None if follow else 3.0
            while True:
                happened = follower.next(quiet or 60.0)
                if isinstance(happened, Said):
                    show(happened.line, raw=raw)
                elif isinstance(happened, LogEnded):
                    if happened.why:
                        print_error(f"error: {plain(happened.why)}")
                    return Exit.FAILED if happened.why else Exit.OK
                elif isinstance(happened, Failed):
                    raise happened.failure
                elif (isinstance(happened, Changed) and happened.resource is None) or (happened is None and quiet):
                    return Exit.OK


def show(line: str, *, raw: bool) -> None:
    """One line of the log on stdout, at once."""
    told = plain(line) if raw else readable(line)
    if told:
        sys.stdout.write(f"{told}\n")
        sys.stdout.flush()


def readable(line: str) -> str:
    """ "12:03:04  apply    004_x.sql: 3 statements"; "" for the report, which the resource shows. What is not ours stays as it is."""
    try:
        said = json.loads(line) if line.startswith("{") else None
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict):
        return plain(line)
    if REPORT_KEY in said:
        return ""
    where = said.get("step") or said.get("event") or ""
    message = said.get("message") or ""
    reason = f"{said['reason']}: " if said.get("reason") and said.get("level") == "error" else ""
    return plain(f"{str(said.get('ts', ''))[11:19]:<8}  {where!s:<{_STEP}}{reason}{message}".rstrip())


def _has_pod(api: "Api", namespace: str, job: str) -> bool:
    from dbmigration.kube.client import namespaced
    from dbmigration.kube.job_seen import JOB_NAME_LABEL

    return bool(api.items(namespaced("v1", namespace, "pods"), labelSelector=f"{JOB_NAME_LABEL}={job}"))
