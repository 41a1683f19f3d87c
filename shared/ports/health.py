"""How the parts are, as seen from here and now."""

from typing import Literal, Protocol

from pydantic import BaseModel

State = Literal["ok", "degraded", "down"]


class ServiceHealth(BaseModel):
    status: State
    detail: str = ""


class HealthReport(BaseModel):
    """`down` when the record is: everything else only degrades the whole."""

    status: State
    version: str
    services: dict[str, ServiceHealth]


class Health(Protocol):
    async def report(self) -> HealthReport:
        """The truth of the last second; never raises and never takes longer than 2 s."""
