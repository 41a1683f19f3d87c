"""POST /api/v1/vectors/embed: texts as vectors, which are not kept."""

from typing import Annotated
from uuid import UUID, uuid5

from pydantic import BaseModel, Field

from functions.vectors._named import AnyName, Model, Text
from shared.function import Caller, http
from shared.payload import Payload
from shared.ports.embedders import Kind
from shared.ports.vector_service import VectorService
from shared.ports.vectors import Collections
from shared.vectors.models import held, id_of

_TEXTS = UUID("6a0c2d5e-9f5b-5d1c-8a3e-2f4b7c9d1e60")


class EmbedTexts(Payload):
    """By `model`, by that of the collection, or by the default one. `kind`: some models tell questions from answers."""

    texts: Annotated[list[Text], Field(min_length=1, max_length=256)]
    model: Model | None = None
    collection: AnyName | None = None
    kind: Kind = "passage"


class Embedding(BaseModel):
    """`id` is the same for the same text and model."""

    id: UUID
    vector: list[float]
    dimension: int


class EmbeddedTexts(BaseModel):
    embeddings: list[Embedding]
    collection: str | None
    model: str


@http("POST", "/api/v1/vectors/embed", scope="vectors:read", keyed=False, timeout_s=60)
async def embed_texts(
    request: EmbedTexts, *, caller: Caller, collections: Collections, service: VectorService
) -> EmbeddedTexts:
    """In the order of the texts, each vector of length 1."""
    wanted = request.model
    if request.collection is not None:
        kept = await collections.find(caller.user_id, request.collection)
        wanted = held(kept, wanted and id_of(await service.models(), wanted))
    embedded = await service.embed(request.texts, model=wanted, kind=request.kind)
    return EmbeddedTexts(
        embeddings=[
            Embedding(id=uuid5(_TEXTS, f"{embedded.model.id}\0{text}"), vector=vector, dimension=len(vector))
            for text, vector in zip(request.texts, embedded.vectors.tolist(), strict=True)
        ],
        collection=request.collection,
        model=embedded.model.id,
    )
