"""`python -m ui`: the UI's server.

`SUTAZAI_API_URL` says where the gateway is, `SUTAZAI_PUBLIC_API_URL` where browsers find it, if elsewhere, and
`SUTAZAI_UI_KEY_FILE` holds the key that the UI's server proves itself with.
"""

import argparse
import os
from pathlib import Path

_LOOPBACK = ["localhost", "127.0.0.1", "[::1]"]


def options(*, host: str, port: int) -> dict[str, object]:
    """Everything that matters is said here: no file in a home folder or a working folder changes it."""
    from ui.theme import THEME

    return {
        "server.address": host,
        "server.port": port,
        "server.headless": True,
        "server.showEmailPrompt": False,
        "server.fileWatcherType": "none",
        "server.runOnSave": False,
        "server.enableXsrfProtection": True,
        "server.xsrfCookieSameSite": "strict",
        "server.enableCORS": True,
        # A page that had its name rebound to our address still asks for its own host.
        "server.allowedHosts": [*_LOOPBACK, *os.environ.get("SUTAZAI_HOSTS", "").replace(",", " ").split()],
        "server.maxUploadSize": 10,
        "server.maxWidgetStateSize": 2,
        "browser.gatherUsageStats": False,
        "client.toolbarMode": "minimal",
        "client.showErrorDetails": "none",
        "client.showErrorLinks": False,
        "runner.magicEnabled": False,
        "logger.level": "warning",
        "logger.enableRich": False,
        "logger.hideWelcomeMessage": True,
        **THEME,
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m ui", description="serve the UI")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=int(os.environ.get("PORT") or 11000))
    asked = parser.parse_args()
    if problem := missing():
        parser.exit(os.EX_CONFIG, f"sutazai: {problem}\n")
    from ui.server import serve

    serve(options(host=asked.host, port=asked.port), host=asked.host, port=asked.port)


def missing() -> str | None:
    """What keeps it from doing anything for anybody."""
    path = os.environ.get("SUTAZAI_UI_KEY_FILE")
    if not path:
        return "SUTAZAI_UI_KEY_FILE is not set: it names the key that the UI proves itself with"
    try:
        Path(path).read_bytes()
    except OSError as exc:
        return f"SUTAZAI_UI_KEY_FILE is {path!r}, which cannot be read: {exc.strerror}"
    return None


if __name__ == "__main__":
    main()
