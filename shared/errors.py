"""One tree of errors; each class says its code, its status and whether a task that met it is tried again."""

import math
import time
from typing import ClassVar

Details = dict[str, object]


class SutazaiError(Exception):
    """Base of all; `message` and `details` are shown to the caller, so neither may hold a secret."""

    code: ClassVar[str] = "INTERNAL_ERROR"
    status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, **details: object) -> None:
        super().__init__(message)
        self.message = message
        self.details: Details = details


class Invalid(SutazaiError):
    code, status = "VALIDATION_ERROR", 400


class Challenged(SutazaiError):
    """Told how to get in: `resource_metadata` is the URL that describes what was asked for, `needed` its scope."""

    resource_metadata: str = ""
    needed: str = ""


class Unauthorized(Challenged):
    code, status = "UNAUTHORIZED", 401


class Forbidden(Challenged):
    code, status = "FORBIDDEN", 403


class NotFound(SutazaiError):
    code, status = "NOT_FOUND", 404


class MethodNotAllowed(SutazaiError):
    code, status = "METHOD_NOT_ALLOWED", 405


class Conflict(SutazaiError):
    code, status = "CONFLICT", 409


class TooLarge(SutazaiError):
    code, status = "PAYLOAD_TOO_LARGE", 413


class IdempotencyMismatch(SutazaiError):
    code, status = "IDEMPOTENCY_MISMATCH", 422


class RateLimited(SutazaiError):
    """Times in seconds; `reset_after` is when all of `limit` may be used again, `retry_after` when the next may."""

    code, status = "RATE_LIMIT_EXCEEDED", 429

    def __init__(
        self,
        message: str,
        *,
        limit: int = 0,
        retry_after: float = 1,
        remaining: int = 0,
        reset_after: float | None = None,
    ) -> None:
        self.limit = limit
        self.remaining = remaining
        self.retry_after = max(1, math.ceil(retry_after))
        self.reset_after = max(self.retry_after, math.ceil(reset_after or 0))
        reset_at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + self.reset_after))
        super().__init__(message, limit=limit, remaining=remaining, reset_at=reset_at, retry_after=self.retry_after)


class Unavailable(SutazaiError):
    """Something we depend on cannot be reached now; the only error for which a task or an event is retried."""

    code, status, retryable = "SERVICE_UNAVAILABLE", 503, True


class RecordAway(Unavailable):
    """It is the record: as long as it is away no task can begin or end, and none is at fault."""


class Busy(Unavailable):
    """It is there, with more to do than it gets done in time: who asks others in its place gives those as much."""

    def __init__(self, message: str, *, retry_after: float) -> None:
        super().__init__(message, retry_after=max(1, math.ceil(retry_after)))


class TimedOut(SutazaiError):
    code, status = "TIMEOUT", 504


class ToolError(SutazaiError):
    """A tool could not do what was asked; the message tells a model what to do differently."""

    code, status = "TOOL_ERROR", 400


class ConfigurationError(Exception):
    """The platform refuses to start; never shown to a caller."""
