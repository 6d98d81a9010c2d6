"""One commit of a git repository, fetched without its history, over https or ssh."""

import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import urllib3
from dulwich.client import HttpGitClient, HTTPUnauthorized, SSHGitClient, SubprocessSSHVendor, SubprocessWrapper
from dulwich.errors import GitProtocolError, HangupException, NotGitRepository
from dulwich.objects import Blob, Commit, ObjectID, Tag, Tree
from dulwich.refs import Ref
from dulwich.repo import Repo

from dbmigration.api.reasons import Reason
from dbmigration.api.request import GitRequest
from dbmigration.errors import DbmigrationError, Permanent, Transient
from dbmigration.migrations.room import temporary_folder
from dbmigration.run.fetched import Fetched, refuse_too_large
from dbmigration.run.fill import fill

if TYPE_CHECKING:
    from dulwich.client import GitClient
    from dulwich.object_store import DiskObjectStore

_TIMEOUT: Final = urllib3.Timeout(connect=10, read=120)
_FILE_MODES: Final = (0o100644, 0o100755, 0o100664)
_REVISION: Final = re.compile(r"(?:.*@)?sha1:([0-9a-f]{40})")
_DENIED: Final = ("Permission denied", "Host key verification failed", "REMOTE HOST IDENTIFICATION HAS CHANGED", "Too many authentication")
_GONE: Final = (
    "not our ref",
    "unadvertised object",
    "no such ref",
    "Could not read",
    "does not appear to be a git",
    "not found",
)


def fetch_git(request: GitRequest, secret: Path, ca: Path, say: Callable[[str], None]) -> Fetched:
    """`secret` and `ca`: the folders where the request's Secret and authority are mounted.

    Raises Transient SOURCE_MISSING (repository, ref or folder), SOURCE_DENIED (who we are, or who they are), SOURCE_UNAVAILABLE, and what
    `fill` raises. No message holds anything of the Secret.
    """
    place = temporary_folder("dbmigration-git-")
    into = temporary_folder("dbmigration-files-")
    label = f"{request.url} at {request.commit or request.tag or request.branch}"
    with Repo.init_bare(str(place)) as repository:
        store = repository.object_store
        commit = _peeled(store, _fetch(request, _client(request, secret, ca), store, label), label)
        name = commit.id.decode()
        say(f"got commit {name} of {request.url}")
        folder = fill(into, request.path, lambda path: _files_in(store, commit.tree, path), label)
    moving = request.tag or request.branch
    return Fetched(folder, f"{moving}@sha1:{name}" if moving else f"sha1:{name}")


def _client(request: GitRequest, secret: Path, ca: Path) -> "GitClient":
    keys = _read_keys(request, secret)
    url = urlsplit(request.url)
    if url.scheme == "ssh":
        return _ssh(request, secret, keys)
    host = url.hostname or ""
    authorities = str(ca / request.ca_key) if request.ca_key else None
    if authorities is not None and not Path(authorities).is_file():
        raise Transient(Reason.SOURCE_DENIED, f"spec.source.git.caRef: there is no key {request.ca_key}: make it, or name another")
    headers = {"Authorization": f"Bearer {keys['bearerToken']}"} if "bearerToken" in keys else None
    return HttpGitClient(
        f"https://{url.netloc}/",
        pool_manager=_OneHost(host, authorities),
        username=keys.get("username", "git") if "password" in keys else None,
        password=keys.get("password"),
        extra_headers=headers,
        quiet=True,
    )


def _ssh(request: GitRequest, secret: Path, keys: Mapping[str, str]) -> "GitClient":
    url = urlsplit(request.url)
    identity = next((name for name in ("identity", "ssh-privatekey") if name in keys), None)
    if identity is None or "known_hosts" not in keys:
        raise Transient(
            Reason.SOURCE_DENIED,
            f"Secret {request.secret_name} of spec.source.git: ssh needs identity and known_hosts, it has {_names(keys)}",
        )
    options = {
        "BatchMode": "yes",
        "StrictHostKeyChecking": "yes",
        "UserKnownHostsFile": str(secret / "known_hosts"),
        "GlobalKnownHostsFile": "/dev/null",
        "IdentitiesOnly": "yes",
        "IdentityFile": str(secret / identity),
        "ConnectTimeout": "10",
        "ServerAliveInterval": "15",
    }
    command = ["ssh", "-F", "/dev/null", *(word for name, value in options.items() for word in ("-o", f"{name}={value}"))]
    return SSHGitClient(
        url.hostname or "",
        port=url.port,
        username=url.username,
        vendor=_Ssh(),
        ssh_command=shlex.join(command),
        quiet=True,
    )


