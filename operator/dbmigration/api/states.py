"""What a migration file is to a database. No third-party import, as in `reasons`."""

from enum import StrEnum


class State(StrEnum):
    APPLIED = "Applied"
    APPLIED_UNVERIFIED = "AppliedUnverified"
    PENDING = "Pending"
    SKIPPED = "Skipped"
    FAILED = "Failed"
    ROLLED_BACK = "RolledBack"
