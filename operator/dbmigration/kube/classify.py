"""What an answer of the API server means for us."""

import json
from enum import Enum


class Answer(Enum):
    """NOT_FOUND: it is gone. CONFLICT: somebody wrote first, look again. EXISTS: a create met its own name. REFUSED: quota, admission, an
    invalid object or a missing right; a person must act, though it may heal. AGAIN: overloaded, restarting or unreachable."""

    NOT_FOUND = "not found"
    CONFLICT = "conflict"
    EXISTS = "already exists"
    REFUSED = "refused"
    AGAIN = "again"


class ApiFailure(Exception):
    """The API server did not do what it was asked. `message` is its own; `retry_after` in seconds, where it named one."""

    def __init__(self, answer: Answer, message: str, *, status: int = 0, retry_after: float | None = None) -> None:
        super().__init__(f"{status} {message}" if status else message)
        self.answer = answer
        self.message = message
        self.status = status
        self.retry_after = retry_after


def classify(status: int, body: bytes, retry_after: str | None = None) -> ApiFailure:
    """The failure behind an HTTP answer of 300 or more (Kubernetes API conventions, "HTTP status codes")."""
    reason, message = _told(body)
    seconds = float(retry_after) if retry_after and retry_after.isdecimal() else None
    if status == 404 or status == 410:
        answer = Answer.NOT_FOUND
    elif status == 409:
        answer = Answer.EXISTS if reason == "AlreadyExists" else Answer.CONFLICT
    elif status in (408, 429) or status >= 500 or status == 401:
        # 401: the token is being rotated; the client reads the new one from its file.
        answer = Answer.AGAIN
    else:
        answer = Answer.REFUSED
    return ApiFailure(answer, message, status=status, retry_after=seconds)


def _told(body: bytes) -> tuple[str, str]:
    """Reason and message of a meta/v1 Status, or the beginning of whatever a proxy said."""
    try:
        found = json.loads(body)
    except ValueError:
        return "", body[:200].decode(errors="replace")
    if not isinstance(found, dict):
        return "", ""
    return str(found.get("reason", "")), str(found.get("message", ""))[:1024]