class _Ssh(SubprocessSSHVendor):
    """dulwich leaves the process alone when something goes wrong."""

    def __init__(self) -> None:
        self._running: list[SubprocessWrapper] = []

    def run_command(self, *words: Any, **given: Any) -> SubprocessWrapper:
        started = super().run_command(*words, **given)
        self._running.append(started)
        return started

    def end(self) -> None:
        for each in self._running:
            each.proc.kill()
            each.close()


class _OneHost(urllib3.PoolManager):
    """Follows a redirect on the same host only: the one that was named is the one that was allowed."""

    def __init__(self, host: str, authorities: str | None) -> None:
        super().__init__(cert_reqs="CERT_REQUIRED", ca_certs=authorities, timeout=_TIMEOUT, retries=urllib3.Retry(2, backoff_factor=0.5))
        self._host = host

    def urlopen(self, method: str, url: str, redirect: bool = True, **given: Any) -> urllib3.BaseHTTPResponse:  # type: ignore[override]
        there = urlsplit(url)
        if there.hostname != self._host or there.scheme != "https":
            raise GitProtocolError(f"it sends us on to {there.scheme}://{there.hostname}: name that in spec.source.git.url")
        return super().urlopen(method, url, redirect=redirect, **given)


def _fetch(request: GitRequest, client: "GitClient", store: "DiskObjectStore", label: str) -> ObjectID:
    """The commit, or the tag that leads to it, now in `store`."""
    wanted: list[ObjectID] = []

    def wants(refs: Mapping[Ref, ObjectID], depth: int | None = None) -> list[ObjectID]:  # noqa: ARG001 - dulwich names it
        wanted[:] = [_wanted(request, refs, label)]
        return wanted

    path = urlsplit(request.url).path
    prefix = [f"refs/tags/{request.tag}".encode()] if request.tag else [f"refs/heads/{request.branch}".encode()] if request.branch else None
    pack, commit, abort = store.add_pack()
    try:
        client.fetch_pack(path, wants, _Nothing(), _counted(pack.write, label), depth=1, ref_prefix=prefix)
    except BaseException as error:
        abort()
        if isinstance(error, Exception) and not isinstance(error, DbmigrationError):
            raise _told(error, request, label) from error
        raise
    finally:
        _hang_up(client)
    commit()
    return wanted[0]


def _hang_up(client: "GitClient") -> None:
    if isinstance(client, SSHGitClient) and isinstance(client.ssh_vendor, _Ssh):
        client.ssh_vendor.end()
    elif isinstance(client, HttpGitClient):
        client.pool_manager.clear()


def _wanted(request: GitRequest, refs: Mapping[Ref, ObjectID], label: str) -> ObjectID:
    given = _REVISION.fullmatch(request.revision or "")
    if request.commit is not None or given is not None:
        return ObjectID((request.commit or (given[1] if given else "")).encode())
    name = f"refs/tags/{request.tag}" if request.tag else f"refs/heads/{request.branch}"
    found = refs.get(Ref(name.encode()))
    if found is None:
        raise Transient(Reason.SOURCE_MISSING, f"{label}: there is no {name} in the repository: push it, or correct spec.source.git.ref")
    return found


def _counted(write: Callable[[bytes], int], label: str) -> Callable[[bytes], int]:
    total = 0

    def counting(data: bytes) -> int:
        nonlocal total
        total += len(data)
        refuse_too_large(total, 0, label)
        return write(data)

    return counting


