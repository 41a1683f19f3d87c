"""How often a user may call one tool, as the tool declares it."""

from uuid import UUID

from shared.function import Spec
from shared.ports.limits import Limits


async def count_call(limits: Limits, spec: Spec, user_id: UUID) -> None:
    """Raises RateLimited, in words that a model can act on."""
    per_minute = spec.tool.limit_per_minute
    if per_minute is None:
        return
    quota = await limits.calls(user_id, f"{spec.agent}/{spec.tool.name}", per_minute)
    if not quota.admitted:
        error = quota.refusal(f"{spec.tool.name!r} of {spec.agent!r} takes {per_minute} calls a minute from each user")
        error.message += f"; call it again in {error.retry_after} s"
        raise error
