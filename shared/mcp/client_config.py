"""What MCP clients are configured with."""

import json
from collections.abc import Iterable
from pathlib import Path

from shared.strict_json import Json

API = "http://127.0.0.1:10008"
# Clients fill in such names from their environment, so that the key stands in no file.
KEY = "${SUTAZAI_API_KEY}"


def client_config(agents: Iterable[str], *, api: str) -> dict[str, Json]:
    """In the form that clients share: one server for each agent."""
    base = api.rstrip("/")
    return {
        "mcpServers": {
            agent: {"type": "http", "url": f"{base}/mcp/{agent}", "headers": {"X-API-Key": KEY}} for agent in agents
        }
    }


def running_api(home: Path) -> str:
    """Where the platform of this state folder answers, or would by default."""
    try:
        return str(json.loads((home / "run" / "urls.json").read_text())["api"])
    except (FileNotFoundError, ValueError, KeyError):
        return API
