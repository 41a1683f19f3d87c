"""Keys that verify the tokens of an issuer, as gateways take them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicKey:
    """`pem` is its SubjectPublicKeyInfo, `algorithm` the one that signs with it (RFC 7518)."""

    kid: str
    algorithm: str
    pem: str
