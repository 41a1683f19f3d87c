"""What a trace writes and asks, at random, and what it knows of each collection."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from shared.ports.vector_engine import Metadata, Metric, Point, Scalar, Space, Wanted
from shared.ports.vectors import Kept, NewVector
from shared.strict_json import Json
from shared.vectors.applying import space_of
from shared.vectors.filters import parse

METRICS: tuple[Metric, ...] = ("cosine", "dot", "l2")
DIMENSION = 3
KEYS = ("a", "b", "ключ")
VALUES: tuple[Scalar, ...] = (0, 1, 1.0, 0.5, -3, True, False, "1", "true", "", "猫")
WORDS = ("vector", "Vector", "50%", "a_b", "猫")
FALSE = ("removed", "added", "newer")
AXES = np.eye(DIMENSION, dtype=np.float32)


@dataclass
class Book:
    """One collection, as it has to be. `rows`: also of the deleted, whose vector is None."""

    kept: Kept
    seq: int = 0
    last_number: int = -1
    rows: dict[str, Point] = field(default_factory=dict)

    @property
    def space(self) -> Space:
        return space_of(self.kept, 0)

    def upserted(self, given: Sequence[NewVector]) -> list[Point]:
        """What changes by that, as the record has to number it."""
        points = []
        for new in given:
            if not _differs(self.rows.get(new.id), new):
                continue
            self.seq += 1
            if new.id not in self.rows:
                self.last_number += 1
            self.rows[new.id] = Point(
                number=self.rows[new.id].number if new.id in self.rows else self.last_number,
                vector_id=new.id,
                seq=self.seq,
                vector=new.vector,
                metadata=new.metadata,
                text=new.text,
            )
            points.append(self.rows[new.id])
        return points

    def deleted(self, ids: Sequence[str]) -> list[Point]:
        rows = [self.rows[one] for one in ids if one in self.rows and self.rows[one].vector is not None]
        gone = []
        for row in sorted(rows, key=lambda one: one.number):
            self.seq += 1
            gone.append(Point(number=row.number, vector_id=row.vector_id, seq=self.seq, vector=None))
            self.rows[row.vector_id] = gone[-1]
        return gone


class Chance:
    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)

    def wanted(self, book: Book) -> tuple[dict[str, Json] | None, Wanted]:
        """The filters as callers word them, and all of it as engines are asked."""
        filters = self.filters(2) if self.dice.random() < 0.5 else None
        return filters, Wanted(
            queries=self.vector(book)[None],
            top_k=self.dice.choice((1, 3, 10, 100)),
            filter=parse(filters),
            contains=self.dice.choice(WORDS)[:3] if self.dice.random() < 0.15 else None,
        )

    def new(self, book: Book, id: str) -> NewVector:
        old = book.rows.get(id)
        if old is not None and old.vector is not None and self.dice.random() < 0.15:
            return NewVector(id=id, vector=old.vector, metadata=old.metadata, text=old.text)
        return NewVector(
            id=id,
            vector=self.vector(book),
            metadata=self.metadata(),
            text=" ".join(self.dice.choices(WORDS, k=3)) if self.dice.random() < 0.7 else None,
        )

    def vector(self, book: Book) -> NDArray[np.float32]:
        """Of small whole numbers, whose scores every engine computes to the last bit."""
        if book.kept.metric == "cosine":
            vector: NDArray[np.float32] = self.dice.choice((1, -1)) * AXES[self.dice.randrange(DIMENSION)]
            return vector
        return np.array([self.dice.randint(-3, 3) for _ in range(DIMENSION)], np.float32)

    def metadata(self) -> Metadata:
        return {
            key: self.dice.choices(VALUES, k=self.dice.randint(0, 3))
            if self.dice.random() < 0.3
            else self.dice.choice(VALUES)
            for key in KEYS
            if self.dice.random() < 0.5
        }

    def filters(self, depth: int) -> dict[str, Json]:
        key, value = self.dice.choice((*KEYS, "none")), self.dice.choice(VALUES)
        bounds: dict[str, Json] = {"gte": self.dice.choice((-1, 0, 0.5)), "lt": self.dice.choice((1, 2, 1.5))}
        values: list[Json] = list(self.dice.choices(VALUES, k=self.dice.randint(0, 3)))
        match self.dice.randrange(6 + 3 * (depth > 0)):
            case 0:
                return {key: value, self.dice.choice(KEYS): self.dice.choice(VALUES)}
            case 1:
                return {key: values}
            case 2:
                return {"in": {key: values}}
            case 3:
                return {key: {**bounds, "exists": True}}
            case 4:
                return {"range": {key: bounds}}
            case 5:
                return {key: {"exists": self.dice.random() < 0.5}}
            case 6:
                return {"not": self.filters(depth - 1)}
            case 7:
                return {"and": [self.filters(depth - 1), self.filters(depth - 1)]}
        return {"or": [self.filters(depth - 1), self.filters(depth - 1)], **self.filters(depth - 1)}


def _differs(old: Point | None, new: NewVector) -> bool:
    if old is None or old.vector is None:
        return True
    before, after = (repr((sorted(one.metadata.items()), one.text)) for one in (old, new))
    return before != after or old.vector.tobytes() != new.vector.tobytes()


def falsified(kind: str, live: list[Point], last: int, seq: int) -> Point:
    vector = np.ones(DIMENSION, np.float32)
    if kind == "added" or not live:
        return Point(number=last + 1000, vector_id="never", seq=seq, vector=vector)
    one = live[len(live) // 2]
    if kind == "removed":
        return Point(number=one.number, vector_id=one.vector_id, seq=one.seq, vector=None)
    return Point(number=one.number, vector_id=one.vector_id, seq=seq + 1000, vector=vector)
