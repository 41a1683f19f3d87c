"""Puts what only its operator knows into a file for Kong, where it lies: an issuer's keys, and where callers are."""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from shared.errors import ConfigurationError
from shared.manifests.kong.credentials import filled
from shared.manifests.kong.origins import addressed
from shared.manifests.written import dumped
from shared.stores.jwks import read_jwks


def fill(
    file: Path, *, issuer: str, jwks: str | None = None, origin: str | None = None, pages: Sequence[str] = ()
) -> str:
    """Returns what was done, for the operator. The file is whole at any moment. Raises ConfigurationError.

    What is None stays. `pages`: origins of pages that may call, beside none but `origin` itself where there are none.
    """
    keys = None if jwks is None else read_jwks(jwks)
    if keys is None and origin is None:
        raise ConfigurationError("there is nothing to fill in: neither keys (--jwks) nor an origin (--origin)")
    if pages and origin is None:
        raise ConfigurationError("pages may call an origin (--origin), and none is given")
    text = _text(file)
    document = _document(file, text)
    said = []
    if keys is not None:
        document = filled(document, issuer, keys)
        said.append(f"lets in what {issuer} signs with {', '.join(sorted(key.kid for key in keys))}")
    if origin is not None:
        document = addressed(document, origin, pages)
        said.append(f"is reached at {origin}")
    made = _comments(text) + dumped([document])
    if made == text:
        return f"{file} {' and '.join(said)} already"
    _replace(file, made)
    return f"{file} {' and '.join(said)}"


def _document(file: Path, text: str) -> dict[str, Any]:
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as exc:
        raise ConfigurationError(f"{str(file)!r} is no YAML: {str(exc).partition(chr(10))[0]}") from exc
    if not isinstance(document, dict):
        raise ConfigurationError(f"{str(file)!r} is no file for Kong")
    return document


def _text(file: Path) -> str:
    try:
        return file.read_text()
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigurationError(f"{str(file)!r} cannot be read: {exc}") from exc


def _comments(text: str) -> str:
    """Those at its top."""
    lines = text.splitlines(keepends=True)
    first = next((at for at, line in enumerate(lines) if not line.startswith("#")), 0)
    return "".join(lines[:first])


def _replace(file: Path, text: str) -> None:
    with tempfile.NamedTemporaryFile("w", dir=file.parent, prefix=f".{file.name}.", delete=False) as new:
        new.write(text)
    try:
        Path(new.name).chmod(file.stat().st_mode & 0o777)
        os.replace(new.name, file)
    except BaseException:
        Path(new.name).unlink(missing_ok=True)
        raise
