"""all-MiniLM-L6-v2 in this process: its tokenizer, and the graph that was built from its weights."""

import asyncio
import hashlib
import os
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from shared.batch import Batcher
from shared.errors import ConfigurationError, Unavailable
from shared.ports.embedders import Kind
from shared.stores.embedders import package

if TYPE_CHECKING:
    from onnxruntime import InferenceSession
    from tokenizers import Tokenizer

MODEL_ID: Final = "minilm-int8"
DIMENSION: Final = 384
# As sentence-transformers has it: what comes after so many tokens of a text is not looked at.
MOST_TOKENS: Final = 256
# Its tokens are 5 characters long on average. Whatever else a text holds would only keep the tokenizer busy.
MOST_CHARACTERS: Final = 8192
GRAPH_SHA256: Final = "a81d24e9a9b108e18dbaa87c4aaa322fb8732768f187bbcd5b69ffed427a489a"
# Tokens at once, padding included: more of them are no faster, and take memory.
_TOKENS_AT_ONCE: Final = 2048
_TEXTS_AT_ONCE: Final = 64
# A batch costs as much as so many tokens beside those in it, padding included.
_TOKENS_OF_A_BATCH: Final = 3


class MiniLm:
    """Texts that come while others are run make up the next batch.

    Queries have batches and a thread of their own: who searches does not wait for those who bring a thousand passages.
    The runtime lets go of Python's lock.
    """

    model_id = MODEL_ID
    dimension = DIMENSION

    def __init__(self, tokenizer: "Tokenizer", session: "InferenceSession") -> None:
        self._tokenizer = tokenizer
        self._session = session
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="minilm")
        self._batches: dict[Kind, Batcher[str, NDArray[np.float32]]] = {
            "query": Batcher(self._embedded, size=_TEXTS_AT_ONCE),
            "passage": Batcher(self._embedded, size=_TEXTS_AT_ONCE),
        }
        self._is_closing = False

    @classmethod
    async def load(cls, folder: Path) -> "MiniLm":
        """Builds the graph into `folder` where it is not there yet, which takes a second.

        Raises ConfigurationError where the model's package is missing, or holds another model.
        """
        return cls(*await asyncio.to_thread(_load, folder))

    async def embed(self, texts: Sequence[str], *, kind: Kind = "passage") -> NDArray[np.float32]:
        """A query and a passage of the same words have the same vector. A text without words has one too."""
        if not texts:
            return np.empty((0, DIMENSION), np.float32)
        return np.stack(await asyncio.gather(*map(self._batches[kind].submit, texts)))

    async def close(self) -> None:
        """What nobody has begun with is not run any more."""
        self._is_closing = True
        await asyncio.gather(*(batches.close() for batches in self._batches.values()))
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _embedded(self, texts: Sequence[str]) -> list[NDArray[np.float32] | Exception]:
        if self._is_closing:
            raise Unavailable(f"the embedder {MODEL_ID!r} is being closed")
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._run, texts)

    def _run(self, texts: Sequence[str]) -> list[NDArray[np.float32] | Exception]:
        tokens = [
            encoded.ids for encoded in self._tokenizer.encode_batch_fast([text[:MOST_CHARACTERS] for text in texts])
        ]
        vectors = np.empty((len(texts), DIMENSION), np.float32)
        for rows in _alike([len(ids) for ids in tokens]):
            vectors[rows] = self._infer([tokens[row] for row in rows])
        return list(vectors)

    def _infer(self, tokens: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        lengths = np.array([len(ids) for ids in tokens])
        mask = (np.arange(lengths.max()) < lengths[:, None]).astype(np.int64)
        ids = np.zeros_like(mask)
        ids[mask == 1] = np.concatenate(tokens)
        (vectors,) = self._session.run(["vectors"], {"ids": ids, "mask": mask})
        return np.asarray(vectors, np.float32)


def _alike(lengths: Sequence[int]) -> list[list[int]]:
    """Rows that are run together: of about one length, so that padding never costs more than another run would."""
    groups: list[list[int]] = []
    longest = 0
    for row in sorted(range(len(lengths)), key=lengths.__getitem__):
        together = len(groups[-1]) if groups else 0
        is_padded = together * (lengths[row] - longest) > _TOKENS_OF_A_BATCH
        if not groups or is_padded or (together + 1) * lengths[row] > _TOKENS_AT_ONCE:
            groups.append([])
        groups[-1].append(row)
        longest = lengths[row]
    return groups


def _load(folder: Path) -> "tuple[Tokenizer, InferenceSession]":
    import onnxruntime

    tokenizer = package.tokenizer()
    tokenizer.enable_truncation(MOST_TOKENS)
    options = onnxruntime.SessionOptions()
    # Several texts at once are several requests: more threads for one would only take them from others.
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(_graph(folder), options, providers=["CPUExecutionProvider"])
    return tokenizer, session


def _graph(folder: Path) -> bytes:
    """From the folder, if it is whole; else built, and put there if that can be written to."""
    place = folder / f"{MODEL_ID}-{GRAPH_SHA256[:12]}.onnx"
    try:
        written = place.read_bytes()
        if hashlib.sha256(written).hexdigest() == GRAPH_SHA256:
            return written
    except FileNotFoundError:
        pass
    written = _built()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, delete=False) as staged:
            staged.write(written)
        os.replace(staged.name, place)
    except OSError:
        # Whoever may not keep it builds it at each start.
        pass
    return written


def _built() -> bytes:
    from shared.stores.embedders.minilm_graph import build

    written = build(package.weights())
    if hashlib.sha256(written).hexdigest() != GRAPH_SHA256:
        raise ConfigurationError(f"the installed onnx builds another graph of {MODEL_ID} than the one that was tested")
    return written
