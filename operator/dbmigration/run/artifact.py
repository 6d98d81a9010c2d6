"""An artifact of Flux: a tar.gz that is downloaded, compared with its digest, and unpacked as far as it is needed."""

import hashlib
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Final

import urllib3

from dbmigration.api.reasons import Reason
from dbmigration.api.request import ArtifactRequest
from dbmigration.errors import Permanent, Transient
from dbmigration.migrations.room import no_room, temporary_folder
from dbmigration.run.fetched import MOST_BYTES, Fetched, refuse_too_large
from dbmigration.run.fill import fill, inside

_BLOCK: Final = 256 * 1024
_ALGORITHMS: Final = ("sha256", "sha384", "sha512")
_TIMEOUT: Final = urllib3.Timeout(connect=10, read=60)
_MOST_ENTRIES: Final = 1_000_000
_MOST_UNPACKED: Final = 8 * MOST_BYTES
"""Of the whole archive, the folders that are not looked at included: it is unpacked to be read."""


def fetch_artifact(request: ArtifactRequest, say: Callable[[str], None]) -> Fetched:
    """Raises Transient SOURCE_UNAVAILABLE, also where there is no room for it, SOURCE_CHANGING for bytes that are not those of the digest,
    and what `fill` raises.
    """
    into = temporary_folder("dbmigration-files-")
    with tempfile.TemporaryFile() as archive:
        size = _download(request, archive)
        say(f"got {request.source} at {request.revision}: {size / 1e6:.1f} MB, {request.digest}")
        try:
            folder = fill(into, request.path, lambda path: _files_in(archive, path, request.source), request.source)
        except (tarfile.TarError, EOFError, zlib.error, OSError) as exc:
            raise Permanent(Reason.SOURCE_INVALID, f"the artifact of {request.source} is no tar.gz: {exc}") from exc
    return Fetched(folder, request.revision)


def _download(request: ArtifactRequest, archive: IO[bytes]) -> int:
    algorithm, _, wanted = request.digest.partition(":")
    if algorithm not in _ALGORITHMS:
        raise Permanent(
            Reason.SOURCE_INVALID, f"the digest of {request.source} is {algorithm}: let source-controller use {' or '.join(_ALGORITHMS)}"
        )
    found, size = hashlib.new(algorithm), 0
    try:
        with urllib3.PoolManager(retries=urllib3.Retry(2, redirect=0, backoff_factor=0.5)) as pool:
            headers = {"Accept-Encoding": "identity"}
            # Closed whatever happens: what is not read to its end does not go back to the pool, which would close it.
            with pool.request("GET", request.url, preload_content=False, timeout=_TIMEOUT, headers=headers) as answer:
                if answer.status != 200:
                    raise Transient(
                        Reason.SOURCE_UNAVAILABLE,
                        f"the artifact of {request.source} answers {answer.status} ({request.url}); it is looked up again",
                    )
                for block in answer.stream(_BLOCK, decode_content=False):
                    size += len(block)
                    refuse_too_large(size, 0, f"the artifact of {request.source}")
                    found.update(block)
                    archive.write(block)
    except OSError as exc:
        full = no_room(exc, Path(tempfile.gettempdir()))
        if full is None:
            raise
        raise full from exc
    except urllib3.exceptions.HTTPError as exc:
        raise Transient(
            Reason.SOURCE_UNAVAILABLE,
            f"the artifact of {request.source} cannot be got from {request.url}: {_cause(exc)}; does a NetworkPolicy keep the run out?",
        ) from exc
    if found.hexdigest() != wanted:
        raise Transient(
            Reason.SOURCE_CHANGING, f"the artifact of {request.source} has not the digest {request.digest}; it is looked up again"
        )
    return size


def _files_in(archive: IO[bytes], folder: str, what: str) -> Iterator[tuple[str, Iterable[bytes]]]:
    archive.seek(0)
    unpacked = 0
    with tarfile.open(fileobj=archive, mode="r|gz") as tar:
        for number, entry in enumerate(tar):
            unpacked += max(entry.size, 0)
            if number > _MOST_ENTRIES or unpacked > _MOST_UNPACKED:
                raise Permanent(
                    Reason.SOURCE_TOO_LARGE, f"{what} unpacks to more than {_MOST_UNPACKED >> 20} MiB: leave out what no run needs"
                )
            name = inside(entry.name, what)
            if not entry.isreg() or not (folder == "." or name.startswith(f"{folder}/")):
                continue
            file = tar.extractfile(entry)
            if file is not None:
                yield name, iter(lambda file=file: file.read(_BLOCK), b"")  # type: ignore[misc]


def _cause(error: BaseException) -> str:
    reason = getattr(error, "reason", None)
    return type(reason if isinstance(reason, Exception) else error).__name__
