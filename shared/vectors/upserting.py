"""Vectors that their owner brings, and texts that the collection's model embeds, into the record."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from shared.errors import Conflict, Invalid, NotFound
from shared.ports.vector_engine import Metadata, Scalar
from shared.ports.vector_service import Model, VectorService
from shared.ports.vectors import Collections, Kept, NewVector, Vectors, Written
from shared.vectors.filters import RESERVED
from shared.vectors.models import find_model, id_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# From here on engines, which compare floats, no longer tell all whole numbers apart.
_WHOLE = 2**53
_AT_ONCE = 256
METADATA_BYTES = 16 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """Without a vector, the text's is embedded."""

    id: str
    vector: Sequence[float] | None = None
    text: str | None = None
    metadata: Metadata


class Upserting:
    """For one user."""

    def __init__(self, user_id: UUID, *, collections: Collections, vectors: Vectors, service: VectorService) -> None:
        self._user_id = user_id
        self._collections = collections
        self._vectors = vectors
        self._service = service

    async def upsert(self, name: str, given: Sequence[Given], *, model: str | None) -> tuple[Kept, Written]:
        """`model`: what the vectors that are brought are of, by its name or its id.

        Raises NotFound, Invalid, Unavailable, and Conflict for vectors of another model than the collection's. A
        collection that nothing was ever written to takes on the model that its first texts are embedded by.
        """
        for one in given:
            if one.id in (".", ".."):
                raise Invalid(f"a vector cannot be called {one.id!r}: no path would lead to it")
            check_metadata(one.metadata, of=one.id)
        collection = await self._collections.find(self._user_id, name)
        texts = [one.text for one in given if one.vector is None and one.text is not None]
        pinned = await self._model(collection, model, embeds=bool(texts), brings=len(texts) < len(given))
        if pinned is not None and collection.model is None:
            await self._collections.pin(collection, pinned)
        embedded = await self._embedded(texts, pinned)
        new = [_new(one, collection, embedded) for one in given]
        written = await self._vectors.upsert(
            self._user_id, collection.name, new, model=pinned, collection_id=collection.id
        )
        return collection, written

    async def _model(self, collection: Kept, asked: str | None, *, embeds: bool, brings: bool) -> str | None:
        """The id of the one that all of them are of."""
        named = asked
        if asked is not None and asked != collection.model:
            named = id_of(await self._service.models(), asked)
        if collection.model is None and collection.seq == 0 and (embeds or named):
            if brings and named is None:
                raise Conflict("vectors and texts can only come together where the vectors' model is named")
            return _fitting(find_model(await self._service.models(), named), collection).id if embeds else named
        if collection.model is None and embeds:
            raise Conflict(f"{collection.name!r} holds vectors of its owner's own, and embeds no texts")
        if (brings or asked is not None) and named != collection.model:
            raise _another(collection, asked)
        return collection.model

    async def _embedded(self, texts: Sequence[str], model: str | None) -> "Mapping[str, NDArray[np.float32]]":
        wanted = list(dict.fromkeys(texts))
        found: dict[str, NDArray[np.float32]] = {}
        for start in range(0, len(wanted), _AT_ONCE):
            part = wanted[start : start + _AT_ONCE]
            try:
                embedded = await self._service.embed(part, model=model)
            except NotFound as exc:
                raise Conflict(exc.message, model=model) from None
            found.update(zip(part, embedded.vectors, strict=True))
        return found


def _another(collection: Kept, asked: str | None) -> Conflict:
    holds = f"vectors of {collection.model!r}" if collection.model else "vectors of its owner's own"
    said = "of these no model is named" if asked is None else f"these are of {asked!r}"
    return Conflict(f"{collection.name!r} holds {holds}, and {said}", model=collection.model)


def _fitting(model: Model, collection: Kept) -> Model:
    if model.dimension != collection.dimension:
        raise Conflict(
            f"{model.name!r} gives {model.dimension} numbers, and {collection.name!r} takes {collection.dimension}"
        )
    return model


def _new(one: Given, collection: Kept, embedded: "Mapping[str, NDArray[np.float32]]") -> NewVector:
    # What takes part of a request to write vectors is where numpy is opened anyway, but not where functions start.
    from shared.vectors.numbers import comparable

    if one.vector is not None:
        vector = comparable(one.vector, collection, what=f"the vector {one.id!r}")
    else:
        assert one.text is not None
        vector = embedded[one.text]
    return NewVector(id=one.id, vector=vector, metadata=one.metadata, text=one.text)


def check_metadata(metadata: Metadata, *, of: str) -> None:
    """Raises Invalid for what filters could not ask for, engines would not tell apart, or is too much."""
    if reserved := RESERVED & metadata.keys():
        raise Invalid(f"metadata of {of!r} has the key {min(reserved)!r}, which means something in filters")
    if len(json.dumps(dict(metadata), ensure_ascii=False).encode()) > METADATA_BYTES:
        raise Invalid(f"metadata of {of!r} is longer than {METADATA_BYTES} bytes")
    for key, held in metadata.items():
        for value in [held] if isinstance(held, str | int | float) else held:
            if _is_large(value):
                raise Invalid(f"metadata of {of!r}: {key!r} is beyond 2^53, where numbers are not told apart")


def _is_large(value: Scalar) -> bool:
    return not isinstance(value, str) and abs(value) > _WHOLE
