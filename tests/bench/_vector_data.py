"""What is searched in measurements: vectors in clusters, or those of real sentences."""

import asyncio
import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tests.vectors.faiss_data import Clustered

CACHE = Path.home() / ".cache" / "sutazai"
_PIECE = 1000
_CHARACTERS = 300
_TAG = re.compile(r"<[^>]+>")


async def of_texts(count: int, queries: int) -> Clustered:
    """What AWS says about its services. Embedded once, a thousand at a time: who interrupts it goes on from there."""
    texts = list(dict.fromkeys(_documentation()))
    np.random.default_rng(0).shuffle(texts)
    if len(texts) < count + queries:
        raise SystemExit(f"there are only {len(texts)} texts")
    vectors = np.concatenate(await _embedded(texts[: count + queries]))[: count + queries]
    held, asked = vectors[:count], vectors[count:]
    # As far as a few of them tell: each belongs to the nearest.
    centres = held[:: max(1, count // 100)]
    clusters: NDArray[np.int64] = np.concatenate(
        [(held[start : start + 4096] @ centres.T).argmax(axis=1) for start in range(0, count, 4096)]
    )
    return Clustered(held, clusters, asked)


async def _embedded(texts: list[str]) -> list[NDArray[np.float32]]:
    from shared.stores.embedders.minilm import GRAPH_SHA256, MiniLm

    folder = CACHE / f"botocore-{GRAPH_SHA256[:12]}-{_texts_version()}"
    folder.mkdir(parents=True, exist_ok=True)
    model: MiniLm | None = None
    pieces = []
    for start in range(0, len(texts), _PIECE):
        place = folder / f"{start:07d}.npy"
        if not place.exists():
            model = model or await MiniLm.load(CACHE)
            # Whole pieces, so that another count finds them too.
            vectors = await model.embed(texts[start : start + _PIECE])
            if len(vectors) == _PIECE:
                await asyncio.to_thread(np.save, place, vectors)
            print(f"embedded {start + len(vectors)} of {len(texts)}", flush=True)
            pieces.append(vectors)
        else:
            pieces.append(np.load(place, allow_pickle=False))
    if model:
        await model.close()
    return pieces


def _texts_version() -> str:
    import botocore

    return str(botocore.__version__)


def _documentation() -> Iterator[str]:
    import botocore

    for file in sorted((Path(botocore.__file__).parent / "data").glob("*/*/service-2.json.gz")):
        service = json.loads(gzip.decompress(file.read_bytes()))
        for kind in ("operations", "shapes"):
            for one in service[kind].values():
                yield from _said(one)
                for member in one.get("members", {}).values() if isinstance(one.get("members"), dict) else ():
                    yield from _said(member)


def _said(about: dict[str, str]) -> Iterator[str]:
    text = " ".join(_TAG.sub(" ", about.get("documentation", "")).split())
    if len(text) > 60:
        yield text[:_CHARACTERS]
