"""A resource as it changes: a small live table on a terminal, one line for each change in a pipe."""

import json
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from tests.cluster.interface import Cluster

POLL_SECONDS = 0.4
Resource = Mapping[str, Any]


class NotReachedError(Exception):
    """The resource did not get where it should; the message holds what it says of itself."""


def watch_until(cluster: Cluster, namespace: str, name: str, done: Callable[[Resource], bool], *, seconds: float) -> Resource:
    """Show the resource until `done`. Raises NotReachedError."""
    console = Console(highlight=False)
    deadline = time.monotonic() + seconds
    said = ""
    with Live(console=console, refresh_per_second=8, transient=False) as live:
        while True:
            resource = json.loads(cluster.kubectl("get", "dbm", name, "-n", namespace, "-o", "json"))
            if sys.stdout.isatty():
                live.update(_table(resource))
            elif (line := _line(resource)) != said:
                said = line
                print(f"    {line}", flush=True)
            if done(resource):
                return resource  # type: ignore[no-any-return]
            if condition(resource, "Stalled") and is_current(resource):
                raise NotReachedError(f"{namespace}/{name} is Stalled: {_line(resource)}")
            if time.monotonic() > deadline:
                raise NotReachedError(f"{namespace}/{name} not there after {seconds:.0f} s: {_line(resource)}")
            time.sleep(POLL_SECONDS)


def condition(resource: Resource, kind: str) -> Mapping[str, str]:
    """The condition of that type; empty when it is not there."""
    conditions = resource.get("status", {}).get("conditions", [])
    return next((each for each in conditions if each["type"] == kind), {})


def is_current(resource: Resource) -> bool:
    return bool(resource.get("status", {}).get("observedGeneration") == resource["metadata"]["generation"])


def _line(resource: Resource) -> str:
    status = resource.get("status", {})
    ready = condition(resource, "Ready")
    progress = status.get("progress") or {}
    return (
        f"Ready={ready.get('status', 'Unknown')} {ready.get('reason', '')} version={status.get('version', '-')} "
        f"pending={status.get('pending', '-')} {progress.get('message') or ready.get('message', '')}"
    )


def _table(resource: Resource) -> Group:
    status = resource.get("status", {})
    table = Table(title=f"{resource['metadata']['namespace']}/{resource['metadata']['name']}", title_justify="left", expand=False)
    for column in ("Ready", "Reason", "Version", "Pending", "Backed up", "Verified"):
        table.add_column(column)
    ready = condition(resource, "Ready")
    colour = {"True": "green", "False": "yellow"}.get(ready.get("status", ""), "dim")
    if condition(resource, "Stalled"):
        colour = "red"
    table.add_row(
        Text(ready.get("status", "Unknown"), style=colour),
        ready.get("reason", ""),
        str(status.get("version", "")),
        str(status.get("pending", "")),
        condition(resource, "BackedUp").get("status", ""),
        condition(resource, "Verified").get("status", ""),
    )
    message = (status.get("progress") or {}).get("message") or ready.get("message", "")
    return Group(table, Text(message, style="dim"))
