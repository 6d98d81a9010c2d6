"""What the operator asks of one run: written by `kube/`, read by `run/`, as one JSON document in the Job's environment."""

from datetime import date, datetime

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from dbmigration.api.dumps import DumpFormat

REQUEST_VARIABLE = "DBMIGRATION_REQUEST"

# Where the Job mounts things. Both sides read these, so they stand here.
MIGRATIONS_DIR = "/run/dbmigration/migrations"
S3_SECRET_DIR = "/run/dbmigration/s3"  # noqa: S105 - a folder's name
BACKUP_SECRET_DIR = "/run/dbmigration/dump"  # noqa: S105 - a folder's name
SECRET_DIR = "/run/dbmigration/secret"  # noqa: S105 - a folder's name
REHEARSAL_SECRET_DIR = "/run/dbmigration/rehearsal"  # noqa: S105 - a folder's name
CA_DIR = "/run/dbmigration/ca"
GIT_SECRET_DIR = "/run/dbmigration/git"  # noqa: S105 - a folder's name
REHEARSAL_SERVER_DIR = "/run/dbmigration/rehearsal-server"
GIT_CA_DIR = "/run/dbmigration/git-ca"
BACKUP_DIR = "/backup"
TERMINATION_LOG = "/dev/termination-log"


class Model(BaseModel):
    """camelCase outside, snake_case inside; unknown fields are an error, so that two versions never half understand each other."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True, defer_build=True)


class ResourceRef(Model):
    """The resource a run works for. `key` in messages: namespace/name."""

    namespace: str
    name: str
    uid: str
    cluster: str = ""


class SecretKeys(Model):
    """Which keys of the mounted Secret hold what, when the user named them; None: the well-known names are tried."""

    uri: str | None = None
    host: str | None = None
    port: str | None = None
    dbname: str | None = None
    user: str | None = None
    password: str | None = None


class ExecutionRequest(Model):
    """Times in milliseconds; 0 means no limit, as in PostgreSQL."""

    lock_timeout_ms: int = 2000
    statement_timeout_ms: int = 0
    lock_retries: int = 10
    out_of_order: bool = False


class S3Request(Model):
    """The fields of `spec.backup.destination.s3`; `secret_name` None: the pod's own identity, else the Secret mounted at S3_SECRET_DIR."""

    bucket: str
    prefix: str = ""
    endpoint: str | None = None
    region: str | None = None
    encryption: str | None = None
    kms_key_id: str | None = None
    secret_name: str | None = None


class ExternalRequest(Model):
    """The fields of `spec.backup.external`."""

    provider: str
    recovery_point: str | None = None
    restore_tested_on: date | None = None
    restore_guide: str | None = None


class BackupRequest(Model):
    """`required` False: no dump is taken. `prefix` is the folder below the volume's root, `uri_base` the volume's name
    in the record's URI, like "pvc://claim". `keep_last` and `keep_days`: which older backups of the folder stay; neither: all.
    `format`, `jobs` and `compression` as in `backup.shape`. `external`: it says policy External.
    `secret_name`: pg_dump connects with the Secret mounted at BACKUP_SECRET_DIR, read with `secret_keys`; None: as the run does."""

    required: bool
    prefix: str = ""
    uri_base: str | None = None
    keep_last: int | None = None
    keep_days: int | None = None
    s3: S3Request | None = None
    format: DumpFormat = DumpFormat.CUSTOM
    jobs: int = 1
    compression: str | None = None
    external: ExternalRequest | None = None
    secret_name: str | None = None
    secret_keys: SecretKeys = Field(default_factory=SecretKeys)


class RehearsalServerRequest(Model):
    """The PostgreSQL beside the runner, which waits at REHEARSAL_SERVER_DIR to be told how to start. `image` is for messages.

    `storage`: bytes that it may fill; `parameters`: more lines of its postgresql.conf.
    """

    image: str
    storage: int
    parameters: dict[str, str] = Field(default_factory=dict)