class _Nothing:
    """What we have already: git asks until it hears that there is nothing."""

    def __next__(self) -> ObjectID | None:
        return None

    next = __next__

    def ack(self, sha: ObjectID) -> None:
        """Nothing was offered, so nothing is acknowledged."""

    def nak(self) -> None:
        """Nor refused."""


def _peeled(store: "DiskObjectStore", sha: ObjectID, label: str) -> Commit:
    found = store[sha]
    while isinstance(found, Tag):
        found = store[found.object[1]]
    if not isinstance(found, Commit):
        raise Permanent(Reason.SOURCE_INVALID, f"{label} is no commit")
    return found


def _files_in(store: "DiskObjectStore", tree: ObjectID, folder: str) -> Iterator[tuple[str, Iterable[bytes]]]:
    for part in [] if folder == "." else folder.split("/"):
        here = store[tree]
        mode, sha = here[part.encode()] if isinstance(here, Tree) and part.encode() in here else (0, None)
        if mode != 0o040000 or sha is None:
            return
        tree = sha
    yield from _walk(store, tree, "" if folder == "." else f"{folder}/")


def _walk(store: "DiskObjectStore", tree: ObjectID, prefix: str) -> Iterator[tuple[str, Iterable[bytes]]]:
    here = store[tree]
    if not isinstance(here, Tree):
        return
    for entry in here.iteritems():
        name = prefix + entry.path.decode("utf-8", "surrogateescape")
        if entry.mode == 0o040000:
            yield from _walk(store, entry.sha, f"{name}/")
        elif entry.mode in _FILE_MODES:
            blob = store[entry.sha]
            if isinstance(blob, Blob):
                yield name, blob.chunked


def _read_keys(request: GitRequest, secret: Path) -> dict[str, str]:
    """Raises Transient SOURCE_DENIED where a Secret was named and is not there."""
    if request.secret_name is None:
        return {}
    files = [path for path in secret.iterdir() if path.is_file()] if secret.is_dir() else []
    if not files:
        message = f"Secret {request.secret_name} of spec.source.git.secretRef is not there, or empty: make it, or name another"
        raise Transient(Reason.SOURCE_DENIED, message)
    keys = {path.name: path.read_text(encoding="utf-8", errors="replace").strip() for path in files}
    if urlsplit(request.url).scheme == "https" and not {"password", "bearerToken"} & keys.keys():
        raise Transient(
            Reason.SOURCE_DENIED,
            f"Secret {request.secret_name} of spec.source.git: https needs password or bearerToken, it has {_names(keys)}",
        )
    return keys


def _names(keys: Mapping[str, str]) -> str:
    return ", ".join(sorted(keys)) or "nothing"


def _told(error: Exception, request: GitRequest, label: str) -> DbmigrationError:
    """The error in our words. What the other side says is cut short: it is theirs."""
    said = _words(error)
    if isinstance(error, HTTPUnauthorized) or re.search(r"unexpected http resp 40[13]", said) or any(word in said for word in _DENIED):
        who = f"Secret {request.secret_name}" if request.secret_name else "spec.source.git.secretRef, which is not set"
        return Transient(Reason.SOURCE_DENIED, f"{label}: the server refused us, or is not the one it is to be ({who}): {said}")
    if isinstance(error, NotGitRepository) or any(word in said for word in _GONE):
        return Transient(Reason.SOURCE_MISSING, f"{label} is not there, or not for us: correct url and ref, or give secretRef: {said}")
    if isinstance(error, HangupException) and request.commit is not None:
        message = f"{label}: the server hangs up when it is asked for the commit: is it pushed? Some give out branches and tags only"
        return Transient(Reason.SOURCE_MISSING, message)
    return Transient(Reason.SOURCE_UNAVAILABLE, f"{label} cannot be got: {said}")


def _words(error: BaseException) -> str:
    if isinstance(error, HangupException) and error.stderr_lines:
        return b" ".join(error.stderr_lines).decode("utf-8", "replace").strip()[-300:]
    reason = getattr(error, "reason", None)
    cause = reason if isinstance(reason, Exception) else error
    return f"{type(cause).__name__}: {cause}"[:300]
