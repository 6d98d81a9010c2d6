"""`spec.source`: where the migration files are, as a person says it."""

from enum import StrEnum
from typing import Annotated, Self

from pydantic import ConfigDict, Field, model_validator

from dbmigration.api.database import CaRef
from dbmigration.api.fields import ObjectName, SpecModel, rule, rules

MAX_CONFIG_MAPS = 20

_IN_IMAGE = r"^/[^\s/$][^\s$]*$"
_IN_REPOSITORY = r"^[^\s/$][^\s$]*$"
_GIT_URL = r"^(https://|ssh://([A-Za-z0-9._-]+@)?)[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]{1,5})?/[^\s$?#'\"`\\]+$"
_REF_NAME = r"^[A-Za-z0-9_][A-Za-z0-9._/+@-]*$"
_NO_WAY_UP = rule("!self.split('/').exists(part, part == '..')", "a path has no .. in it: write where the files are")
_ONE_SOURCE = "source takes exactly one of configMaps, image, git and fluxRef"
_ONE_REF = 'ref takes exactly one of commit, tag and branch; commit is the best: ref: {commit: "…40 digits…"}'


def _stays_inside(path: str) -> None:
    if ".." in path.split("/"):
        raise ValueError(_NO_WAY_UP["message"])


Folder = Annotated[str, Field(max_length=512, pattern=_IN_REPOSITORY, json_schema_extra=rules(_NO_WAY_UP))]


class ConfigMapRef(SpecModel):
    """A ConfigMap of the resource's own namespace."""

    name: ObjectName
    """Name of the ConfigMap."""


class PullPolicy(StrEnum):
    """As in a pod."""

    ALWAYS = "Always"
    IF_NOT_PRESENT = "IfNotPresent"
    NEVER = "Never"


class ImageSource(SpecModel):
    """Files in an image that has the program cp: its container copies them for the run. spec.job.imagePullSecrets let into the registry."""

    reference: str = Field(min_length=1, max_length=1024, pattern=r"^[^\s$]+$")
    """The image, best by digest, as registry/app@sha256:... A tag that moves is only noticed when a run starts for another reason."""
    path: Annotated[str, Field(max_length=512, pattern=_IN_IMAGE, json_schema_extra=rules(_NO_WAY_UP))] = "/migrations"
    """The folder with the files."""
    pull_policy: PullPolicy | None = None
    """As in a pod: Always, IfNotPresent or Never. Default: Always for the tag latest, else IfNotPresent."""

    @model_validator(mode="after")
    def _has_no_way_up(self) -> Self:
        _stays_inside(self.path)
        return self


class GitRef(SpecModel):
    """What of the repository. A tag or a branch becomes a commit when a run starts for another reason, and stays that commit for all
    attempts of that run: to follow a branch use fluxRef."""

    model_config = ConfigDict(
        json_schema_extra=rules(rule("[has(self.commit), has(self.tag), has(self.branch)].filter(x, x).size() == 1", _ONE_REF))
    )

    commit: str | None = Field(default=None, pattern=r"^[0-9a-f]{40}$", max_length=40)
    """A commit, all 40 digits of it."""
    tag: str | None = Field(default=None, max_length=255, pattern=_REF_NAME)
    """A tag."""
    branch: str | None = Field(default=None, max_length=255, pattern=_REF_NAME)
    """A branch."""

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if sum(given is not None for given in (self.commit, self.tag, self.branch)) != 1:
            raise ValueError(_ONE_REF)
        return self


class SourceSecretRef(SpecModel):
    """A Secret of the resource's own namespace, with the keys that Flux uses.

    https: username and password (a token is a password), or bearerToken. ssh: identity (the private key) and known_hosts.
    """

    name: ObjectName
    """Name of the Secret."""


class GitSource(SpecModel):
    """Files in a git repository: the run's pod fetches one commit of it."""

    url: str = Field(max_length=1024, pattern=_GIT_URL)
    """https://HOST/PATH or ssh://USER@HOST/PATH."""
    ref: GitRef
    """Commit, tag or branch."""
    path: Folder = "migrations"
    """The folder with the files; "." for the whole repository."""
    secret_ref: SourceSecretRef | None = None
    """Who we are there. Without it, nobody: ssh needs it."""
    ca_ref: CaRef | None = None
    """The authority that signed the server's certificate. Without it, the image's own list of authorities."""

    @model_validator(mode="after")
    def _has_no_way_up(self) -> Self:
        _stays_inside(self.path)
        return self


class FluxKind(StrEnum):
    """A source of Flux that makes artifacts."""

    GIT_REPOSITORY = "GitRepository"
    OCI_REPOSITORY = "OCIRepository"
    BUCKET = "Bucket"


class FluxRef(SpecModel):
    """The newest artifact of a source of Flux: a new one starts a run."""

    kind: FluxKind
    """GitRepository, OCIRepository or Bucket, of source.toolkit.fluxcd.io/v1."""
    name: ObjectName
    """Its name."""
    namespace: ObjectName | None = None
    """Its namespace. Default: the resource's own."""
    path: Folder = "migrations"
    """The folder with the files; "." for the whole artifact."""

    @model_validator(mode="after")
    def _has_no_way_up(self) -> Self:
        _stays_inside(self.path)
        return self


class Source(SpecModel):
    """Where the migration files are."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule("[has(self.configMaps), has(self.image), has(self.git), has(self.fluxRef)].filter(x, x).size() == 1", _ONE_SOURCE),
            rule(
                "!has(self.git) || !self.git.url.startsWith('ssh://') || has(self.git.secretRef)",
                "a url of ssh needs secretRef: a Secret with the keys identity and known_hosts",
            ),
        )
    )

    config_maps: tuple[ConfigMapRef, ...] = Field(
        default=(),
        min_length=1,
        max_length=MAX_CONFIG_MAPS,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    """ConfigMaps whose keys are the files (NNN_name.sql, rollback-NNN.sql, verify-NNN.sql, dbmigration.toml). Several, for a set past
    1 MiB; together they are one folder, so no file may be in two of them."""
    image: ImageSource | None = None
    """An image that holds the files."""
    git: GitSource | None = None
    """A git repository that holds the files."""
    flux_ref: FluxRef | None = None
    """A source of Flux whose artifact holds the files."""

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if sum(map(bool, (self.config_maps, self.image, self.git, self.flux_ref))) != 1:
            raise ValueError(_ONE_SOURCE)
        return self
