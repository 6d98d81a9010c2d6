"""What spec.source names: ConfigMaps as one folder of files, or what only the run's pod can get."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass

from dbmigration.api.request import FetchRequest, GitRequest
from dbmigration.api.sources import GitSource
from dbmigration.api.sources import Source as SourceSpec
from dbmigration.decide.observed import FetchedSource, FoundSource, InvalidSource, MissingSource, Source
from dbmigration.kube.client import Api, JsonObject, namespaced
from dbmigration.kube.flux import read_artifact
from dbmigration.migrations.digest import CONFIG_NAME, counts, digest_bytes


@dataclass(frozen=True, slots=True)
class ConfigMapFiles:
    """A ConfigMap's files, as the pod will see them."""

    name: str
    files: Mapping[str, bytes]


def read_source(api: Api, namespace: str, spec: SourceSpec) -> Source:
    """What a resource's files are, or what its pod is to get. Raises ApiFailure."""
    if spec.image is not None:
        identity = f"image {spec.image.reference} {spec.image.path}"
        return FetchedSource(identity, FetchRequest(image=spec.image.reference))
    if spec.git is not None:
        return git_source(spec.git)
    if spec.flux_ref is not None:
        return read_artifact(api, namespace, spec.flux_ref)
    return _read_config_maps(api, namespace, tuple(reference.name for reference in spec.config_maps))


def git_source(git: GitSource) -> FetchedSource:
    """A commit is the same wherever it is got from; a tag or a branch is one of its repository."""
    ref = git.ref
    what = f"commit {ref.commit}" if ref.commit else f"{git.url} tag {ref.tag}" if ref.tag else f"{git.url} branch {ref.branch}"
    authority = git.ca_ref and (git.ca_ref.secret or git.ca_ref.config_map)
    request = GitRequest(
        url=git.url,
        commit=ref.commit,
        tag=ref.tag,
        branch=ref.branch,
        path=git.path,
        secret_name=git.secret_ref.name if git.secret_ref else None,
        ca_key=authority.key if authority else None,
    )
    return FetchedSource(f"git {what} {git.path}", FetchRequest(git=request))


def _read_config_maps(api: Api, namespace: str, names: tuple[str, ...]) -> Source:
    """Read every ConfigMap and put them together. Raises ApiFailure."""
    found = [(name, api.get_or_none(namespaced("v1", namespace, "configmaps", name))) for name in names]
    missing = tuple(name for name, config_map in found if config_map is None)
    if missing:
        named = ", ".join(missing)
        return MissingSource(
            f"ConfigMap {named} does not exist in namespace {namespace}: create it, or name another in spec.source.configMaps"
        )
    return join_files([files_of(config_map) for _, config_map in found if config_map is not None])


def files_of(config_map: JsonObject) -> ConfigMapFiles:
    text = {key: value.encode() for key, value in (config_map.get("data") or {}).items()}
    binary = {key: base64.b64decode(value) for key, value in (config_map.get("binaryData") or {}).items()}
    return ConfigMapFiles(config_map["metadata"]["name"], {**text, **binary})


def join_files(config_maps: list[ConfigMapFiles]) -> Source:
    """One folder of them all. A file in two ConfigMaps is refused: which one kubelet would mount is nobody's promise."""
    files: dict[str, bytes] = {}
    owner: dict[str, str] = {}
    for config_map in config_maps:
        for name, content in config_map.files.items():
            if not counts(name):
                continue
            if name in owner:
                return InvalidSource(f"{name} is in ConfigMap {owner[name]} and in ConfigMap {config_map.name}: leave it in one of them")
            owner[name] = config_map.name
            files[name] = content
    scripts = sum(name != CONFIG_NAME for name in files)
    if not scripts:
        names = ", ".join(config_map.name for config_map in config_maps)
        return InvalidSource(f"ConfigMap {names} holds no .sql file: its keys are to be the files, like 001_create_platform_schema.sql")
    return FoundSource(digest_bytes(files), scripts)
