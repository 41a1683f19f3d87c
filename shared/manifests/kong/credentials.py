"""Who signs what Kong lets in: one consumer per issuer, one credential per key."""

import copy
from base64 import b64encode
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

from shared.errors import ConfigurationError
from shared.ports.public_keys import PublicKey

Document = dict[str, Any]

_PLACEHOLDER = "placeholder"
# What stands before the 32 bytes of an Ed25519 key in DER (RFC 8410).
_ED25519 = bytes.fromhex("302a300506032b6570032100")


def placeholder(issuer: str) -> Document:
    """A key that nobody has the other half of: its bytes are a hash, so until it is replaced nobody gets in."""
    der = b64encode(_ED25519 + sha256(b"sutazai: no key yet").digest()).decode()
    pem = f"-----BEGIN PUBLIC KEY-----\n{der}\n-----END PUBLIC KEY-----\n"
    return _consumer(issuer, [PublicKey(kid=_PLACEHOLDER, algorithm="EdDSA", pem=pem)])


def filled(document: Document, issuer: str, keys: Sequence[PublicKey]) -> Document:
    """With these keys of that issuer and no others; other issuers keep theirs. Raises ConfigurationError."""
    if not keys:
        raise ConfigurationError(f"{issuer!r} would be left without a key, and all its callers outside")
    consumers = document.get("consumers")
    if not isinstance(document.get("services"), list) or not isinstance(consumers, list):
        raise ConfigurationError("this is no file of ours for Kong: it has no services or no consumers")
    others = [consumer for consumer in consumers if consumer.get("username") != issuer]
    others = [consumer for consumer in others if not _is_placeholder(consumer)]
    taken = {secret["key"]: consumer["username"] for consumer in others for secret in consumer.get("jwt_secrets", ())}
    for key in keys:
        if key.kid in taken:
            raise ConfigurationError(f"the key {key.kid!r} belongs to {taken[key.kid]!r} already")
    made = copy.deepcopy(document)
    made["consumers"] = sorted([*others, _consumer(issuer, keys)], key=lambda consumer: str(consumer["username"]))
    return made


def _consumer(issuer: str, keys: Sequence[PublicKey]) -> Document:
    secrets = [
        {"key": key.kid, "algorithm": key.algorithm, "rsa_public_key": key.pem}
        for key in sorted(keys, key=lambda key: key.kid)
    ]
    return {"username": issuer, "jwt_secrets": secrets}


def _is_placeholder(consumer: Document) -> bool:
    return [secret.get("key") for secret in consumer.get("jwt_secrets", ())] == [_PLACEHOLDER]
