"""Vectors' texts by their words, ranked by BM25. Its frequencies are each collection's own, and always exact."""

import asyncio
import zlib
from collections.abc import Sequence
from itertools import accumulate
from math import log
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from shared.ports.vectors import Kept
from shared.stores.postgres.database import Connection, Database
from shared.stores.postgres.vector_filters import condition
from shared.stores.postgres.vector_rows import at, is_at
from shared.vectors.filters import Filter
from shared.vectors.words import words

Words = NDArray[np.int32]

# What ranked best of several on descriptions of operations, whose lengths say little.
K1, B = 0.9, 0.4
# What has common words alone is ranked below what has the rare ones beside them: texts with those are compared, so many
# at first, and more where ENOUGH are not found.
ROUNDS = (500, 4000, 20_000)
ENOUGH = 20
MOST_WORDS = 32
_REMEMBERED = 100_000
# More of them are read in a thread; those of a query are read sooner than a thread takes them up.
_HERE_CHARACTERS = 2000

_STEMS = "SELECT word, ts_lexize('english_stem', word) AS stems FROM unnest($1::text[]) AS w (word)"
_WRITE = f"""
WITH given AS (
    SELECT v.number, g.words::integer[] AS words FROM unnest($4::text[], $5::text[]) AS g (vector_id, words)
    JOIN {at("vector_id", "g.vector_id", user="$2", name="$3")} AS v
        ON {is_at("vector_id", "g.vector_id", user="$2", name="$3")}
), changed AS (
    SELECT g.number, g.words, t.words AS were
    FROM given g LEFT JOIN vector_texts t ON t.collection_id = $1 AND t.number = g.number
    WHERE g.words IS DISTINCT FROM t.words
), gone AS (
    DELETE FROM vector_texts t USING changed c
    WHERE t.collection_id = $1 AND t.number = c.number AND c.words IS NULL
), written AS (
    INSERT INTO vector_texts (collection_id, number, words) SELECT $1, number, words FROM changed
    WHERE words IS NOT NULL
    ON CONFLICT (collection_id, number) DO UPDATE SET words = excluded.words
), counted AS (
    INSERT INTO vector_words AS w (collection_id, word, texts)
    SELECT $1, word, sum(more) FROM (
        SELECT DISTINCT number, unnest(words) AS word, 1 AS more FROM changed
        UNION ALL SELECT DISTINCT number, unnest(were), -1 FROM changed
    ) AS each GROUP BY word HAVING sum(more) <> 0
    ON CONFLICT (collection_id, word) DO UPDATE SET texts = w.texts + excluded.texts
)
UPDATE vector_collections c SET texts = c.texts + d.texts, words = c.words + d.words
FROM (
    SELECT count(words) - count(were) AS texts,
        coalesce(sum(coalesce(cardinality(words), 0) - coalesce(cardinality(were), 0)), 0) AS words
    FROM changed
) AS d WHERE c.id = $1"""
_FREQUENCIES = "SELECT word, texts FROM vector_words WHERE collection_id = $1 AND word = ANY ($2)"
# By its words alone: they are of one collection, and nothing else finds them as fast.
_FOUND = "SELECT collection_id, number, words FROM vector_texts WHERE words && $2"
# What does not pass takes no place among the candidates. OFFSET: still by its words alone.
_PASSING = f"""
    SELECT f.collection_id, f.number, f.words FROM ({_FOUND} OFFSET 0) AS f
    JOIN {{row}} AS v ON {{is_row}} WHERE f.collection_id = $1 AND ({{condition}})"""
_RANK = """
WITH found AS MATERIALIZED (
    {candidates} LIMIT $3
), passing AS (
    SELECT f.number, f.words, $5::float8 + $6::float8 * cardinality(f.words) AS norm FROM found f
    WHERE f.collection_id = $1
)
SELECT number, {score} AS score FROM passing ORDER BY score DESC, number LIMIT $4"""


