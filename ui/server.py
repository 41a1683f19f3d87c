"""Streamlit on a server of ours: probes as all containers answer them, lines of JSON as logs, an orderly end."""

import json
import logging
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import uvicorn
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from streamlit.runtime.pages_manager import PagesManager
from streamlit.web import bootstrap
from streamlit.web.server.starlette import App

# Pages that are being drawn have this long; windows are told at once, and come back to whoever is next.
_DRAIN_S = 10
_FRAME_BYTES = 16 << 20


def serve(options: Mapping[str, object], *, host: str, port: int) -> None:
    """Until SIGTERM."""
    _log_lines()
    # What st.navigation says too, but only once somebody has come: who came first would be shown the files of pages/.
    PagesManager.uses_pages_directory = False
    bootstrap.load_config_options({name.replace(".", "_"): value for name, value in options.items()})
    # It is started before the server listens, so whoever gets an answer gets pages.
    probes = [Route(path, _ready) for path in ("/health/live", "/health/ready")]
    app = App(Path(__file__).with_name("app.py"), routes=probes)
    uvicorn.run(
        app,
        host=host,
        port=port,
        loop="uvloop",
        ws="websockets-sansio",
        ws_max_size=_FRAME_BYTES,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_DRAIN_S,
    )


async def _ready(_: Request) -> JSONResponse:
    return JSONResponse({"status": "ok"}, headers={"Cache-Control": "no-store"})


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created)),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line)


def _log_lines() -> None:
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(_JsonLines())
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
