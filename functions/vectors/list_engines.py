"""GET /api/v1/vectors/engines: how far each engine is behind the record, and what the last sweep found."""

from pydantic import BaseModel

from shared.function import http
from shared.ports.vector_service import VectorService
from shared.ports.vectors import Truth
from shared.vectors.lagging import EngineReport, reports


class EngineReportList(BaseModel):
    engines: list[EngineReport]


@http("GET", "/api/v1/vectors/engines", scope="vectors:operate")
async def list_engines(*, service: VectorService, truth: Truth) -> EngineReportList:
    """Over the collections of ALL users, which go by their ids; those furthest behind first."""
    return EngineReportList(engines=await reports(service, truth))
