"""A thin client: JSON objects in and out, timeouts on everything, answers classified. Calls block; the handlers run them in threads."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from kubernetes import config
from kubernetes.client.api_client import ApiClient
from kubernetes.client.configuration import Configuration
from kubernetes.client.exceptions import ApiException
from urllib3 import HTTPResponse
from urllib3.exceptions import HTTPError

from dbmigration.api.names import GROUP, PLURAL, VERSION
from dbmigration.kube.classify import Answer, ApiFailure, classify

JsonObject = dict[str, Any]

CONNECT_TIMEOUT_S = 5
READ_TIMEOUT_S = 20
OnAnswer = Callable[[str, str, int, float], None]
"""Verb, resource, HTTP status (0: no answer), seconds."""

_LARGEST_LOG = 1024 * 1024
_VERBS = {"GET": "get", "POST": "create", "PATCH": "patch", "DELETE": "delete"}
_IN_POD = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


class NoCluster(Exception):
    """There is no pod around us, and no kubeconfig, or none with the context that was asked for. The text says which."""


class Api:
    """One connection pool to one API server. Safe to use from several threads."""

    def __init__(self, client: ApiClient, on_answer: OnAnswer | None = None) -> None:
        self._client = client
        self._on_answer = on_answer

    def get(self, path: str, **query: str) -> JsonObject:
        """Raises ApiFailure, with Answer.NOT_FOUND when the object does not exist."""
        found = json.loads(self._request("GET", path, query))
        if not isinstance(found, dict):
            raise ApiFailure(Answer.AGAIN, f"{path}: the answer is no JSON object")
        return found

    def get_or_none(self, path: str) -> JsonObject | None:
        try:
            return self.get(path)
        except ApiFailure as failure:
            if failure.answer is Answer.NOT_FOUND:
                return None
            raise

    def items(self, path: str, **query: str) -> list[JsonObject]:
        """All items of a list, page by page."""
        found: list[JsonObject] = []
        page: JsonObject = {}
        while not found or page:
            token = page.get("metadata", {}).get("continue")
            if page and not token:
                break
            page = self.get(path, **query, limit="200", **({"continue": token} if token else {}))
            found += page.get("items", [])
        return found

    def create(self, path: str, body: JsonObject) -> JsonObject:
        created = json.loads(self._request("POST", path, {}, body))
        return created if isinstance(created, dict) else {}

    def merge_patch(self, path: str, body: JsonObject) -> None:
        """RFC 7386: a null removes a field."""
        self._request("PATCH", path, {}, body, content_type="application/merge-patch+json")

    def delete(self, path: str, uid: str | None = None) -> None:
        """Remove an object and, in the background, what it owns. Nothing happens when it is gone, or when another has its name (`uid`)."""
        body: JsonObject = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background"}
        if uid is not None:
            body["preconditions"] = {"uid": uid}
        try:
            self._request("DELETE", path, {}, body)
        except ApiFailure as failure:
            if failure.answer not in (Answer.NOT_FOUND, Answer.CONFLICT):
                raise

    def text(self, path: str, **query: str) -> str:
        return self._request("GET", path, query)[-_LARGEST_LOG:].decode(errors="replace")

    def lines(self, path: str, *, silent_s: float = 60.0, **query: str) -> Iterator[str]:
        """The lines of an answer that grows: a watch, a log that is followed. Ends with the answer, or after `silent_s` seconds of silence.

        Raises ApiFailure.
        """
        answer = self._answer("GET", path, query, timeout=silent_s, whole=False)
        rest = b""
        try:
            for chunk in answer.stream(amt=None):
                *whole, rest = (rest + chunk).split(b"\n")
                yield from (line.decode(errors="replace") for line in whole)
        except (HTTPError, OSError):
            pass  # the connection's end is the answer's: whoever follows asks again
        finally:
            answer.close()
        if rest:
            yield rest.decode(errors="replace")

    def close(self) -> None:
        self._client.close()  # type: ignore[no-untyped-call]

    def _request(
        self, method: str, path: str, query: Mapping[str, str], body: JsonObject | None = None, content_type: str = "application/json"
    ) -> bytes:
        return bytes(self._answer(method, path, query, body, content_type).data or b"")

    def _answer(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: JsonObject | None = None,
        content_type: str = "application/json",
        *,
        timeout: float = READ_TIMEOUT_S,
        whole: bool = True,
    ) -> HTTPResponse:
        """`whole`: its body is read. One that is refused always is."""
        headers = {"Accept": "application/json, */*", "Content-Type": content_type}
        code, began = 0, time.perf_counter()
        try:
            request = self._client.param_serialize(
                method, path, query_params=list(query.items()), header_params=headers, body=body, auth_settings=["BearerToken"]
            )
            answer: HTTPResponse = self._client.call_api(*request, _request_timeout=(CONNECT_TIMEOUT_S, timeout)).response
            code, ok = answer.status, 200 <= answer.status <= 299
            if whole or not ok:
                data = answer.data
        except (HTTPError, OSError, ApiException) as error:  # the last where its certificate is not to be believed
            raise ApiFailure(Answer.AGAIN, f"the API server cannot be reached: {type(error).__name__}") from error
        finally:
            if self._on_answer is not None:
                verb, resource = verb_and_resource(method, path)
                self._on_answer(verb, resource, code, time.perf_counter() - began)
        if not ok:
            raise classify(answer.status, bytes(data or b""), answer.headers.get("Retry-After"))
        return answer


def verb_and_resource(method: str, path: str) -> tuple[str, str]:
    """What Kubernetes calls a request in its audit log: get, list, create, patch or delete, and "pods/log". Never a name."""
    group, _, rest = path.partition("/namespaces/")
    if not rest:
        return ("get" if method == "GET" else _VERBS[method], "discovery" if method == "GET" else group.rpartition("/")[2])
    _, plural, name, subresource = (*rest.split("/"), "", "", "")[:4]
    verb = "list" if method == "GET" and not name else _VERBS[method]
    return verb, f"{plural}/{subresource}" if subresource else plural


def connect(connections: int, context: str | None = None, on_answer: OnAnswer | None = None) -> Api:
    """The API server of the pod we run in, else the one of the user's kubeconfig; with a `context` always the latter.

    `on_answer` is told of every request. Raises NoCluster without either.
    """
    configuration = Configuration()
    try:
        if context is not None or not _in_pod(configuration):
            config.load_kube_config(context=context, client_configuration=configuration)  # type: ignore[no-untyped-call]
    except config.ConfigException as error:
        raise NoCluster(str(error)) from error
    configuration.connection_pool_maxsize = connections
    configuration.retries = False
    return Api(ApiClient(configuration), on_answer)


def _in_pod(configuration: Configuration) -> bool:
    try:
        config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    except config.ConfigException:
        return False
    return True


def own_namespace(context: str | None = None) -> str:
    """The namespace that kubectl would take without -n: the context's, or our own pod's. Raises NoCluster."""
    if context is None and _IN_POD.exists():
        return _IN_POD.read_text(encoding="utf-8").strip()
    try:
        contexts, active = config.list_kube_config_contexts()  # type: ignore[no-untyped-call]
    except config.ConfigException as error:
        raise NoCluster(str(error)) from error
    chosen = active if context is None else next((each for each in contexts if each["name"] == context), None)
    return str(((chosen or {}).get("context") or {}).get("namespace") or "default")


def namespaced(group_version: str, namespace: str, plural: str, name: str | None = None, subresource: str | None = None) -> str:
    """Path of a namespaced resource: `v1` is the core group."""
    root = "/api/v1" if group_version == "v1" else f"/apis/{group_version}"
    parts = [root, "namespaces", quote(namespace), plural, *(quote(part) for part in (name, subresource) if part)]
    return "/".join(parts)


def resource_path(namespace: str, name: str, subresource: str | None = None) -> str:
    return namespaced(f"{GROUP}/{VERSION}", namespace, PLURAL, name, subresource)
