"""Puts an issuer's keys into a file for Kong, where it lies."""

import os
import tempfile
from pathlib import Path

import yaml

from shared.errors import ConfigurationError
from shared.manifests.kong.credentials import filled
from shared.manifests.written import dumped
from shared.stores.jwks import read_jwks


def fill(file: Path, *, issuer: str, jwks: str) -> str:
    """Returns what was done, for the operator. The file is whole at any moment. Raises ConfigurationError."""
    keys = read_jwks(jwks)
    text = _text(file)
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as exc:
        raise ConfigurationError(f"{str(file)!r} is no YAML: {str(exc).partition(chr(10))[0]}") from exc
    if not isinstance(document, dict):
        raise ConfigurationError(f"{str(file)!r} is no file for Kong")
    made = _comments(text) + dumped([filled(document, issuer, keys)])
    kids = ", ".join(sorted(key.kid for key in keys))
    if made == text:
        return f"{file} has them already: {kids}"
    _replace(file, made)
    return f"{file} lets in what {issuer} signs with {kids}"


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
