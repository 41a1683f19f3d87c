"""Plugins of Kong, configured."""

from collections.abc import Iterable
from typing import Any

from shared.errors import RateLimited
from shared.function import MIB
from shared.manifests.kong import lua

Plugin = dict[str, Any]

# One address may be a whole company; what each user may do is for the function to count.
_ADDRESS_SECOND, _ADDRESS_MINUTE = 100, 3000
# All callers of one tool together, at one gateway.
_TOOL_SECOND, _TOOL_MINUTE = 200, 6000
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_TAKEN = (
    *("Accept", "Authorization", "Content-Type", "Idempotency-Key", "Last-Event-ID", "Prefer", "X-API-Key"),
    *("X-Request-ID", "traceparent", "Mcp-Method", "Mcp-Name", "Mcp-Protocol-Version", "Mcp-Session-Id"),
)
_SHOWN = (
    *("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset", "Retry-After", "X-Request-ID"),
    *("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset", "Mcp-Session-Id", "WWW-Authenticate"),
)
_SECURITY = (
    "X-Content-Type-Options:nosniff",
    "X-Frame-Options:DENY",
    "Referrer-Policy:no-referrer",
    "Strict-Transport-Security:max-age=31536000; includeSubDomains",
    "Content-Security-Policy:frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
)


def plugin(name: str, **config: Any) -> Plugin:
    return {"name": name, "config": config}


def everywhere(public_url: str, origins: Iterable[str]) -> list[Plugin]:
    """Where nothing is said nearer by. `origins`: of pages that may call."""
    return [
        plugin("pre-function", rewrite=[lua.CLEAN]),
        plugin("correlation-id", header_name="X-Request-ID", generator="uuid", echo_downstream=True),
        plugin(
            "cors",
            origins=sorted(origins),
            methods=[*_METHODS],
            headers=[*_TAKEN],
            exposed_headers=[*_SHOWN],
            credentials=True,
            max_age=600,
        ),
        size(MIB),
        limited(limit_by="ip", second=_ADDRESS_SECOND, minute=_ADDRESS_MINUTE),
        headers(),
        plugin("prometheus", status_code_metrics=True, latency_metrics=True, upstream_health_metrics=True),
        plugin("post-function", header_filter=[lua.note(public_url)], body_filter=[lua.say()]),
    ]


def proven() -> Plugin:
    """The signature is looked at here. Times are for the function, which tells of an expired token when it expired,
    and whose clock gave them. A token in a query would stand in logs, in a cookie it would be sent unasked."""
    return plugin("jwt", key_claim_name="kid", header_names=["authorization"], uri_param_names=[], cookie_names=[])


def size(limit_bytes: int) -> Plugin:
    return plugin("request-size-limiting", allowed_payload_size=limit_bytes, size_unit="bytes")


def per_tool() -> Plugin:
    return limited(limit_by="header", header_name="Mcp-Name", second=_TOOL_SECOND, minute=_TOOL_MINUTE)


def limited(**config: Any) -> Plugin:
    """Kong's own headers would stand in the place of those that tell a user's rate."""
    return plugin(
        "rate-limiting",
        policy="local",
        fault_tolerant=True,
        hide_client_headers=True,
        error_code=RateLimited.status,
        **config,
    )


def headers(*more: str) -> Plugin:
    """Added where the function has not said them."""
    return plugin("response-transformer", add={"headers": [*_SECURITY, *more]})


def refused(status: int) -> Plugin:
    return plugin("request-termination", status_code=status)
