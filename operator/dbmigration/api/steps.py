"""The steps of a run: words of its log, its report and the metrics. No third-party import."""

from enum import StrEnum


class Step(StrEnum):
    """The steps of a run, in order."""

    SOURCE = "source"
    CONNECT = "connect"
    LOCK = "lock"
    PLAN = "plan"
    DRIFT = "drift"
    LINT = "lint"
    CHECK = "check"
    BACKUP = "backup"
    REHEARSE = "rehearse"
    APPLY = "apply"
    SEED = "seed"
    ROLLBACK = "rollback"
    VERIFY = "verify"
    RESTORE = "restore"
    SWAP = "swap"
