"""`python -m ui`: the UI's server.

`SUTAZAI_API_URL` says where the gateway is, `SUTAZAI_PUBLIC_API_URL` where browsers find it, if elsewhere, and
`SUTAZAI_UI_KEY_FILE` holds the key that the UI's server proves itself with.
"""

import argparse
import os
from pathlib import Path

from streamlit.runtime.pages_manager import PagesManager
from streamlit.web import bootstrap

from ui.theme import THEME

_LOOPBACK = ["localhost", "127.0.0.1", "[::1]"]


def options(*, host: str, port: int) -> dict[str, object]:
    """Everything that matters is said here: no file in a home folder or a working folder changes it."""
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
    parser.add_argument("--port", type=int, default=11000)
    asked = parser.parse_args()
    flags = {name.replace(".", "_"): value for name, value in options(host=asked.host, port=asked.port).items()}
    # What st.navigation says too, but only once somebody has come: who came first would be shown the files of pages/.
    PagesManager.uses_pages_directory = False
    bootstrap.load_config_options(flags)
    bootstrap.run(str(Path(__file__).with_name("app.py")), is_hello=False, args=[], flag_options=flags)


if __name__ == "__main__":
    main()
