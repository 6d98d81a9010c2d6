"""An S3 bucket, or what speaks its language: objects written while they are made, read back, listed and removed.

Everything the store says against it becomes one error with the store's own code and words; keys and signatures never do.
"""

import queue
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, cast

from dbmigration.api.reasons import Reason
from dbmigration.backup.stream import StopRequest, raise_if_stopped
from dbmigration.errors import Transient

if TYPE_CHECKING:
    from obstore.store import S3Config

SCHEME: Final = "s3://"

PART_BYTES: Final = 16 << 20
"""A part of an upload; two are on their way at once. Together with what is queued, this is the memory that an upload takes."""
_MOST_PARTS: Final = 9_000
"""S3 takes 10,000 parts."""
_READ_BYTES: Final = 16 << 20
_QUEUED: Final = 8
_CONCURRENT: Final = 2
_LOOK_EVERY_S: Final = 0.1
_MESSAGE_LIMIT: Final = 300

_CODE: Final = re.compile(r"<Code>([^<]*)</Code>(?:\s*<Message>([^<]*)</Message>)?")
_HINTS: Final[Mapping[str, str]] = {
    "NoSuchBucket": "make the bucket, or correct its name",
    "AccessDenied": "the key may not do this: it needs s3:PutObject, s3:GetObject, s3:DeleteObject and s3:ListBucket there",
    "SignatureDoesNotMatch": "correct the secret key",
    "InvalidAccessKeyId": "correct the access key id",
    "XAdminUserNotFound": "correct the access key id",
    "ExpiredToken": "the session's token is over",
    "XMinioStorageFull": "make room in the store",
    "QuotaExceeded": "make room in the store",
}


@dataclass(frozen=True, slots=True)
class Bucket:
    """Where backups go. `endpoint` None: Amazon's own. `secrets` are what names the caller (never shown); empty: the environment does.

    `encryption`: None (the bucket's default), "AES256" or "aws:kms", the latter with `kms_key` or the account's default one.
    """

    name: str
    prefix: str = ""
    endpoint: str | None = None
    region: str | None = None
    encryption: str | None = None
    kms_key: str | None = None
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def from_uri(cls, uri: str) -> "Bucket":
        """`s3://bucket/prefix`; the rest from AWS_* variables. Raises ValueError."""
        name, _, prefix = uri.removeprefix(SCHEME).partition("/")
        if not uri.startswith(SCHEME) or not name:
            raise ValueError(f"{uri!r} is not s3://BUCKET or s3://BUCKET/PREFIX")
        return cls(name, prefix.strip("/"))

    def below(self, folder: str) -> "Bucket":
        return self if folder in ("", ".") else replace(self, prefix=self.key(folder))

    def key(self, name: str) -> str:
        return f"{self.prefix}/{name}" if self.prefix else name

    def uri(self, name: str) -> str:
        return f"{SCHEME}{self.name}/{self.key(name)}"


