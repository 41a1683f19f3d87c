"""`make bench B=retrieval`: which passage answers a question, found by its words, by its meaning, and by both.

Texts: tests/bench/_documentation.py. By words: PostgreSQL's BM25, beside one in memory that shares nothing with it. By
meaning: each embedder, every vector compared. By both: their first hundred, fused as the platform does it.
"""

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID

import numpy as np

from shared.config import Settings
from shared.local.postgres import running_postgres
from shared.ports.vectors import Collections, Kept, NewVector, Vectors
from shared.stores.embedders.hashed import Hashed
from shared.stores.embedders.minilm import MiniLm
from shared.stores.embedders.static import Static
from shared.stores.embedders.tiers import Opened
from shared.stores.postgres.database import Database
from shared.stores.postgres.migrate import migrate
from shared.vectors.hybrid import fused
from shared.wiring import Ports
from tests.bench._documentation import Corpus, corpus
from tests.bench._embedded import CACHE, embedded
from tests.bench._rankings import DEPTH, Bm25, Matrix, Score, nearest
from tests.graph.places import person
from tests.report import Target, at_least, report

_PIECE = 1000
# PostgreSQL's stems and parts of words are to do no worse than plain words.
_SANE = 0.01
_COLLECTION = "passages"

Rankings = Sequence[Sequence[int]]


class Record:
    """The passages in PostgreSQL, in a collection of somebody's."""

    def __init__(self, ports: Ports, user_id: UUID) -> None:
        self.ports = ports
        self._user_id = user_id
        self._places: dict[int, int] = {}

    async def fill(self, passages: Sequence[str], vectors: Matrix) -> None:
        collections, writing = await self.ports.open(Collections), await self.ports.open(Vectors)
        await collections.create(
            self._user_id, _COLLECTION, dimension=vectors.shape[1], metric="cosine", model=None, backends=("faiss",)
        )
        rows = [
            NewVector(id=str(number), vector=vector, text=passage)
            for number, (passage, vector) in enumerate(zip(passages, vectors, strict=True))
        ]
        for start in range(0, len(rows), _PIECE):
            await writing.upsert(self._user_id, _COLLECTION, rows[start : start + _PIECE], model=None)
        await (await self.ports.open(Database)).execute("ANALYZE")

    async def kept(self) -> Kept:
        return await (await self.ports.open(Collections)).find(self._user_id, _COLLECTION)

    async def ranked(self, questions: Sequence[str]) -> tuple[Rankings, list[float]]:
        """And how long each took, in ms."""
        vectors, kept = await self.ports.open(Vectors), await self.kept()
        rankings, times = [], []
        for question in questions:
            began = time.perf_counter()
            found = await vectors.lexical(kept, question, top_k=DEPTH)
            times.append((time.perf_counter() - began) * 1000)
            rankings.append(await self._places_of(vectors, kept, [number for number, _ in found]))
        return rankings, times

    async def _places_of(self, vectors: Vectors, kept: Kept, numbers: Sequence[int]) -> list[int]:
        if new := [number for number in numbers if number not in self._places]:
            self._places |= {number: int(one.id) for number, one in (await vectors.those(kept, new)).items()}
        return [self._places[number] for number in numbers]


@asynccontextmanager
async def record() -> AsyncIterator[Record]:
    with tempfile.TemporaryDirectory(prefix="sutazai-bench-") as folder:
        home = Path(folder)
        home.chmod(0o711)
        async with running_postgres(home / "postgres", fsync=False, say=lambda _: None) as url:
            await migrate(url)
            settings = Settings.read({"SUTAZAI_HOME": folder, "SUTAZAI_POSTGRES_URL": url})
            async with Ports(settings) as ports:
                yield Record(ports, await person(await ports.open(Database)))


async def _dense(held: Corpus) -> tuple[dict[str, Rankings], Matrix]:
    """And the passages as the default model has them."""
    default = await MiniLm.load(CACHE)
    passages = await embedded(default, held.passages)
    found = {"minilm-int8": await _nearest(default, passages, held)}
    for name, model in (("static", await Static.load()), ("hash", await Hashed.load())):
        found[name] = await _nearest(model, await model.embed(held.passages), held)
    return found, passages


async def _nearest(model: Opened, passages: Matrix, held: Corpus) -> Rankings:
    try:
        return nearest(passages, await model.embed([question.text for question in held.questions], kind="query"))
    finally:
        await model.close()


def _both(dense: Rankings, lexical: Rankings) -> Rankings:
    return [[number for number, _ in fused(*each)] for each in zip(dense, lexical, strict=True)]


def _scored(held: Corpus, rankings: dict[str, Rankings]) -> dict[str, Score]:
    kinds = sorted({question.kind for question in held.questions})
    print(f"\n{'hit@10 / MRR':<24}{'all':>16}", *(f"{kind:>15}" for kind in kinds))
    scores = {}
    for name, found in rankings.items():
        scores[name] = Score.of(found, [question.passage for question in held.questions])
        shown = [scores[name]]
        for kind in kinds:
            rows = [row for row, question in enumerate(held.questions) if question.kind == kind]
            shown.append(Score.of([found[row] for row in rows], [held.questions[row].passage for row in rows]))
        print(f"{name:<24}", *(f"{score.hit_at_10:>7.3f} / {score.mrr:.3f}" for score in shown))
    return scores


def _targets(scores: dict[str, Score]) -> dict[str, Target]:
    both, dense, words, plain = (scores[name] for name in ("hybrid", "minilm-int8", "BM25", "BM25 in memory"))
    return {
        "hit@10 of both, beside the better one": at_least(both.hit_at_10, max(dense.hit_at_10, words.hit_at_10)),
        "MRR of both, beside the better one": at_least(both.mrr, max(dense.mrr, words.mrr)),
        "hit@10 of BM25, beside one in memory": at_least(words.hit_at_10, plain.hit_at_10 - _SANE),
        "MRR of BM25, beside one in memory": at_least(words.mrr, plain.mrr - _SANE),
    }


async def _measured(arguments: argparse.Namespace) -> int:
    held = corpus(arguments.passages, arguments.queries)
    texts = [question.text for question in held.questions]
    dense, vectors = await _dense(held)
    async with record() as kept:
        await kept.fill(held.passages, vectors)
        lexical, times = await kept.ranked(texts)
    print(f"by words, one at a time: p50 {np.percentile(times, 50):.1f} ms, p99 {np.percentile(times, 99):.1f} ms")
    plain = Bm25(held.passages)
    rankings: dict[str, Rankings] = {
        "BM25 in memory": [plain.ranked(text) for text in texts],
        "BM25": lexical,
        **dense,
        "hybrid": _both(dense["minilm-int8"], lexical),
        "hybrid with static": _both(dense["static"], lexical),
    }
    return report("retrieval", _targets(_scored(held, rankings)))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--passages", type=int, default=25_000)
    parser.add_argument("--queries", type=int, default=1_500, help="questions, of three kinds")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    return asyncio.run(_measured(parser.parse_args()))


if __name__ == "__main__":
    sys.exit(main())
