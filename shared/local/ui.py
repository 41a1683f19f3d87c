"""The UI's process: it gets no more of the platform than its address and a key of its own."""

import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from shared.local.supervisor import Service

_KEPT = ("HOME", "LANG", "LC_ALL", "PATH", "PYTHONPATH", "TMPDIR", "TZ", "VIRTUAL_ENV")
_TOLD = ("SUTAZAI_HOSTS", "SUTAZAI_PUBLIC_API_URL")


def ui_origins(port: int, environ: Mapping[str, str]) -> str:
    """All names of this machine, since a browser is told one of them, and what the operator adds."""
    here = (f"http://{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]"))
    return ",".join((*here, environ.get("SUTAZAI_UI_ORIGINS", "")))


def ui_service(
    environ: Mapping[str, str], *, port: int, api: str, key: Path, ready: Callable[[], Awaitable[bool]]
) -> Service:
    kept = {name: environ[name] for name in (*_KEPT, *_TOLD) if name in environ}
    return Service(
        name="ui",
        role="ui",
        argv=(sys.executable, "-m", "ui", "--port", str(port)),
        ready=ready,
        env={**kept, "SUTAZAI_API_URL": api, "SUTAZAI_UI_KEY_FILE": str(key)},
        stop_timeout_s=5,
    )