class VectorTexts:
    """English words by their stems, which PostgreSQL knows; each word is asked for once."""

    def __init__(self, *, database: Database) -> None:
        self._database = database
        # None: it says nothing of what a text is about.
        self._stems: dict[str, str | None] = {}
        # How many texts of a collection, as it was at a seq, hold a word.
        self._frequencies: dict[tuple[UUID, int, int], int] = {}

    async def read(self, texts: Sequence[str | None]) -> list[Words | None]:
        """What `write` takes, made before its transaction begins."""
        given = [text for text in texts if text is not None]
        if not given:
            return [None] * len(texts)
        if sum(map(len, given)) <= _HERE_CHARACTERS:
            split = _split(texts)
            return _hashed(split, await self._stemmed(split))
        split = await asyncio.to_thread(_split, texts)
        return await asyncio.to_thread(_hashed, split, await self._stemmed(split))

    async def write(
        self, connection: Connection, collection: Kept, ids: Sequence[str], read: Sequence[Words | None]
    ) -> None:
        """Of all these vectors, None where one has no text now. The collection is the caller's alone."""
        if collection.texts or any(each is not None for each in read):
            place = (collection.id, collection.user_id, collection.name)
            await connection.execute(_WRITE, *place, list(ids), [_literal(each, collection) for each in read])

    async def ranked(
        self, collection: Kept, query: str, *, top_k: int, filter: Filter | None, contains: str | None
    ) -> list[tuple[int, float]]:
        (asked,) = await self.read([query])
        assert asked is not None
        wanted: list[int] = np.unique(asked ^ _salt(collection)).tolist()
        held = sorted((texts, word) for word, texts in (await self._held(collection, wanted)).items() if texts)
        if not (rarest := held[:MOST_WORDS]) or not collection.texts:
            return []
        average = collection.words / collection.texts
        counts = {_rarest([texts for texts, _ in rarest], most) for most in ROUNDS}
        if filter is not None or contains is not None:
            # Of texts with the rarer words it may be that none passes.
            counts.add(len(rarest))
        weights = [(word, log(1 + (collection.texts - texts + 0.5) / (texts + 0.5))) for texts, word in rarest]
        found: dict[int, float] = {}
        for count in sorted(counts):
            # Where there are too many candidates, those with the rarer words are among what was found before.
            found |= await self._rank(
                collection, weights, count, average, top_k=top_k, most=max(ROUNDS), filter=filter, contains=contains
            )
            if len(found) >= min(top_k, ENOUGH):
                break
        return sorted(found.items(), key=lambda one: (-one[1], one[0]))[:top_k]

    async def _rank(
        self,
        collection: Kept,
        weights: Sequence[tuple[int, float]],
        count: int,
        average: float,
        *,
        top_k: int,
        most: int,
        filter: Filter | None,
        contains: str | None,
    ) -> dict[int, float]:
        """Among the texts that hold one of the first `count` words, `most` of them."""
        wanted = [word for word, _ in weights[:count]]
        values: list[Any] = [collection.id, wanted, most, top_k, K1 * (1 - B), K1 * B / (average or 1.0)]
        score = []
        for word, weight in weights:
            place = len(values) + 1
            # tf / (tf + norm), which names the frequency once. That a word is not there is seen sooner than counted.
            times = f"cardinality(array_positions(words, ${place}::integer))"
            part = f"${place + 1}::float8 * (1 - norm / ({times} + norm))"
            score.append(f"CASE WHEN ${place}::integer = ANY (words) THEN {part} ELSE 0 END")
            values += [word, weight * (K1 + 1)]
        holds, more = condition(filter, contains=contains, first=len(values) + 1)
        values += more
        candidates = _FOUND
        if more or holds != "true":
            of = {"user": f"${len(values) + 1}", "name": f"${len(values) + 2}"}
            row, is_row = at("number", "f.number", **of), is_at("number", "f.number", **of)
            candidates = _PASSING.format(row=row, is_row=is_row, condition=holds)
            values += [collection.user_id, collection.name]
        statement = _RANK.format(candidates=candidates, score=" + ".join(score))
        return {row["number"]: row["score"] for row in await self._database.fetch(statement, *values)}

    async def _held(self, collection: Kept, wanted: Sequence[int]) -> dict[int, int]:
        """How many texts hold each of the words; of one version of a collection, a word is asked for once."""
        version = (collection.id, collection.seq)
        known = {word: self._frequencies.get((*version, word)) for word in wanted}
        if unknown := [word for word, texts in known.items() if texts is None]:
            rows = await self._database.fetch(_FREQUENCIES, collection.id, unknown)
            new = dict.fromkeys(unknown, 0) | {row["word"]: row["texts"] for row in rows}
            if len(self._frequencies) + len(new) > _REMEMBERED:
                self._frequencies.clear()
            self._frequencies |= {(*version, word): texts for word, texts in new.items()}
            known |= new
        return {word: texts or 0 for word, texts in known.items()}

    async def _stemmed(self, split: Sequence[Sequence[str] | None]) -> dict[str, str | None]:
        """What each of these words is compared by."""
        seen = {word for each in split if each for word in each}
        known = {word: self._stems[word] for word in seen if word in self._stems}
        if unknown := sorted(seen - known.keys()):
            rows = await self._database.fetch(_STEMS, unknown)
            known |= (new := {row["word"]: _stem(row["word"], row["stems"]) for row in rows})
            if len(self._stems) + len(new) > _REMEMBERED:
                self._stems.clear()
            self._stems |= new if len(new) <= _REMEMBERED else {}
        return known


def _split(texts: Sequence[str | None]) -> list[list[str] | None]:
    return [None if text is None else words(text) for text in texts]


def _stem(word: str, stems: Sequence[str] | None) -> str | None:
    """PostgreSQL gives an empty list for a stop word."""
    return word if stems is None else stems[0] if stems else None


def _hashed(split: Sequence[Sequence[str] | None], stems: dict[str, str | None]) -> list[Words | None]:
    numbers = {word: zlib.crc32(stem.encode()) for word, stem in stems.items() if stem is not None}
    return [
        None
        if each is None
        else np.array([numbers[word] for word in each if word in numbers], np.uint32).view(np.int32)
        for each in split
    ]


def _rarest(texts: Sequence[int], most: int) -> int:
    """How many of the words, the rarest first, are in so many texts together; one at least."""
    return max(1, sum(total <= most for total in accumulate(texts)))


def _salt(collection: Kept) -> np.int32:
    """Words of one collection are found without looking at those of others."""
    return np.int32(int.from_bytes(collection.id.bytes[-4:], "big", signed=True))


def _literal(read: Words | None, collection: Kept) -> str | None:
    return None if read is None else "{" + ",".join(map(str, (read ^ _salt(collection)).tolist())) + "}"
