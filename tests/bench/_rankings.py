"""Rankings of passages in memory: the nearest vectors, and BM25 as its papers have it, to hold others to."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import log

import numpy as np
from numpy.typing import NDArray

DEPTH = 100
_WORD = re.compile(r"[a-z0-9]+")
_K1, _B = 1.2, 0.75

Matrix = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Score:
    """Of one way to rank: the share of questions whose passage is among the first ten, and the mean of 1 / its place
    among the first hundred."""

    hit_at_10: float
    mrr: float

    @classmethod
    def of(cls, rankings: Sequence[Sequence[int]], right: Sequence[int]) -> "Score":
        places = [
            list(found[:DEPTH]).index(one) + 1 if one in found[:DEPTH] else 0
            for found, one in zip(rankings, right, strict=True)
        ]
        hits = sum(0 < place <= 10 for place in places)
        return cls(hits / len(places), sum(1 / place for place in places if place) / len(places))


def nearest(passages: Matrix, questions: Matrix) -> list[list[int]]:
    found: list[list[int]] = []
    for start in range(0, len(questions), 256):
        scores = questions[start : start + 256] @ passages.T
        best = np.argpartition(-scores, DEPTH, axis=1)[:, :DEPTH]
        order = np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1, kind="stable")
        found += np.take_along_axis(best, order, axis=1).tolist()
    return found


class Bm25:
    """Robertson and Zaragoza 2009, over words in lower case: no stems, no stop words, no parts of names."""

    def __init__(self, passages: Sequence[str]) -> None:
        self._postings: dict[str, list[tuple[int, int]]] = {}
        lengths = np.zeros(len(passages))
        for number, passage in enumerate(passages):
            words = _WORD.findall(passage.lower())
            lengths[number] = len(words)
            for word, times in Counter(words).items():
                self._postings.setdefault(word, []).append((number, times))
        self._norms = _K1 * (1 - _B + _B * lengths / lengths.mean())

    def ranked(self, question: str) -> list[int]:
        scores = np.zeros(len(self._norms))
        for word in set(_WORD.findall(question.lower())):
            if postings := self._postings.get(word):
                numbers, times = np.array(postings).T
                weight = log(1 + (len(scores) - len(postings) + 0.5) / (len(postings) + 0.5))
                scores[numbers] += weight * times * (_K1 + 1) / (times + self._norms[numbers])
        best = np.argsort(-scores, kind="stable")[:DEPTH]
        return [int(number) for number in best if scores[number] > 0]
