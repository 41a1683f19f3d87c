"""Keys that lie in files, keyed hashes, and the codec of sealed columns."""

import hashlib
import hmac
import json
import os
import re
import secrets
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import UUID

from shared.errors import ConfigurationError

KEY_BYTES = 32
LIVE_SIGNING_KEYS = 2
_PLAIN = 0
_SIGNING = re.compile(r"signing-([0-9]{6})\.key")


class Codec:
    """Seals the value of one column in one row: a byte that names the key's version, then the value.

    Version 0 is plain. Callers already say where a value lies: a cipher will bind it to its place.
    """

    def seal(self, value: str | bytes, *, table: str, column: str, row: UUID | str) -> bytes:
        del table, column, row
        return bytes((_PLAIN,)) + (value.encode() if isinstance(value, str) else value)

    def open(self, sealed: bytes, *, table: str, column: str, row: UUID | str) -> bytes:
        """Raises ConfigurationError when the value was sealed by a key this version does not know."""
        if not sealed or sealed[0] != _PLAIN:
            version = sealed[0] if sealed else None
            raise ConfigurationError(f"{table}.{column} of {str(row)!r} has the unknown key version {version!r}")
        return sealed[1:]

    def open_text(self, sealed: bytes, *, table: str, column: str, row: UUID | str) -> str:
        return self.open(sealed, table=table, column=column, row=row).decode()

    def seal_json(self, value: object, *, table: str, column: str, row: UUID | str) -> bytes:
        text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        return self.seal(text, table=table, column=column, row=row)

    def open_json(self, sealed: bytes, *, table: str, column: str, row: UUID | str) -> Any:
        return json.loads(self.open(sealed, table=table, column=column, row=row))


def keyed_hash(key: bytes, purpose: str, *parts: bytes) -> bytes:
    """HMAC-SHA256 over `purpose` and each part with its length, so that no two uses can be confused."""
    digest = hmac.new(key, purpose.encode() + b"\0", hashlib.sha256)
    for part in parts:
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.digest()


def blind_index(key: bytes, text: str) -> bytes:
    """What equal texts share, and what tells nothing about them without the key."""
    return keyed_hash(key, "blind-index", text.encode(errors="backslashreplace"))


def same(left: bytes, right: bytes) -> bool:
    return hmac.compare_digest(left, right)


def read_key(folder: Path, name: str) -> bytes:
    """The 32 bytes of `<name>.key`, made on first use; processes that race to make it get the same."""
    path = folder / f"{name}.key"
    if not path.exists():
        _make_key(path)
    return _read(path)


def index_key(folder: Path) -> bytes:
    return read_key(folder, "index")


def refresh_key(folder: Path) -> bytes:
    return read_key(folder, "refresh")


def ui_key(folder: Path) -> bytes:
    """What the UI's server proves itself with."""
    return read_key(folder, "ui")


def mcp_key(folder: Path) -> bytes:
    """What MCP clients carry for us is signed with."""
    return read_key(folder, "mcp")


def vectors_key(folder: Path) -> bytes:
    """What requests to the vector service are signed with."""
    return read_key(folder, "vectors")


def signing_seeds(folder: Path) -> tuple[bytes, ...]:
    """The live Ed25519 seeds, newest first; the first signs, all of them verify."""
    if not _numbers(folder):
        _make_key(_signing_path(folder, 1))
    for _ in range(3):
        # A rotation may delete a key between the listing and the reading.
        with suppress(FileNotFoundError):
            numbers = _numbers(folder)[:LIVE_SIGNING_KEYS]
            return tuple(_read(_signing_path(folder, number)) for number in numbers)
    raise ConfigurationError("the signing keys change faster than they can be read")


def rotate_signing_key(folder: Path) -> None:
    """Adds a key that signs from now on; the one before it goes on verifying, older ones are deleted.

    Nobody is logged out, provided that two rotations lie further apart than an access token lives.
    """
    signing_seeds(folder)
    numbers = _numbers(folder)
    _make_key(_signing_path(folder, numbers[0] + 1))
    for number in numbers[LIVE_SIGNING_KEYS - 1 :]:
        _signing_path(folder, number).unlink(missing_ok=True)


def _numbers(folder: Path) -> list[int]:
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return []
    return sorted((int(found[1]) for name in names if (found := _SIGNING.fullmatch(name))), reverse=True)


def _signing_path(folder: Path, number: int) -> Path:
    return folder / f"signing-{number:06d}.key"


def _read(path: Path) -> bytes:
    try:
        key = path.read_bytes()
    except PermissionError as exc:
        raise ConfigurationError(f"the key {path.name!r} in SUTAZAI_KEYS_DIR may not be read by this user") from exc
    if len(key) != KEY_BYTES:
        raise ConfigurationError(f"key file {path.name!r} holds {len(key)} bytes instead of {KEY_BYTES}")
    return key


def _make_key(path: Path) -> None:
    """Written whole under another name, then linked: nobody sees half a key, the second to link loses.

    Raises ConfigurationError where keys are brought by the operator, and this one is not among them.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(prefix=".new-", dir=path.parent)
    except OSError as exc:
        raise ConfigurationError(f"the key {path.name!r} is not in SUTAZAI_KEYS_DIR and cannot be made there") from exc
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(temporary, path)
        except FileExistsError:
            return
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    finally:
        os.unlink(temporary)
