"""Names that the resource, its Jobs and its tools agree on. No third-party import."""

GROUP = "dbmigration.dev"
VERSION = "v1alpha1"
KIND = "DatabaseMigration"
PLURAL = "databasemigrations"
SHORT_NAME = "dbm"
API_VERSION = f"{GROUP}/{VERSION}"

APPROVAL_KIND = "MigrationApproval"
APPROVAL_PLURAL = "migrationapprovals"

RESTORE_KIND = "DatabaseRestore"
RESTORE_PLURAL = "databaserestores"
RESTORE_SHORT_NAME = "dbr"

MANAGED_BY_LABEL = "app.kubernetes.io/managed-by"
MANAGED_BY = "dbmigration-operator"

UID_LABEL = f"{GROUP}/uid"
"""On Jobs and pods: uid of the resource, so that one list call finds them (a name may be longer than a label)."""
RESOURCE_ANNOTATION = f"{GROUP}/resource"
"""On Jobs and pods: name of the resource."""
RUN_KEY_ANNOTATION = f"{GROUP}/run-key"
SPEC_HASH_ANNOTATION = f"{GROUP}/spec-hash"
POD_HASH_ANNOTATION = f"{GROUP}/pod-hash"
"""On Jobs: hash of everything that decides whether and where the pod can start."""
ATTEMPT_ANNOTATION = f"{GROUP}/attempt"
SERVER_ANNOTATION = f"{GROUP}/server"
"""On Jobs: system identifier of the server, where it is known."""
RETRY_VALUE_ANNOTATION = f"{GROUP}/retry-value"
"""On Jobs: value of the retry annotation that the run was started with."""

BACKUP_SECRET = "backup.secretRef"  # noqa: S105 - the name of a field
"""How a message says that it is about the dump's own connection."""
REHEARSAL_SERVER = "rehearsal.secretRef"
"""How a message says that it is about the other server, not about the database's."""

RETRY_ANNOTATION = f"{GROUP}/retry"
"""On the resource: any new value starts a new run after a permanent failure, and lifts RolledBack."""

CHECK_DRIFT_ANNOTATION = f"{GROUP}/check-drift"
"""On the resource: any new value asks for a look at the schema now."""
PURPOSE_ANNOTATION = f"{GROUP}/purpose"
"""On Jobs: `look` where it is no run, but a look at the schema."""
LOOK = "look"

RESTORE_UID_LABEL = f"{GROUP}/restore-uid"
"""On Jobs and pods of a DatabaseRestore: its uid. UID_LABEL has there that of the DatabaseMigration, whose list of Jobs so shows them."""
RESTORE_ANNOTATION = f"{GROUP}/restore"
"""On Jobs and pods of a DatabaseRestore: its name. PURPOSE_ANNOTATION has there the step, `restore` or `swap`."""

BACKUP_ANNOTATION = f"{GROUP}/backup"
"""On Jobs that restore a backup: its URI."""

RUNNER_CONTAINER = "runner"
SOURCE_CONTAINER = "source"
"""In a run's pod, before the runner: the image that holds the files."""
SERVER_CONTAINER = "rehearsal-server"
"""In a run's pod, beside the runner: the PostgreSQL that the rehearsal is on. Its volume has the same name."""