class Objects:
    """The objects of a bucket. Methods raise Transient BACKUP_FAILED with the store's words, and INTERRUPTED where they take a `stop`."""

    def __init__(self, bucket: Bucket) -> None:
        from obstore.store import S3Store

        self.bucket = bucket
        config: dict[str, Any] = {name: value for name, value in bucket.secrets.items() if value}
        if bucket.region:
            config["region"] = bucket.region
        if bucket.endpoint:
            # What is not Amazon's seldom has a host name for each bucket.
            config |= {"endpoint": bucket.endpoint, "virtual_hosted_style_request": False}
        if bucket.encryption:
            config["aws_server_side_encryption"] = bucket.encryption
        if bucket.kms_key:
            config["aws_sse_kms_key_id"] = bucket.kms_key
        with _told(bucket.uri("")):
            self._store = S3Store(
                bucket.name,
                config=cast("S3Config", config),
                client_options={
                    "connect_timeout": timedelta(seconds=10),
                    "timeout": timedelta(seconds=120),
                    "allow_http": (bucket.endpoint or "").startswith("http://"),
                },
                retry_config={"max_retries": 4, "retry_timeout": timedelta(seconds=90)},
            )

    def read(self, key: str, sink: Callable[[memoryview], None], stop: StopRequest | None = None) -> None:
        """The whole object, piece by piece, each in a request of its own: a time limit is one of a piece, whatever the object's size."""
        import obstore

        where = f"{SCHEME}{self.bucket.name}/{key}"
        with _told(where):
            size = obstore.head(self._store, key)["size"]
        for start in range(0, size, _READ_BYTES):
            if stop is not None:
                raise_if_stopped(stop)
            with _told(where):
                piece = memoryview(obstore.get_range(self._store, key, start=start, end=min(start + _READ_BYTES, size)))
            sink(piece)

    def size(self, key: str) -> int | None:
        """How many bytes the object has; None where there is none."""
        import obstore
        from obstore.exceptions import NotFoundError

        with _told(f"{SCHEME}{self.bucket.name}/{key}"):
            try:
                return int(obstore.head(self._store, key)["size"])
            except (FileNotFoundError, NotFoundError):
                return None

    def write(self, key: str, content: bytes) -> None:
        import obstore

        with _told(f"{SCHEME}{self.bucket.name}/{key}"):
            obstore.put(self._store, key, content, use_multipart=False)

    def remove(self, *keys: str) -> None:
        """Keys that are not there are no error."""
        import obstore

        with _told(f"{SCHEME}{self.bucket.name}/{keys[0] if keys else ''}"):
            obstore.delete(self._store, list(keys))

    def sizes(self) -> dict[str, int]:
        """Every key below the bucket's prefix and how many bytes it has."""
        import obstore

        prefix = f"{self.bucket.prefix}/" if self.bucket.prefix else None
        with _told(self.bucket.uri("")):
            return {found["path"]: found["size"] for page in obstore.list(self._store, prefix) for found in page}

    @contextmanager
    def upload(self, key: str, *, expected_bytes: int = 0, stop: StopRequest) -> Iterator["Upload"]:
        """An object in the making: it is there when the block ends, whole; when the block raises, the store keeps nothing of it.

        `expected_bytes`: a guess, which decides how big the parts are: 9,000 of them have to do.
        """
        import obstore

        part = max(PART_BYTES, -(-expected_bytes // _MOST_PARTS))

        def put(pieces: Iterator[bytes]) -> None:
            obstore.put(self._store, key, pieces, use_multipart=True, chunk_size=part, max_concurrency=_CONCURRENT)

        upload = Upload(put, stop)
        try:
            yield upload
            upload.finish()
        except BaseException:
            failed = upload.error
            upload.abort()
            if failed is not None:
                raise _failure(failed, f"{SCHEME}{self.bucket.name}/{key}") from None
            raise


class _Aborted(Exception):
    """Ends an upload from inside its own stream of pieces: the store's client then tells the store to forget the parts."""


class Upload:
    """`write` takes what comes; a thread of its own sends it on, so that the writer waits only when the store is slower."""

    def __init__(self, put: Callable[[Iterator[bytes]], None], stop: StopRequest) -> None:
        self.error: BaseException | None = None
        self._put = put
        self._stop = stop
        self._queue: queue.Queue[bytes | None] = queue.Queue(_QUEUED)
        self._aborted = False
        self._thread = threading.Thread(target=self._run, name="upload", daemon=True)
        self._thread.start()

    def write(self, piece: memoryview) -> None:
        """Raises what ended the upload, and Transient INTERRUPTED."""
        self._give(bytes(piece))

    def finish(self) -> None:
        """Wait until the store has the whole object. Raises as `write`."""
        self._give(None)
        while self._thread.is_alive():
            raise_if_stopped(self._stop)
            self._thread.join(_LOOK_EVERY_S)
        if self.error is not None:
            raise self.error

    def abort(self) -> None:
        self._aborted = True
        self._thread.join()

    def _give(self, piece: bytes | None) -> None:
        while True:
            raise_if_stopped(self._stop)
            if self.error is not None:
                raise self.error
            try:
                self._queue.put(piece, timeout=_LOOK_EVERY_S)
            except queue.Full:
                continue
            return

    def _run(self) -> None:
        try:
            self._put(self._pieces())
        except BaseException as error:  # noqa: BLE001 - handed over to the thread that writes
            self.error = error

    def _pieces(self) -> Iterator[bytes]:
        while True:
            if self._aborted:
                raise _Aborted
            try:
                piece = self._queue.get(timeout=_LOOK_EVERY_S)
            except queue.Empty:
                continue
            if piece is None:
                return
            yield piece


@contextmanager
def _told(where: str) -> Iterator[None]:
    from obstore.exceptions import BaseError

    try:
        yield
    except (BaseError, FileNotFoundError, ValueError) as error:
        raise _failure(error, where) from None


def _failure(error: BaseException, where: str) -> Transient:
    """The store's own code and message where it sent them; else the first words of the client, without what it tried to send."""
    text = str(error)
    if found := _CODE.search(text):
        code, message = found[1], (found[2] or "").strip()
        said = f"{code}: {message}" if message else code
        hint = f"; {_HINTS[code]}" if code in _HINTS else ""
        return Transient(Reason.BACKUP_FAILED, f"{where}: the store says {said[:_MESSAGE_LIMIT].rstrip('.')}{hint}.")
    said = text.partition("\n")[0][:_MESSAGE_LIMIT]
    return Transient(Reason.BACKUP_FAILED, f"{where} cannot be reached or used: {said}")


def read_secrets(values: Mapping[str, str]) -> dict[str, str]:
    """Who the caller is, from a Secret's keys or from variables, by the names that AWS's own tools have. Empty: the environment says it."""
    names = {
        "access_key_id": ("AWS_ACCESS_KEY_ID", "accessKeyID", "access_key"),
        "secret_access_key": ("AWS_SECRET_ACCESS_KEY", "secretAccessKey", "secret_key"),
        "session_token": ("AWS_SESSION_TOKEN", "sessionToken"),
    }
    return {what: values[name] for what, keys in names.items() for name in keys if values.get(name)}
