"""`make bench B=text_search`: texts that nobody has asked for before, searched through the gateway at a steady rate.

By words and by meaning, in the whole platform on one machine, which the client shares. A request's time counts from
when it was due: one that had to wait for a connection has waited.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from shared.stores.embedders.minilm import MODEL_ID, MiniLm
from tests.bench._cpu import cpu_s, family
from tests.bench._documentation import corpus
from tests.bench._embedded import CACHE, embedded
from tests.bench._rankings import Matrix
from tests.bench._wire import Wire
from tests.report import Target, at_least, at_most, exactly, report
from tests.system.platform import Client, Platform

_IDLE_S = 1.0
_WARM = 100
_P99_MS = 100.0
# Within the 10 MiB that an upsert may have.
_AT_ONCE = 500
_COLLECTION = "passages"


async def _fill(client: Client, passages: list[str], vectors: Matrix) -> int:
    """The seq from which all of it is known."""
    created = await client.http.post("/api/v1/vectors/collections", json={"name": _COLLECTION, "model": MODEL_ID})
    assert created.status_code == 201, created.text
    seq = 0
    for start in range(0, len(passages), _AT_ONCE):
        given = [
            {"id": str(number), "text": passages[number], "vector": vectors[number].tolist()}
            for number in range(start, min(start + _AT_ONCE, len(passages)))
        ]
        body = {"collection": _COLLECTION, "model": MODEL_ID, "vectors": given}
        answer = await client.http.post("/api/v1/vectors/upsert", json=body, timeout=120)
        assert answer.status_code == 200, answer.text
        seq = answer.json()["data"]["seq"]
    return int(seq)


async def _caught_up(client: Client, seq: int) -> None:
    """The engine that is asked, and the other one, which would take its time from the searches."""
    async with asyncio.timeout(300):
        for backend in ("faiss", "qdrant"):
            body = {"collection": _COLLECTION, "query": "a bucket", "min_seq": seq, "backend": backend}
            while True:
                answer = await client.http.post("/api/v1/vectors/search", json=body)
                found = answer.json().get("data") or {}
                if found.get("backend") == backend and not found["degraded"]:
                    break
                await asyncio.sleep(0.5)


class _Load:
    """`times_ms` and what was answered, of each request."""

    def __init__(self, url: str, token: str) -> None:
        self._url = url
        self._token = token
        self._idle: list[tuple[float, Wire]] = []
        self.times_ms: list[float] = []
        self.answers: list[dict[str, Any]] = []
        self.failed = 0

    async def run(self, texts: Sequence[str], *, rate: float) -> None:
        began = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for number, text in enumerate(texts):
                due = began + number / rate
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
                group.create_task(self._search(text, due))
        while self._idle:
            self._idle.pop()[1].close()

    async def _search(self, text: str, due: float) -> None:
        body = json.dumps({"collection": _COLLECTION, "query": text}).encode()
        wire = await self._connected()
        status, answer = await wire.post("/api/v1/vectors/search", body)
        self._idle.append((time.perf_counter(), wire))
        self.times_ms.append((time.perf_counter() - due) * 1000)
        if status == 200:
            self.answers.append(answer["data"])
        else:
            self.failed += 1

    async def _connected(self) -> Wire:
        """The one that was used last, so that those which are not needed are not used when the server closes them."""
        while self._idle:
            used_at, wire = self._idle.pop()
            if time.perf_counter() - used_at < _IDLE_S:
                return wire
            wire.close()
        return await Wire.connect(self._url, self._token)


def _cpu(platform: Platform) -> dict[str, float]:
    """Seconds by role, with those of the client."""
    roles = {
        role: cpu_s({each for pid in pids for each in family(pid)})
        for role, pids in platform.pids().items()
        if role != "supervisor"
    }
    return {**roles, "client": time.process_time()}


async def _measured(arguments: argparse.Namespace) -> int:
    count = int(arguments.rate * arguments.seconds)
    held = corpus(arguments.passages, 4 * (count + _WARM))
    texts = list(dict.fromkeys(question.text for question in held.questions))
    if len(texts) < count + _WARM:
        raise SystemExit(f"there are only {len(texts)} questions of {arguments.passages} passages")
    np.random.default_rng(3).shuffle(texts)
    model = await MiniLm.load(CACHE)
    vectors = await embedded(model, held.passages)
    await model.close()
    with tempfile.TemporaryDirectory(prefix="sutazai-bench-") as folder:
        Path(folder).chmod(0o711)
        with Platform(Path(folder) / "home") as platform:
            async with Client(platform.api) as client:
                await _caught_up(client, await _fill(client, held.passages, vectors))
                await client.login()
                token = client.http.headers["authorization"].removeprefix("Bearer ")
                await _Load(platform.api, token).run(texts[:_WARM], rate=20)
                load = _Load(platform.api, token)
                used, began = _cpu(platform), time.perf_counter()
                await load.run(texts[_WARM : _WARM + count], rate=arguments.rate)
                took_s = time.perf_counter() - began
                used = {role: seconds - used[role] for role, seconds in _cpu(platform).items()}
    print("CPU of a search, ms:", *(f"{role} {seconds / count * 1000:.2f}" for role, seconds in used.items()))
    return report("text_search", _targets(load, count, took_s, arguments.rate))


def _targets(load: _Load, count: int, took_s: float, rate: float) -> dict[str, Target]:
    for name, key in (("embedding", "query_embedding_time"), ("the rest of it", "search_time")):
        times = [answer[key] for answer in load.answers]
        print(f"{name}: p50 {np.percentile(times, 50):.1f} ms, p99 {np.percentile(times, 99):.1f} ms")
    whole = sum(answer["hybrid"] and not answer["degraded"] for answer in load.answers)
    print(f"whole: p50 {np.percentile(load.times_ms, 50):.1f} ms, p95 {np.percentile(load.times_ms, 95):.1f} ms")
    return {
        "searches/s": at_least(count / took_s, 0.95 * rate),
        "p99, ms": at_most(float(np.percentile(load.times_ms, 99)), _P99_MS),
        "not answered": exactly(load.failed, 0),
        "by both words and meaning": exactly(whole, count),
        "from a cache": exactly(sum(answer["cached"] for answer in load.answers), 0),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--passages", type=int, default=25_000)
    parser.add_argument("--rate", type=float, default=100.0, help="searches a second")
    parser.add_argument("--seconds", type=float, default=30.0)
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    return asyncio.run(_measured(parser.parse_args()))


if __name__ == "__main__":
    sys.exit(main())
