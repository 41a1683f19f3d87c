"""The suite of engines finds engines that are wrong, each of them where it is."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from shared.ports.vector_engine import Hits, Metadata, Point, Space, VectorEngine, Wanted
from shared.vectors.filters import Not
from tests.contract import vector_engines
from tests.vectors.oracle import Oracle


class TiesAsTheyCome(Oracle):
    """The last of equals first."""

    async def search(self, space: Space, wanted: Wanted) -> Hits:
        found = await super().search(space, replace(wanted, top_k=1000))
        of = [sorted(hits, key=lambda hit: (-hit.score, -hit.number))[: wanted.top_k] for hits in found.of]
        return replace(found, of=of)


class ForgetsDeletions(Oracle):
    async def apply(self, space: Space, points: Sequence[Point], *, upto_seq: int) -> None:
        await super().apply(space, points, upto_seq=upto_seq)
        held = self.spaces_held[space.name]
        held.seqs = {number: seq for number, seq in held.seqs.items() if number in held.points}


class TakesWhatComesLast(Oracle):
    async def apply(self, space: Space, points: Sequence[Point], *, upto_seq: int) -> None:
        if space.name in self.spaces_held:
            self.spaces_held[space.name].seqs.clear()
        await super().apply(space, points, upto_seq=upto_seq)


class TellsTrueFromOneByNothing(Oracle):
    async def apply(self, space: Space, points: Sequence[Point], *, upto_seq: int) -> None:
        plain = [replace(point, metadata=_plain(point.metadata)) for point in points]
        await super().apply(space, plain, upto_seq=upto_seq)


def _plain(metadata: Metadata) -> Metadata:
    return {key: int(held) if isinstance(held, bool) else held for key, held in metadata.items()}


class FiltersAfterwards(Oracle):
    """Of the best only, as engines do that know no filters."""

    async def search(self, space: Space, wanted: Wanted) -> Hits:
        best = await super().search(space, replace(wanted, filter=None))
        passing = await super().search(space, replace(wanted, top_k=1000))
        numbers = {hit.number for hits in passing.of for hit in hits}
        return replace(best, of=[[hit for hit in hits if hit.number in numbers] for hits in best.of])


class MissingIsNoAnswer(Oracle):
    """As in SQL: what a point does not have is neither so nor not so."""

    async def search(self, space: Space, wanted: Wanted) -> Hits:
        held = self.spaces_held.get(space.name)
        match wanted.filter:
            case Not(of) if held is not None and (key := getattr(of, "key", None)):
                absent = {number: point for number, point in held.points.items() if key not in point.metadata}
                for number in absent:
                    del held.points[number]
                try:
                    return await super().search(space, wanted)
                finally:
                    held.points.update(absent)
        return await super().search(space, wanted)


class HurriesAhead(Oracle):
    """Says that it is as far before it is."""

    async def apply(self, space: Space, points: Sequence[Point], *, upto_seq: int) -> None:
        await super().apply(space, (), upto_seq=upto_seq)
        await asyncio.sleep(0)
        await super().apply(space, points, upto_seq=upto_seq)


class DigestsNumbersAlone(Oracle):
    async def digest(self, space: Space) -> Sequence[int]:
        held = self._held(space)
        versions = dict(held.points)
        try:
            held.points = {number: replace(point, seq=0) for number, point in versions.items()}
            return await super().digest(space)
        finally:
            held.points = versions


class Mixes(Oracle):
    """One space for all epochs of a collection."""

    def _held(self, space: Space) -> Any:
        return super()._held(replace(space, epoch=0))


class Engines:
    def __init__(self, make: Callable[[], Oracle]) -> None:
        self._make = make
        self._engine = make()

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[VectorEngine]:
        yield self._engine

    @asynccontextmanager
    async def away(self) -> AsyncIterator[VectorEngine]:
        engine = self._make()
        engine.is_down = True
        yield engine


class Forgetful(Engines):
    """What is opened again is empty."""

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[VectorEngine]:
        yield self._make()


def _failing(engines: Callable[[], Engines]) -> set[str]:
    found: set[str] = set()
    for name, test in vars(vector_engines).items():
        if name.startswith("test_") and "thousands" not in name and "large_batch" not in name:
            for arguments in _cases(test):
                try:
                    test(engines(), **arguments)
                except (Exception, pytest.fail.Exception):
                    found.add(name)
                    break
    return found


def _cases(test: Any) -> Iterator[Mapping[str, Any]]:
    marks = [mark for mark in getattr(test, "pytestmark", ()) if mark.name == "parametrize"]
    if not marks:
        yield {}
        return
    (mark,) = marks
    names = [name.strip() for name in mark.args[0].split(",")]
    for values in mark.args[1]:
        yield dict(zip(names, values if len(names) > 1 else [values], strict=True))


@pytest.mark.parametrize(
    "wrong, caught",
    [
        (TiesAsTheyCome, "test_equal_scores_come_by_number"),
        (ForgetsDeletions, "test_an_older_point_does_not_bring_back_what_is_deleted"),
        (TakesWhatComesLast, "test_an_older_point_changes_nothing"),
        (TellsTrueFromOneByNothing, "test_what_passes_a_filter_is_what_passes_it_in_the_tree"),
        (FiltersAfterwards, "test_a_part_of_the_text_and_a_filter_are_both_asked_for"),
        (MissingIsNoAnswer, "test_what_passes_a_filter_is_what_passes_it_in_the_tree"),
        (HurriesAhead, "test_what_is_applied_is_there_when_its_seq_is"),
        (DigestsNumbersAlone, "test_a_digest_is_the_xor_of_the_fingerprints_in_each_bucket"),
        (Mixes, "test_two_epochs_of_a_collection_stand_beside_each_other"),
    ],
)
def test_an_engine_that_is_wrong_is_caught(wrong: type[Oracle], caught: str) -> None:
    assert caught in _failing(lambda: Engines(wrong))


def test_an_engine_that_forgets_is_caught() -> None:
    assert "test_a_restart_keeps_everything" in _failing(lambda: Forgetful(Oracle))


def test_an_engine_that_is_right_is_not() -> None:
    assert _failing(lambda: Engines(Oracle)) == set()
