"""Waiting for an object of the cluster: `kubectl get --watch`, read until it says what is hoped for."""

import json
import os
import select
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from tests.cluster.interface import Cluster

Json = dict[str, Any]
READ_BYTES: Final = 1 << 16


class NotSeen(AssertionError):
    """The object did not become what was hoped for in time; the message holds what it was at the end."""


def watch_until(
    cluster: Cluster, kind: str, namespace: str, holds: Callable[[Json], bool], *, what: str, seconds: float, name: str | None = None
) -> Json:
    """The first version of an object of `kind` for which `holds` is true, from now on. Raises NotSeen after `seconds`.

    Every version that the API server tells of is looked at, so what only lasts a moment is seen too.
    """
    selector = [f"--field-selector=metadata.name={name}"] if name else []
    deadline = time.monotonic() + seconds
    last: Json = {}
    with _watching(cluster, "get", kind, "-n", namespace, "-o", "json", "--watch", *selector) as kubectl:
        for last in _objects(kubectl, deadline):
            if holds(last):
                return last
    shown = json.dumps(last.get("status", last), indent=1)
    raise NotSeen(f"{kind} {name or ''} in {namespace}: not {what} within {seconds:.0f} s. The last that was seen: {shown}")


@contextmanager
def _watching(cluster: Cluster, *args: str) -> Iterator[subprocess.Popen[str]]:
    kubectl = cluster.start_kubectl(*args)
    try:
        yield kubectl
    finally:
        kubectl.kill()
        kubectl.communicate()


def _objects(kubectl: subprocess.Popen[str], deadline: float) -> Iterator[Json]:
    """The JSON objects that kubectl writes, until the deadline. Raises NotSeen when kubectl ends by itself."""
    assert kubectl.stdout is not None
    decoder, text = json.JSONDecoder(), ""
    descriptor = kubectl.stdout.fileno()
    while (left := deadline - time.monotonic()) > 0:
        if not select.select([descriptor], [], [], left)[0]:
            return
        read = os.read(descriptor, READ_BYTES)
        if not read:
            raise NotSeen(f"kubectl {kubectl.args!r} ended: {text}")
        text += read.decode()
        while text.lstrip():
            try:
                found, end = decoder.raw_decode(text.lstrip())
            except json.JSONDecodeError:
                break
            text = text.lstrip()[end:]
            yield found
