"""What those who run the operator let a resource name: service accounts, images beside our own, S3 hosts. Pure.

A pattern is a text in which `*` stands for anything. An empty list allows nothing, `*` everything but a metadata address.
"""

import re
import socket
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final
from urllib.parse import urlsplit

from dbmigration.api.backup import S3Destination
from dbmigration.api.spec import Spec
from dbmigration.decide.observed import AllowLists, Runner

ANYTHING: Final = "*"
SERVICE_ACCOUNTS_SETTING: Final = "DBMIGRATION_ALLOWED_SERVICE_ACCOUNTS"
S3_SETTING: Final = "DBMIGRATION_ALLOWED_S3_HOSTS"
IMAGES_SETTING: Final = "DBMIGRATION_ALLOWED_IMAGES"
GIT_SETTING: Final = "DBMIGRATION_ALLOWED_GIT_HOSTS"

_METADATA_NAMES: Final = frozenset({"metadata", "metadata.google.internal", "instance-data", "instance-data.ec2.internal"})
_METADATA_ADDRESSES: Final = frozenset({ip_address("fd00:ec2::254"), ip_address("100.100.100.200"), ip_address("192.0.0.192")})


def not_allowed(spec: Spec, runner: Runner) -> str | None:
    """The first thing in `spec` that the operator's allow-lists do not have, as a sentence with the way out. None when all is allowed."""
    return next(_refusals(spec, runner.allowed), None)


def allows(patterns: tuple[str, ...], value: str) -> bool:
    """Whether one of the patterns is `value`, whole."""
    return any(re.fullmatch(".*".join(re.escape(part) for part in pattern.split(ANYTHING)), value, re.DOTALL) for pattern in patterns)


def allows_host(patterns: tuple[str, ...], host: str, path: str = "") -> bool:
    """Whether `host` is in a list of HOST or HOST/PATH patterns; `path` without a leading slash.

    An address where a cloud gives its machines their credentials is only allowed where a pattern has it without any `*`: to be asked for
    a bucket or a repository there is an attack.
    """
    name = host.lower().rstrip(".")
    wanted = tuple(pattern.partition("/")[0].lower() + "".join(pattern.partition("/")[1:]) for pattern in patterns)
    if _gives_credentials(name):
        wanted = tuple(pattern for pattern in wanted if ANYTHING not in pattern)
    return any(allows((pattern,), f"{name}/{path}" if "/" in pattern else name) for pattern in wanted)


def refusal(field: str, value: str, patterns: tuple[str, ...], setting: str) -> str:
    """The sentence about a `value` that is not in the allow-list of `setting`."""
    allowed = f"it allows {', '.join(patterns)}" if patterns else "it allows none"
    return f"{field} is {value}, which this operator does not allow: {allowed} ({setting})"


def _refusals(spec: Spec, allowed: AllowLists) -> Iterator[str]:
    account = spec.job.service_account_name
    if account is not None and account != "default" and not allows(allowed.service_accounts, account):
        yield refusal("spec.job.serviceAccountName", account, allowed.service_accounts, SERVICE_ACCOUNTS_SETTING)
    image = spec.source.image
    if image is not None and not allows(allowed.images, image.reference):
        yield refusal("spec.source.image.reference", image.reference, allowed.images, IMAGES_SETTING)
    server = spec.rehearsal.server if spec.rehearsal is not None else None
    if server is not None and not allows(allowed.images, server.image):
        yield refusal("spec.rehearsal.server.image", server.image, allowed.images, IMAGES_SETTING)
    s3 = spec.backup.destination.s3 if spec.backup.destination else None
    if s3 is not None and not allows_host(allowed.s3_hosts, s3_host(s3), s3.bucket):
        yield refusal("spec.backup.destination.s3", f"{s3_host(s3)}/{s3.bucket}", allowed.s3_hosts, S3_SETTING)
    git = spec.source.git
    if git is not None:
        url = urlsplit(git.url)
        if not allows_host(allowed.git_hosts, url.hostname or "", url.path.lstrip("/")):
            yield refusal("spec.source.git.url", f"{url.hostname}{url.path}", allowed.git_hosts, GIT_SETTING)


def s3_host(destination: S3Destination) -> str:
    """Whom the run will talk to, without the port."""
    if destination.endpoint is None:
        return f"s3.{destination.region}.amazonaws.com" if destination.region else "s3.amazonaws.com"
    return urlsplit(destination.endpoint).hostname or ""


def _gives_credentials(name: str) -> bool:
    if name in _METADATA_NAMES:
        return True
    address = _address(name)
    return address is not None and (address.is_link_local or address in _METADATA_ADDRESSES)


def _address(name: str) -> IPv4Address | IPv6Address | None:
    """The address that resolvers make of the name, also of its odd spellings (one number, octal, IPv4 in IPv6)."""
    try:
        found = ip_address(name.partition("%")[0])
    except ValueError:
        try:
            return IPv4Address(socket.inet_aton(name))
        except (OSError, UnicodeEncodeError, ValueError):
            return None
    return found.ipv4_mapped or found if isinstance(found, IPv6Address) else found
