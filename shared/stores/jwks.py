"""Public keys of an issuer, out of a JSON Web Key Set (RFC 7517) in a file or at a URL."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePublicKey,
    EllipticCurvePublicNumbers,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from shared import base64url
from shared.errors import ConfigurationError, Invalid
from shared.ports.public_keys import PublicKey
from shared.strict_json import Json, parse

_MOST_BYTES = 64 * 1024
_MOST_KEYS = 32
_TIMEOUT_S = 10.0
# Parts of a key that only its owner may have.
_PRIVATE = ("d", "p", "q", "dp", "dq", "qi", "k")


def read_jwks(where: str) -> list[PublicKey]:
    """Those that verify signatures. Raises ConfigurationError, naming the key that is wrong."""
    raw = _fetched(where) if where.startswith(("http://", "https://")) else _read(Path(where))
    try:
        found = parse(raw)
    except Invalid as exc:
        raise ConfigurationError(f"{where!r} holds no JSON: {exc.message}") from exc
    keys = found.get("keys") if isinstance(found, dict) else None
    if not isinstance(keys, list) or not 0 < len(keys) <= _MOST_KEYS:
        raise ConfigurationError(f"{where!r} is no set of 1 to {_MOST_KEYS} keys: `keys` is what one has")
    made = [public_key(key) for key in keys if not isinstance(key, dict) or key.get("use", "sig") == "sig"]
    if doubled := [kid for kid, count in Counter(key.kid for key in made).items() if count > 1]:
        raise ConfigurationError(f"the key {doubled[0]!r} is there twice")
    if not made:
        raise ConfigurationError(f"{where!r} has no key that verifies signatures")
    return made


def public_key(key: Json) -> PublicKey:
    """Raises ConfigurationError for a key that Kong and the functions would not both take."""
    kid = key.get("kid") if isinstance(key, dict) else None
    if not isinstance(key, dict) or not isinstance(kid, str) or not kid:
        raise ConfigurationError("a key without `kid` cannot be told from others")
    if any(part in key for part in _PRIVATE):
        raise ConfigurationError(f"the key {kid!r} has its private part with it: it is known now, and has to go")
    kind = (key.get("kty"), key.get("crv"))
    if kind == ("OKP", "Ed25519"):
        algorithm, pem = "EdDSA", _ed25519_pem(_bytes(key, "x", 32))
    elif kind == ("EC", "P-256"):
        algorithm, pem = "ES256", _p256_pem(kid, _bytes(key, "x", 32), _bytes(key, "y", 32))
    else:
        raise ConfigurationError(f"the key {kid!r} is of {kind!r}: Ed25519 and P-256 are taken")
    if key.get("alg", algorithm) != algorithm:
        raise ConfigurationError(f"the key {kid!r} is for {key['alg']!r}, and keys of its kind are for {algorithm}")
    return PublicKey(kid=kid, algorithm=algorithm, pem=pem)


def _ed25519_pem(raw: bytes) -> str:
    return _pem(Ed25519PublicKey.from_public_bytes(raw))


def _p256_pem(kid: str, x: bytes, y: bytes) -> str:
    try:
        return _pem(EllipticCurvePublicNumbers(int.from_bytes(x), int.from_bytes(y), SECP256R1()).public_key())
    except ValueError as exc:
        raise ConfigurationError(f"the key {kid!r} is no point of its curve") from exc


def _pem(key: Ed25519PublicKey | EllipticCurvePublicKey) -> str:
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def _bytes(key: Mapping[str, Json], name: str, length: int) -> bytes:
    text = key.get(name)
    try:
        raw = base64url.read(text) if isinstance(text, str) else b""
    except ValueError:
        raw = b""
    if len(raw) != length:
        raise ConfigurationError(f"{name!r} of the key {key['kid']!r} is not {length} bytes of base64url: {text!r}")
    return raw


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return _bounded(file.read(_MOST_BYTES + 1), str(path))
    except OSError as exc:
        raise ConfigurationError(f"{str(path)!r} cannot be read: {exc.strerror}") from exc


def _fetched(url: str) -> bytes:
    """No redirects: an issuer's keys are where its operator said."""
    import httpx

    try:
        with httpx.stream("GET", url, timeout=_TIMEOUT_S, follow_redirects=False) as response:
            if response.status_code != 200:
                raise ConfigurationError(f"{url!r} answered {response.status_code}")
            raw = b""
            for piece in response.iter_bytes():
                raw = _bounded(raw + piece, url)
            return raw
    except (httpx.HTTPError, httpx.InvalidURL) as exc:
        raise ConfigurationError(f"{url!r} cannot be reached: {exc}") from exc


def _bounded(raw: bytes, where: str) -> bytes:
    if len(raw) > _MOST_BYTES:
        raise ConfigurationError(f"{where!r} is larger than {_MOST_BYTES} bytes")
    return raw
