"""POST /api/v1/vectors/upsert: vectors, or texts to be embedded, into a collection."""

from typing import Annotated

from pydantic import BaseModel, Field, model_validator

from functions.vectors._named import AnyName, Model, NewId, Number, Numbers, Text
from shared.function import MIB, Caller, http
from shared.payload import Payload
from shared.ports.vector_service import VectorService
from shared.ports.vectors import Collections, Vectors
from shared.vectors.upserting import Given, Upserting

_String = Annotated[str, Field(max_length=8192)]
_Scalar = bool | int | Number | _String
_Key = Annotated[str, Field(min_length=1, max_length=100)]


class UpsertedVector(Payload):
    """Of a text without a vector the collection's model makes one."""

    id: NewId
    vector: Numbers | None = None
    text: Text | None = None
    metadata: dict[_Key, _Scalar | list[_Scalar]] = Field(default={}, max_length=100)

    @model_validator(mode="after")
    def _has_content(self) -> "UpsertedVector":
        if self.vector is None and self.text is None:
            raise ValueError("neither a vector nor a text is given")
        return self


class UpsertVectors(Payload):
    """`model`: what the vectors that are given are of; it has to be the collection's."""

    collection: AnyName
    vectors: Annotated[list[UpsertedVector], Field(min_length=1, max_length=1000)]
    model: Model | None = None


class Upserted(BaseModel):
    """`changed` leaves out what was so already. With `seq` as its `min_seq` a search knows of all of them."""

    upserted: int
    changed: int
    collection: str
    seq: int


@http("POST", "/api/v1/vectors/upsert", scope="vectors:write", timeout_s=120, body_limit_bytes=10 * MIB)
async def upsert_vectors(
    request: UpsertVectors, *, caller: Caller, collections: Collections, vectors: Vectors, service: VectorService
) -> Upserted:
    """All or nothing. What is there under an id is replaced, with its text and metadata."""
    upserting = Upserting(caller.user_id, collections=collections, vectors=vectors, service=service)
    given = [Given(id=one.id, vector=one.vector, text=one.text, metadata=one.metadata) for one in request.vectors]
    kept, written = await upserting.upsert(request.collection, given, model=request.model)
    return Upserted(upserted=len(given), changed=written.changed, collection=kept.name, seq=written.seq)
