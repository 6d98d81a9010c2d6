"""Every reason a resource, a report or an exit message can carry: stable names, one docs page each.

No third-party import: the path with nothing to do must not pay for pydantic.
"""

from enum import StrEnum


class Reason(StrEnum):
    """CamelCase, as the Kubernetes API conventions ask of condition reasons."""

    # It is done, or nothing stands in its way.
    UP_TO_DATE = "UpToDate"

    # On its way.
    PENDING = "Pending"
    RUNNING = "Running"
    QUEUED = "Queued"
    RESTORE_RUNNING = "RestoreRunning"
    MIGRATION_RUNNING = "MigrationRunning"

    # A DatabaseRestore did what was asked, or waits for what it needs.
    RESTORED = "Restored"
    SWAPPED = "Swapped"
    MIGRATION_NOT_SUSPENDED = "MigrationNotSuspended"
    MIGRATION_MISSING = "MigrationMissing"
    BACKUP_MISSING = "BackupMissing"

    # A person said stop.
    SUSPENDED = "Suspended"

    # Files are pending, and a person or a clock is waited for.
    PREPARED = "Prepared"
    PROMOTION_PENDING = "PromotionPending"
    APPROVAL_PENDING = "ApprovalPending"
    APPROVAL_STALE = "ApprovalStale"
    WINDOW_CLOSED = "WindowClosed"

    # Before any SQL; heals by itself or by a change that the operator cannot see (a Secret): retried for ever.
    SOURCE_MISSING = "SourceMissing"
    SOURCE_CHANGING = "SourceChanging"
    SOURCE_UNAVAILABLE = "SourceUnavailable"
    SOURCE_DENIED = "SourceDenied"
    SECRET_MISSING = "SecretMissing"  # noqa: S105 - the name of a reason
    SECRET_INVALID = "SecretInvalid"  # noqa: S105 - the name of a reason
    DATABASE_UNAVAILABLE = "DatabaseUnavailable"
    AUTHENTICATION_FAILED = "AuthenticationFailed"
    PERMISSION_DENIED = "PermissionDenied"
    POOLER_DETECTED = "PoolerDetected"
    DATABASE_READ_ONLY = "DatabaseReadOnly"
    LOCK_HELD = "LockHeld"
    BACKUP_FAILED = "BackupFailed"
    BACKUP_SPACE_LOW = "BackupSpaceLow"
    RESTORE_SPACE_LOW = "RestoreSpaceLow"
    BACKUP_DATABASE_MISMATCH = "BackupDatabaseMismatch"
    CLIENT_VERSION_MISMATCH = "ClientVersionMismatch"
    POD_NOT_STARTED = "PodNotStarted"
    IMAGE_PULL_FAILED = "ImagePullFailed"
    UNSCHEDULABLE = "Unschedulable"
    ADMISSION_DENIED = "AdmissionDenied"
    JOB_CONFLICT = "JobConflict"
    RUNNER_LOST = "RunnerLost"
    INTERRUPTED = "Interrupted"

    # SQL ran and failed in a way that another try can mend: counted against retry.limit.
    LOCK_TIMEOUT = "LockTimeout"
    CONNECTION_LOST = "ConnectionLost"
    DEADLINE_EXCEEDED = "DeadlineExceeded"
    RETRY_LIMIT_REACHED = "RetryLimitReached"

    # Refused before any SQL until spec, source or the retry annotation changes.
    SPEC_INVALID = "SpecInvalid"
    NOT_ALLOWED = "NotAllowed"
    SOURCE_INVALID = "SourceInvalid"
    SOURCE_TOO_LARGE = "SourceTooLarge"
    SOURCE_MOVED = "SourceMoved"
    DUPLICATE_NUMBER = "DuplicateNumber"
    META_COMMAND = "MetaCommand"
    DEPENDENCY_MISSING = "DependencyMissing"
    UNKNOWN_ENVIRONMENT = "UnknownEnvironment"
    ENVIRONMENT_REQUIRED = "EnvironmentRequired"
    CHECKSUM_MISMATCH = "ChecksumMismatch"
    OUT_OF_ORDER = "OutOfOrder"
    MISSING_FILES = "MissingFiles"
    TARGET_UNKNOWN = "TargetUnknown"
    TARGET_BELOW_APPLIED = "TargetBelowApplied"
    ROLLED_BACK = "RolledBack"
    ROLLBACK_MISSING = "RollbackMissing"
    PLAN_CHANGED = "PlanChanged"
    HISTORY_MOVED = "HistoryMoved"
    HISTORY_FOREIGN = "HistoryForeign"
    HISTORY_NOT_FOUND = "HistoryNotFound"
    HISTORY_DIRTY = "HistoryDirty"
    DATABASE_CLAIMED = "DatabaseClaimed"
    PARTIAL_FILE_EDITED = "PartialFileEdited"
    SCHEMA_DRIFTED = "SchemaDrifted"
    LINT_FAILED = "LintFailed"
    REHEARSAL_UNSAFE = "RehearsalUnsafe"

    # SQL ran and failed for good.
    SQL_FAILED = "SqlFailed"
    VERIFY_FAILED = "VerifyFailed"
    SEED_FAILED = "SeedFailed"
    RESTORE_FAILED = "RestoreFailed"
    SWAP_FAILED = "SwapFailed"
    REHEARSAL_FAILED = "RehearsalFailed"
    REHEARSAL_SERVER_FAILED = "RehearsalServerFailed"
    OUTCOME_UNKNOWN = "OutcomeUnknown"
    INTERNAL_ERROR = "InternalError"

    # What the BackedUp condition says.
    BACKUP_VERIFIED = "BackupVerified"
    BACKUP_SKIPPED = "BackupSkipped"
    BACKUP_DECLARED = "BackupDeclared"
    NOTHING_PENDING = "NothingPending"

    # What the SchemaInSync condition says, beside SchemaDrifted and why a look failed.
    NO_DRIFT = "NoDrift"
    SCHEMA_NOT_COMPARED = "SchemaNotCompared"

    # What the Verified condition says.
    VERIFY_PASSED = "VerifyPassed"
    NO_VERIFY_FILE = "NoVerifyFile"
