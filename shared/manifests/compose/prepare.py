"""Passwords, keys and Kong's file for the composition, in one folder; what is there already stays."""

import secrets
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from shared.catalog import all_functions
from shared.crypto import KEY_BYTES
from shared.errors import ConfigurationError
from shared.function import Spec
from shared.manifests.compose.document import document
from shared.manifests.kong import document as kong
from shared.manifests.kong.credentials import filled
from shared.manifests.kong.places import COMPOSE, ISSUER
from shared.manifests.written import dumped
from shared.stores.jwks import public_key
from shared.stores.signing_keys import SigningKeys

_STORES = ("postgres", "redis", "rabbitmq", "neo4j", "qdrant", "chroma")
# Out of each store's password: what the store is told, and what those who use it are.
_MADE: Mapping[str, tuple[str, str]] = {
    "postgres-url": ("postgres", "postgresql://sutazai:{}@postgres:5432/sutazai"),
    "redis-conf": ("redis", "requirepass {}\n"),
    "redis-url": ("redis", "redis://:{}@redis:6379/0"),
    "rabbitmq-conf": ("rabbitmq", "default_user = sutazai\ndefault_pass = {}\n"),
    "rabbitmq-url": ("rabbitmq", "amqp://sutazai:{}@rabbitmq:5672/"),
    "neo4j-auth": ("neo4j", "neo4j/{}"),
    "neo4j-url": ("neo4j", "bolt://neo4j:{}@neo4j:7687"),
    "qdrant-conf": ("qdrant", "service:\n  api_key: {}\n"),
    "qdrant-url": ("qdrant", "http://:{}@qdrant:6333"),
    # It asks nobody who they are: only this network reaches it.
    "chroma-url": ("chroma", "http://chroma:8000"),
}

# Empty until their operator has one.
_OPTIONAL = ("embeddings-key",)


def prepare(folder: Path) -> list[Path]:
    """Returns what it wrote: at a second time, nothing. Raises ConfigurationError."""
    specs = all_functions()
    wanted = document(specs)["secrets"]
    # Containers have users of their own, and each is given single files: so those may be read, and the folder not.
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    passwords = {store: f"{store}-password" for store in _STORES}
    written = [name for name in passwords.values() if _make(folder / name, _password)]
    written += [name for name in wanted if name.endswith(".key") and _make(folder / name, _key)]
    written += [name for name in _OPTIONAL if name in wanted and _make(folder / name, bytes)]
    made = {
        name: form.format((folder / passwords[store]).read_text()).encode() for name, (store, form) in _MADE.items()
    }
    made["kong.yaml"] = _kong(specs, folder)
    if unknown := [name for name in wanted if name not in made and not (folder / name).is_file()]:
        raise ConfigurationError(f"nobody knows how to make {unknown[0]!r}: put it into {str(folder)!r}")
    written += [name for name in wanted if name in made and _replace(folder / name, made[name])]
    return [folder / name for name in sorted(written)]


def _kong(specs: Sequence[Spec], folder: Path) -> bytes:
    keys = [
        public_key({"kty": "OKP", "crv": "Ed25519", "kid": key.kid, "x": key.x}) for key in SigningKeys(folder).live()
    ]
    return dumped([filled(kong.document(specs, COMPOSE, issuer=ISSUER), ISSUER, keys)]).encode()


def _password() -> bytes:
    # 256 bits in letters and digits, which no URL and no file of settings takes for anything else.
    return secrets.token_hex(32).encode()


def _key() -> bytes:
    return secrets.token_bytes(KEY_BYTES)


def _make(path: Path, make: Callable[[], bytes]) -> bool:
    return not path.exists() and _replace(path, make())


def _replace(path: Path, content: bytes) -> bool:
    """Whether it held anything else."""
    if path.exists() and path.read_bytes() == content:
        return False
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    new.write_bytes(content)
    new.chmod(0o444)
    new.replace(path)
    return True
