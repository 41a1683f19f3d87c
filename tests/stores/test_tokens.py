"""Access tokens and refresh tokens; tests/security/auth.yaml holds the forged ones."""

import dataclasses
import json
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st

from shared.config import Settings
from shared.crypto import rotate_signing_key, signing_seeds
from shared.errors import Unauthorized
from shared.ports.tokens import Claims
from shared.stores import tokens as module
from shared.stores.tokens import SignedTokens

ROLES, SCOPES = frozenset({"user"}), frozenset({"tasks:read", "users:me"})


def _settings(folder: Path, **changed: Any) -> Settings:
    return Settings(home=folder, keys_dir=folder / "keys", files_dir=folder, **changed)


def _issue(tokens: SignedTokens) -> str:
    return tokens.issue(user_id=uuid4(), session_id=uuid4(), roles=ROLES, scopes=SCOPES).text


def test_what_is_issued_verifies_with_all_it_says(tmp_path: Path) -> None:
    tokens = SignedTokens(settings=_settings(tmp_path))
    user_id, session_id = uuid4(), uuid4()
    token = tokens.issue(user_id=user_id, session_id=session_id, roles=ROLES, scopes=SCOPES)
    claims = tokens.verify(token.text)
    assert (claims.user_id, claims.session_id, claims.roles, claims.scopes) == (
        user_id,
        session_id,
        ROLES,
        SCOPES,
    )
    assert token.expires_in_s == 600 and 598 <= claims.expires_at - time.time() <= 600
    assert token.text not in repr(token)


def test_another_library_verifies_it_with_the_published_keys(tmp_path: Path) -> None:
    tokens = SignedTokens(settings=_settings(tmp_path))
    token = _issue(tokens)
    keys = jwt.PyJWKSet.from_dict(json.loads(json.dumps(tokens.public_keys())))
    header = jwt.get_unverified_header(token)
    assert (header["alg"], header["typ"]) == ("EdDSA", "at+jwt")
    found = jwt.decode(
        token, keys[header["kid"]], algorithms=["EdDSA"], audience="sutazai", issuer="https://sutazai.local"
    )
    assert found["scope"] == "tasks:read users:me"


def test_published_keys_hold_no_private_part(tmp_path: Path) -> None:
    keys = SignedTokens(settings=_settings(tmp_path)).public_keys()["keys"]
    assert [set(key) for key in keys] == [{"kty", "crv", "alg", "use", "kid", "x"}]


def test_claims_cannot_be_changed_by_who_gets_them(tmp_path: Path) -> None:
    tokens = SignedTokens(settings=_settings(tmp_path))
    claims = tokens.verify(_issue(tokens))
    with pytest.raises(dataclasses.FrozenInstanceError):
        claims.expires_at = 0  # type: ignore[misc]


def test_a_remembered_token_still_expires(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = SignedTokens(settings=_settings(tmp_path))
    token = _issue(tokens)
    expires_at = tokens.verify(token).expires_at
    monkeypatch.setattr(time, "time", lambda: float(expires_at))
    with pytest.raises(Unauthorized) as refusal:
        tokens.verify(token)
    assert refusal.value.details["reason"] == "token_expired"
    assert str(refusal.value.details["expired_at"]).endswith("Z")


def test_a_token_signed_before_a_rotation_verifies_until_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_RELOAD_S", 0.0)
    tokens = SignedTokens(settings=_settings(tmp_path))
    old = _issue(tokens)
    rotate_signing_key(tmp_path / "keys")
    new = _issue(tokens)
    assert jwt.get_unverified_header(old)["kid"] != jwt.get_unverified_header(new)["kid"]
    assert [key["kid"] for key in tokens.public_keys()["keys"]] == [
        jwt.get_unverified_header(token)["kid"] for token in (new, old)
    ]
    assert isinstance(tokens.verify(old), Claims) and isinstance(tokens.verify(new), Claims)
    rotate_signing_key(tmp_path / "keys")
    with pytest.raises(Unauthorized):
        tokens.verify(old)
    assert isinstance(tokens.verify(new), Claims)


def test_two_processes_with_the_same_keys_understand_each_other(tmp_path: Path) -> None:
    one, other = (SignedTokens(settings=_settings(tmp_path)) for _ in range(2))
    assert isinstance(other.verify(_issue(one)), Claims)
    token = one.new_refresh()
    assert one.next_refresh(token) == other.next_refresh(token) != token


def test_a_token_of_another_installation_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Unauthorized):
        SignedTokens(settings=_settings(tmp_path / "a")).verify(
            _issue(SignedTokens(settings=_settings(tmp_path / "b")))
        )


def test_only_so_many_tokens_are_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_REMEMBERED", 3)
    tokens = SignedTokens(settings=_settings(tmp_path))
    for _ in range(9):
        tokens.verify(_issue(tokens))
    assert len(tokens._verified) == 3


def test_successors_differ_from_token_to_token_and_key_to_key(tmp_path: Path) -> None:
    one, other = (SignedTokens(settings=_settings(tmp_path / name)) for name in "ab")
    first, second = one.new_refresh(), one.new_refresh()
    assert len({one.next_refresh(first), one.next_refresh(second), other.next_refresh(first)}) == 3


def test_any_signed_payload_is_either_claims_or_refused(tmp_path: Path) -> None:
    tokens = SignedTokens(settings=_settings(tmp_path))
    kid = tokens.public_keys()["keys"][0]["kid"]
    key = Ed25519PrivateKey.from_private_bytes(signing_seeds(tmp_path / "keys")[0])
    signer = jwt.PyJWS()

    @limits(deadline=None, max_examples=50)
    @given(st.binary(max_size=200))
    def signed(payload: bytes) -> None:
        token = signer.encode(payload, key, algorithm="EdDSA", headers={"kid": kid, "typ": "at+jwt"})
        with pytest.raises(Unauthorized):
            tokens.verify(token)

    signed()


@pytest.fixture(scope="module")
def verifier(tmp_path_factory: pytest.TempPathFactory) -> SignedTokens:
    return SignedTokens(settings=_settings(tmp_path_factory.mktemp("verifier")))


@limits(deadline=None, max_examples=50)
@given(text=st.text(max_size=300))
def test_no_text_breaks_the_verifier(verifier: SignedTokens, text: str) -> None:
    with pytest.raises(Unauthorized):
        verifier.verify(text)
