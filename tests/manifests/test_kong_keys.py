"""An issuer's public keys in Kong's file: what the platform publishes lets its callers in, and nothing else does."""

import asyncio
import json
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from uuid import UUID

import jwt
import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key
from jwt.algorithms import ECAlgorithm

from functions.auth.get_jwks import get_jwks
from shared.config import Settings
from shared.crypto import rotate_signing_key
from shared.errors import ConfigurationError
from shared.manifests.files import ROOT
from shared.manifests.kong.fill import fill
from shared.manifests.kong.places import ISSUER
from shared.stores.tokens import SignedTokens
from tests.manifests.kong_schemas import errors

KEY = {
    "kty": "OKP",
    "crv": "Ed25519",
    "alg": "EdDSA",
    "use": "sig",
    "kid": "one",
    "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    copied = tmp_path / "kong.yaml"
    copied.write_text((ROOT / "knative/kong/kong.yaml").read_text())
    copied.chmod(0o640)
    return copied


def _published(tokens: SignedTokens, at: Path) -> str:
    keys = asyncio.run(get_jwks(tokens=tokens))
    at.write_text(json.dumps(keys, default=lambda model: model.model_dump()))
    return str(at)


def _consumers(file: Path) -> dict[str, dict[str, Any]]:
    document = yaml.safe_load(file.read_text())
    return {each["username"]: {key["key"]: key for key in each["jwt_secrets"]} for each in document["consumers"]}


def test_a_token_of_ours_is_verified_by_what_was_filled_in_across_rotations(file: Path, tmp_path: Path) -> None:
    settings = Settings.read({"SUTAZAI_HOME": str(tmp_path)})
    before = _issued(SignedTokens(settings=settings))
    rotate_signing_key(settings.keys_dir)
    tokens = SignedTokens(settings=settings)
    after = _issued(tokens)
    fill(file, issuer=ISSUER, jwks=_published(tokens, tmp_path / "jwks.json"))
    credentials = _consumers(file)[ISSUER]
    assert len(credentials) == 2
    for token in (before, after):
        credential = credentials[jwt.get_unverified_header(token)["kid"]]
        key = load_pem_public_key(credential["rsa_public_key"].encode())
        assert jwt.decode(token, key, algorithms=[credential["algorithm"]], audience="sutazai")["iss"] == ISSUER  # type: ignore[arg-type]
    assert errors(yaml.safe_load(file.read_text())) == []


def _issued(tokens: SignedTokens) -> str:
    nobody = UUID(int=0)
    return tokens.issue(user_id=nobody, session_id=nobody, roles=frozenset(), scopes=frozenset()).text


def test_a_key_that_is_withdrawn_is_withdrawn_here_too(file: Path, tmp_path: Path) -> None:
    settings = Settings.read({"SUTAZAI_HOME": str(tmp_path)})
    where = tmp_path / "jwks.json"
    kids = []
    for _ in range(3):
        fill(file, issuer=ISSUER, jwks=_published(SignedTokens(settings=settings), where))
        kids.append(set(_consumers(file)[ISSUER]))
        rotate_signing_key(settings.keys_dir)
    assert [len(each) for each in kids] == [1, 2, 2]
    assert not kids[0] & kids[2]


def test_filling_twice_changes_nothing_and_only_credentials_are_changed_at_all(file: Path, tmp_path: Path) -> None:
    before = yaml.safe_load(file.read_text())
    where = tmp_path / "jwks.json"
    where.write_text(json.dumps({"keys": [KEY]}))
    assert "lets in" in fill(file, issuer=ISSUER, jwks=str(where))
    once, written_at = file.read_text(), file.stat().st_mtime_ns
    assert "already" in fill(file, issuer=ISSUER, jwks=str(where))
    assert (file.read_text(), file.stat().st_mtime_ns) == (once, written_at)
    after = yaml.safe_load(once)
    assert {**after, "consumers": None} == {**before, "consumers": None}
    assert once.startswith("# Generated")
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert sorted(path.name for path in tmp_path.iterdir()) == ["jwks.json", "kong.yaml"]


def test_the_placeholder_is_a_key_that_loads_and_goes_with_the_first_real_one(file: Path, tmp_path: Path) -> None:
    (placeholder,) = _consumers(file)[ISSUER].values()
    assert placeholder["key"] == "placeholder"
    load_pem_public_key(placeholder["rsa_public_key"].encode())
    where = tmp_path / "jwks.json"
    where.write_text(json.dumps({"keys": [KEY]}))
    fill(file, issuer="https://elsewhere.example", jwks=str(where))
    assert list(_consumers(file)) == ["https://elsewhere.example"]


def test_each_issuer_is_a_consumer_and_keeps_its_own_keys(file: Path, tmp_path: Path) -> None:
    where = tmp_path / "jwks.json"
    where.write_text(json.dumps({"keys": [KEY]}))
    fill(file, issuer=ISSUER, jwks=str(where))
    curve = generate_private_key(SECP256R1()).public_key()
    theirs = {**json.loads(ECAlgorithm.to_jwk(curve)), "kid": "two", "use": "sig"}
    where.write_text(json.dumps({"keys": [theirs, {"kid": "three", "use": "enc", "kty": "RSA"}]}))
    fill(file, issuer="https://login.example", jwks=str(where))
    consumers = _consumers(file)
    assert {issuer: list(keys) for issuer, keys in consumers.items()} == {
        ISSUER: ["one"],
        "https://login.example": ["two"],
    }
    assert consumers["https://login.example"]["two"] == {
        "key": "two",
        "algorithm": "ES256",
        "rsa_public_key": curve.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode(),
    }
    assert errors(yaml.safe_load(file.read_text())) == []


def test_a_kid_of_another_issuer_is_refused(file: Path, tmp_path: Path) -> None:
    where = tmp_path / "jwks.json"
    where.write_text(json.dumps({"keys": [KEY]}))
    fill(file, issuer=ISSUER, jwks=str(where))
    before = file.read_text()
    with pytest.raises(ConfigurationError, match=f"'one' belongs to '{ISSUER}' already"):
        fill(file, issuer="https://login.example", jwks=str(where))
    assert file.read_text() == before


@pytest.mark.parametrize(
    "text, said",
    [
        ("", "no JSON"),
        ("[]", "no set of 1 to 32 keys"),
        ('{"keys": []}', "no set of 1 to 32 keys"),
        ('{"keys": {}}', "no set of 1 to 32 keys"),
        (json.dumps({"keys": [KEY] * 33}), "no set of 1 to 32 keys"),
        (json.dumps({"keys": ["one"]}), "without `kid`"),
        (json.dumps({"keys": [{**KEY, "kid": ""}]}), "without `kid`"),
        (json.dumps({"keys": [{**KEY, "kid": 7}]}), "without `kid`"),
        (json.dumps({"keys": [KEY, KEY]}), "'one' is there twice"),
        (json.dumps({"keys": [{**KEY, "use": "enc"}]}), "no key that verifies"),
        (json.dumps({"keys": [{**KEY, "d": "secret"}]}), "private part"),
        (json.dumps({"keys": [{**KEY, "x": "AAAA"}]}), "'x' of the key 'one' is not 32 bytes"),
        (json.dumps({"keys": [{**KEY, "x": KEY["x"] + "*"}]}), "'x' of the key 'one' is not 32 bytes"),
        (json.dumps({"keys": [{**KEY, "x": None}]}), "'x' of the key 'one' is not 32 bytes"),
        (json.dumps({"keys": [{**KEY, "alg": "ES256"}]}), "for 'ES256'"),
        (json.dumps({"keys": [{**KEY, "kty": "RSA", "crv": None}]}), "Ed25519 and P-256 are taken"),
        (json.dumps({"keys": [{**KEY, "kty": "EC", "crv": "P-256", "alg": "ES256", "y": KEY["x"]}]}), "no point"),
        ('{"keys": [], "keys": []}', "no JSON"),
        (" " * 70_000, "larger than 65536 bytes"),
    ],
)
def test_a_set_that_cannot_be_right_is_refused_and_the_file_stays(
    file: Path, tmp_path: Path, text: str, said: str
) -> None:
    where = tmp_path / "jwks.json"
    where.write_text(text)
    before = file.read_text()
    with pytest.raises(ConfigurationError, match=said):
        fill(file, issuer=ISSUER, jwks=str(where))
    assert file.read_text() == before


@pytest.mark.parametrize("text", ["", "[", "- a", "services: 1", "{}"])
def test_a_file_that_is_none_for_kong_is_refused_and_stays(tmp_path: Path, text: str) -> None:
    file, where = tmp_path / "kong.yaml", tmp_path / "jwks.json"
    file.write_text(text)
    where.write_text(json.dumps({"keys": [KEY]}))
    with pytest.raises(ConfigurationError):
        fill(file, issuer=ISSUER, jwks=str(where))
    assert file.read_text() == text


@contextmanager
def _answering(status: int, body: bytes, location: str = "") -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            if location:
                self.send_header("Location", location)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/.well-known/jwks.json"
        finally:
            server.shutdown()
            thread.join()


def test_the_command_takes_a_url(file: Path) -> None:
    with _answering(200, json.dumps({"keys": [KEY]}).encode()) as url:
        done = _command("--jwks", url, "--file", str(file))
    assert (done.returncode, done.stderr) == (0, "")
    assert list(_consumers(file)[ISSUER]) == ["one"]


@pytest.mark.parametrize("status, said", [(404, "answered 404"), (302, "answered 302")])
def test_the_command_says_what_is_wrong_with_a_url(file: Path, status: int, said: str) -> None:
    with _answering(status, b"", "http://127.0.0.1:1/") as url:
        done = _command("--jwks", url, "--file", str(file))
    assert done.returncode != 0
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_the_command_says_which_file_is_missing(file: Path, tmp_path: Path) -> None:
    done = _command("--jwks", str(tmp_path / "nowhere.json"), "--file", str(file))
    assert done.returncode != 0
    assert "nowhere.json" in done.stderr
    assert "Traceback" not in done.stderr


def _command(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "functions", "kong", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