class RehearsalRequest(Model):
    """Try the pending files in a restored copy first; how `run.options.Rehearsal` says it.

    `secret_name`: the copy is on another server, whose Secret is mounted at REHEARSAL_SECRET_DIR; `server`: on one within the pod.
    `proved_plan`: the hash of a plan that
    has been rehearsed, need not be again, and took `proved_ms` by file ("*": all files that are not named).
    """

    secret_name: str | None = None
    secret_keys: SecretKeys = Field(default_factory=SecretKeys)
    server: RehearsalServerRequest | None = None
    max_lock_ms: int | None = None
    fail_on_rewrite: bool = False
    jobs: int = 1
    proved_plan: str | None = None
    proved_ms: dict[str, int] = Field(default_factory=dict)


class RollbackRequest(Model):
    """Undo what is above `to` instead of applying. `plan_hash` None: whatever that is."""

    to: str
    plan_hash: str | None = None


class GitRequest(Model):
    """The fields of `spec.source.git`. `revision`: what an earlier run of the same key was given, and this one is given again.

    `secret_name` None: nobody; else its Secret is mounted at GIT_SECRET_DIR. `ca_key`: the file at GIT_CA_DIR.
    """

    url: str
    commit: str | None = None
    tag: str | None = None
    branch: str | None = None
    path: str
    secret_name: str | None = None
    ca_key: str | None = None
    revision: str | None = None


class ArtifactRequest(Model):
    """A tar.gz of Flux: `digest` is that of the archive, as algorithm:hex, and `source` how messages call it."""

    url: str
    digest: str
    revision: str
    path: str
    source: str


class FetchRequest(Model):
    """Files that the pod gets itself. `image`: an init container of it puts them at MIGRATIONS_DIR."""

    image: str | None = None
    git: GitRequest | None = None
    artifact: ArtifactRequest | None = None


class RunRequest(Model):
    """One run of one resource. `source_digest` is what the operator hashed: other bytes in the mount are SourceChanging.

    With `fetch` the operator has not seen the files: the digest is that of an earlier run of the same key, None in the first, and other
    bytes are SourceMoved.
    `claimed_by`: the one owner whose claim this resource takes over. `baseline`: as in `run.options`. `undo_on_failure`: spec.onFailure.
    `lint_fail_on` and `drift_policy` are values of `run.options`; None: dbmigration.toml decides. `look_only`: no run, compare the schema.
    `prepare`: plan and lint, execute nothing. `window_closes_at`: no file is begun from then on; `window_ms`: how long the longest
    window to come is. `needs_approval`: execute only a plan whose hash is one of `approved`, or what is left of it. `promoted`: execute no
    other plan than this, or what is left of it; None: any. `asked_at` and `queued_since`, for its trace: when the Job was made, and since
    when the run had waited for its turn.
    """

    resource: ResourceRef
    run_id: str
    attempt: int
    environment: str
    source_digest: str | None = None
    fetch: FetchRequest | None = None
    target: str | None = None
    rollback: RollbackRequest | None = None
    baseline: str | None = None
    undo_on_failure: bool = False
    claimed_by: str | None = None
    history_schema: str | None = None
    history_table: str | None = None
    secret_keys: SecretKeys = Field(default_factory=SecretKeys)
    tls_mode: str | None = None
    ca_key: str | None = None
    execution: ExecutionRequest = Field(default_factory=ExecutionRequest)
    backup: BackupRequest
    lint_fail_on: str | None = None
    lint_ignore: tuple[str, ...] = ()
    drift_policy: str | None = None
    reapply_rolled_back: bool = False
    look_only: bool = False
    rehearsal: RehearsalRequest | None = None
    prepare: bool = False
    window_closes_at: datetime | None = None
    window_ms: int | None = None
    needs_approval: bool = False
    approved: tuple[str, ...] = ()
    promoted: str | None = None
    asked_at: datetime | None = None
    queued_since: datetime | None = None
