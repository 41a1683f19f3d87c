"""GET /api/v1/vectors/models: what texts can be embedded by."""

from pydantic import BaseModel

from shared.function import http
from shared.ports.vector_service import Model, VectorService


class ModelList(BaseModel):
    """`models[].name` is what requests call it, `id` what collections are pinned to."""

    models: list[Model]


@http("GET", "/api/v1/vectors/models", scope="vectors:read")
async def list_models(*, service: VectorService) -> ModelList:
    """The default one first."""
    return ModelList(models=list(await service.models()))
