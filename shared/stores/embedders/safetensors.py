"""Weights from a safetensors file: a header of JSON, then the tensors as they are. Nothing in it can be run."""

import json
import math
import struct
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_LONGEST_HEADER: Final = 1 << 20


def read_f32(path: Path) -> dict[str, NDArray[np.float32]]:
    """All tensors of 32-bit floats, mapped into memory. Raises ValueError for a file that is none."""
    whole = np.memmap(path, dtype=np.uint8, mode="r")
    if len(whole) < 8:
        raise ValueError("no safetensors file: it is too short")
    (size,) = struct.unpack("<Q", whole[:8].tobytes())
    if size > _LONGEST_HEADER or 8 + size > len(whole):
        raise ValueError("no safetensors file: its header does not fit")
    header: dict[str, Any] = json.loads(whole[8 : 8 + size].tobytes())
    body = whole[8 + size :]
    return {name: _tensor(body, name, said) for name, said in header.items() if said.get("dtype") == "F32"}


def _tensor(body: NDArray[np.uint8], name: str, said: dict[str, Any]) -> NDArray[np.float32]:
    start, end = said["data_offsets"]
    shape = tuple(said["shape"])
    if not 0 <= start <= end <= len(body) or end - start != 4 * math.prod(shape):
        raise ValueError(f"no safetensors file: {name!r} lies outside of it")
    return body[start:end].view("<f4").reshape(shape)
