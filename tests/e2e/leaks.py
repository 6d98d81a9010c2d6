"""Passwords where they do not belong: what the operator and its runs leave behind, searched for what the namespace's Secrets hold."""

import base64
import json
import subprocess
from collections.abc import Iterable, Mapping
from urllib.parse import quote, unquote, urlsplit

from dbmigration.api.names import MANAGED_BY, MANAGED_BY_LABEL
from tests.cluster.interface import Cluster

SHORTEST = 6
"""A shorter value is found anywhere by accident."""
_PUBLIC = ("host", "port", "dbname", "database", "user", "username", "ca.crt", "tls.crt", "AWS_ACCESS_KEY_ID")


def secret_values(cluster: Cluster, namespace: str) -> set[str]:
    """What nobody may see of the namespace's Secrets: values but names and certificates; of a URI the password, of a key file a line."""
    values: set[str] = set()
    for item in json.loads(cluster.kubectl("get", "secrets", "-n", namespace, "-o", "json"))["items"]:
        for key, encoded in (item.get("data") or {}).items():
            if key not in _PUBLIC:
                values |= _hidden(base64.b64decode(encoded).decode(errors="replace"))
    return {value for value in values if len(value) >= SHORTEST}


def spellings(value: str) -> set[str]:
    """How a text may look in a log: as it is, percent-encoded, in JSON, in Python's repr, in SQL, in base64."""
    return {
        value,
        quote(value),
        quote(value, safe=""),
        json.dumps(value)[1:-1],
        json.dumps(value, ensure_ascii=False)[1:-1],
        repr(value)[1:-1],
        value.replace("'", "''"),
        base64.b64encode(value.encode()).decode().rstrip("="),
    }


def left_behind(cluster: Cluster, namespace: str) -> dict[str, str]:
    """What there is to see in a namespace, by what it is: resources, events, Jobs and pods of runs, and their logs."""
    ours = f"{MANAGED_BY_LABEL}={MANAGED_BY}"
    return {
        "resources": _tried(cluster, "get", "databasemigrations,migrationapprovals", "-n", namespace, "-o", "json"),
        "events": _tried(cluster, "get", "events", "-n", namespace, "-o", "json"),
        "Jobs and pods": _tried(cluster, "get", "jobs,pods", "-n", namespace, "-l", ours, "-o", "json"),
        "logs": _tried(cluster, "logs", "-n", namespace, "-l", ours, "--all-containers", "--tail=-1", "--ignore-errors", "--prefix"),
    }


def shown_in(texts: Mapping[str, str], values: Iterable[str]) -> list[str]:
    """The names of the texts that hold one of the values in any spelling. Never the value itself: this ends up in a report."""
    looked_for = {spelling for value in values for spelling in spellings(value)}
    return [name for name, text in texts.items() if any(spelling in text for spelling in looked_for)]


def _hidden(value: str) -> set[str]:
    if "-----BEGIN" in value:
        lines = value.splitlines()
        return {lines[1]} if "PRIVATE" in lines[0] else set()
    if "://" in value:
        password = urlsplit(value).password
        return {password, unquote(password)} if password else set()
    return {value.rstrip("\r\n")}


def _tried(cluster: Cluster, *args: str) -> str:
    """kubectl's output, or its complaint: a pod whose log is gone shows none."""
    try:
        return cluster.kubectl(*args, stderr=subprocess.STDOUT)
    except subprocess.CalledProcessError as failed:
        return str(failed.output)
