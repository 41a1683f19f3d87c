"""What MCP clients are configured with, each in a form of its own."""

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from shared.strict_json import Json

API: Final = "http://127.0.0.1:10008"
NAME: Final = "sutazai"
KEY: Final = "SUTAZAI_API_KEY"

Servers = Mapping[str, str]
Form = Callable[[Servers], str]


def servers(agents: tuple[str, ...], *, api: str) -> dict[str, str]:
    """URLs by name: the bridge over all agents where none is named."""
    base = api.rstrip("/")
    if not agents:
        return {NAME: f"{base}/mcp"}
    return {f"{NAME}-{agent}": f"{base}/mcp/{agent}" for agent in agents}


def running_api(home: Path) -> str:
    """Where the platform of this state folder answers, or would by default."""
    try:
        return str(json.loads((home / "run" / "urls.json").read_text())["api"])
    except (FileNotFoundError, ValueError, KeyError):
        return API


def _written(value: Json) -> str:
    return json.dumps(value, indent=2)


def _over_http(root: str, url: str, key: str, **more: str) -> Form:
    """`url`: the name of the member that holds it. `key`: how the client is told to take it from its environment."""

    def written(found: Servers) -> str:
        entries: dict[str, Json] = {
            name: {**more, url: address, "headers": {"X-API-Key": key}} for name, address in found.items()
        }
        return _written({root: entries})

    return written


def _over_stdio(root: str, *, key: str | None = None) -> Form:
    """The client starts our proxy. `key` stands for the environment's, where the client passes on none by itself."""

    def written(found: Servers) -> str:
        environ: dict[str, Json] = {} if key is None else {"env": {KEY: key}}
        entries: dict[str, Json] = {
            name: {"command": sys.executable, "args": [*_arguments(address)], **environ}
            for name, address in found.items()
        }
        return _written({root: entries})

    return written


def _arguments(url: str) -> tuple[str, ...]:
    root = Path(__file__).resolve().parents[2]
    # Clients start it in a folder of theirs.
    start = f"import sys; sys.path.insert(0, {str(root)!r}); from functions.__main__ import main; sys.exit(main())"
    return "-c", start, "mcp-stdio", "--url", url


def _vscode(found: Servers) -> str:
    asked: Json = {"type": "promptString", "id": "sutazai-key", "description": "SutazAI API key", "password": True}
    headers: Json = {"X-API-Key": "${input:sutazai-key}"}
    entries: dict[str, Json] = {name: {"type": "http", "url": url, "headers": headers} for name, url in found.items()}
    return _written({"inputs": [asked], "servers": entries})


def _codex(found: Servers) -> str:
    tables = [
        f'[mcp_servers.{name}]\nurl = {json.dumps(url)}\nenv_http_headers = {{ "X-API-Key" = "{KEY}" }}'
        for name, url in found.items()
    ]
    return "\n\n".join(tables)


_PUT_HERE: Final = "sz_..."
# By client; what no file should hold stands for an environment variable wherever the client can read one.
CLIENTS: Final[Mapping[str, tuple[str, Form]]] = {
    "claude-code": (".mcp.json", _over_http("mcpServers", "url", f"${{{KEY}}}", type="http")),
    "claude-desktop": ("claude_desktop_config.json", _over_stdio("mcpServers", key=_PUT_HERE)),
    "cline": ("cline_mcp_settings.json", _over_http("mcpServers", "url", _PUT_HERE, type="streamableHttp")),
    "codex": ("~/.codex/config.toml", _codex),
    "cursor": (".cursor/mcp.json", _over_http("mcpServers", "url", f"${{env:{KEY}}}")),
    "gemini-cli": ("~/.gemini/settings.json", _over_http("mcpServers", "httpUrl", f"${KEY}")),
    "stdio": ("the client's own file", _over_stdio("mcpServers", key=_PUT_HERE)),
    "vscode": (".vscode/mcp.json", _vscode),
    "windsurf": ("~/.codeium/windsurf/mcp_config.json", _over_http("mcpServers", "serverUrl", f"${{env:{KEY}}}")),
    "zed": ("settings.json", _over_http("context_servers", "url", _PUT_HERE)),
}


def client_config(client: str, agents: tuple[str, ...], *, api: str) -> str:
    """The text of the client's file. Raises KeyError for a client that is not in CLIENTS."""
    return CLIENTS[client][1](servers(agents, api=api))
