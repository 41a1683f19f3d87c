"""Families of images, and what is installed in each: a function runs on the smallest that has all it needs."""

from collections.abc import Iterable, Mapping

# The packages of an extra, by the names they are imported under.
EXTRAS: Mapping[str, frozenset[str]] = {
    "arrays": frozenset({"numpy"}),
    "chroma": frozenset({"chromadb"}),
    "documents": frozenset({"pypdf"}),
    "egress": frozenset({"certifi", "h11", "idna"}),
    "embeddings": frozenset({"onnx", "onnxruntime", "tokenizers"}),
    "functions": frozenset({"httpx"}),
    "graph": frozenset({"neo4j"}),
    "objects": frozenset({"boto3", "botocore"}),
    "pages": frozenset({"charset_normalizer", "protego"}),
    "passwords": frozenset({"argon2", "zxcvbn"}),
    "postgres": frozenset({"asyncpg"}),
    "rabbitmq": frozenset({"aio_pika"}),
    "redis": frozenset({"redis"}),
    "schedules": frozenset({"cronsim"}),
    "sockets": frozenset({"websockets"}),
    "tokens": frozenset({"cryptography", "jwt"}),
    "ui": frozenset({"httpx", "streamlit", "websockets"}),
    "uploads": frozenset({"python_multipart"}),
    "vectors": frozenset({"faiss", "qdrant_client", "qdrant_edge"}),
}
# In every image, whatever it serves.
HOST = frozenset({"httptools", "pydantic", "pydantic_core", "uvicorn", "uvloop"})

# Who may verify tokens of another issuer may have to ask it for its keys.
_RECORD = frozenset({"egress", "postgres", "redis", "tokens"})
# The first that has everything is taken.
FAMILIES: Mapping[str, frozenset[str]] = {
    "base": _RECORD,
    # What hands vectors on, and holds none.
    "arrays": _RECORD | {"arrays"},
    "schedules": _RECORD | {"schedules"},
    "realtime": _RECORD | {"sockets"},
    "graph": _RECORD | {"arrays", "graph"},
    # What speaks to peers that callers name.
    "agents": _RECORD | {"pages"},
    "accounts": _RECORD | {"passwords"},
    "events": _RECORD | {"functions", "rabbitmq", "schedules"},
    # What takes files in, and takes them apart.
    "documents": _RECORD | {"arrays", "documents", "functions", "objects", "pages", "uploads"},
    # The one service that holds engines and models.
    "vectors": _RECORD | {"arrays", "chroma", "embeddings", "functions", "objects", "vectors"},
    "ui": frozenset({"ui"}),
}


def extras_of(packages: Iterable[str]) -> frozenset[str]:
    """The extras that bring them. Raises LookupError for a package that none does."""
    wanted = frozenset(packages) - HOST
    extras = frozenset(extra for extra, brought in EXTRAS.items() if extra != "ui" and brought & wanted)
    if missing := wanted.difference(*(EXTRAS[extra] for extra in extras)) if extras else wanted:
        raise LookupError(f"no extra brings {', '.join(sorted(missing))}: see shared/manifests/images.py")
    return extras


def family_of(extras: frozenset[str]) -> str:
    """The first family that has them all. Raises LookupError."""
    for family, installed in FAMILIES.items():
        if extras <= installed:
            return family
    raise LookupError(f"no family of images has {', '.join(sorted(extras))}: see shared/manifests/images.py")
