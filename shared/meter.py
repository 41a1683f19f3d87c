"""Counts requests against the rate of whoever sends them."""

from shared.addresses import network_of
from shared.asgi import Request, quota_headers
from shared.function import Caller
from shared.ports.limits import Limits, tier_of
from shared.wiring import Ports


class Meter:
    def __init__(self) -> None:
        self._limits: Limits | None = None
        self._stranger_tier = ""

    async def open(self, ports: Ports) -> None:
        self._limits = await ports.open(Limits)
        self._stranger_tier = ports.settings.default_tier

    async def count(self, request: Request, caller: Caller | None) -> None:
        """What is left goes with the request's answer. Raises RateLimited.

        Whoever has not said who they are has the tier that a new user gets, shared by their network.
        """
        assert self._limits
        if caller is not None and tier_of(caller.tier).per_hour is None:
            return
        if caller is not None:
            quota = await self._limits.take(caller.user_id, caller.tier)
        else:
            quota = await self._limits.take(f"address-{network_of(request.address)}", self._stranger_tier)
        if quota is None:
            return
        if not quota.admitted:
            raise quota.refusal(f"no more than {quota.limit} requests an hour are answered")
        request.quota = quota_headers(quota.limit, quota.remaining, quota.reset_after_s)
