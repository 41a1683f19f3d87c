"""Every client is configured in a form of its own."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from shared.mcp.client_config import CLIENTS, client_config, running_api

API = "https://example.org/"
URL = "https://example.org/mcp"
ROOT = Path(__file__).resolve().parents[2]


def _config(client: str, *agents: str) -> dict[str, Any]:
    text = client_config(client, agents, api=API)
    found: dict[str, Any] = tomllib.loads(text) if client == "codex" else json.loads(text)
    return found


@pytest.mark.parametrize(
    "client, root, server",
    [
        ("claude-code", "mcpServers", {"type": "http", "url": URL, "headers": {"X-API-Key": "${SUTAZAI_API_KEY}"}}),
        ("cline", "mcpServers", {"type": "streamableHttp", "url": URL, "headers": {"X-API-Key": "sz_..."}}),
        ("codex", "mcp_servers", {"url": URL, "env_http_headers": {"X-API-Key": "SUTAZAI_API_KEY"}}),
        ("cursor", "mcpServers", {"url": URL, "headers": {"X-API-Key": "${env:SUTAZAI_API_KEY}"}}),
        ("gemini-cli", "mcpServers", {"httpUrl": URL, "headers": {"X-API-Key": "$SUTAZAI_API_KEY"}}),
        ("vscode", "servers", {"type": "http", "url": URL, "headers": {"X-API-Key": "${input:sutazai-key}"}}),
        ("windsurf", "mcpServers", {"serverUrl": URL, "headers": {"X-API-Key": "${env:SUTAZAI_API_KEY}"}}),
        ("zed", "context_servers", {"url": URL, "headers": {"X-API-Key": "sz_..."}}),
    ],
)
def test_clients_that_speak_http_are_given_the_bridge(client: str, root: str, server: dict[str, Any]) -> None:
    assert _config(client)[root] == {"sutazai": server}


def test_vs_code_asks_for_the_key_once() -> None:
    [asked] = _config("vscode", "memory", "filesystem")["inputs"]
    assert (asked["id"], asked["password"]) == ("sutazai-key", True)


def test_one_agent_alone_has_a_server_of_its_own() -> None:
    assert {name: server["url"] for name, server in _config("cursor", "memory", "git")["mcpServers"].items()} == {
        "sutazai-memory": f"{URL}/memory",
        "sutazai-git": f"{URL}/git",
    }


@pytest.mark.parametrize("client", ["claude-desktop", "stdio"])
def test_the_others_start_a_process_that_can_be_started_from_any_folder(client: str, tmp_path: Path) -> None:
    server = _config(client, "memory")["mcpServers"]["sutazai-memory"]
    assert server["args"][-3:] == ["mcp-stdio", "--url", f"{URL}/memory"]
    assert server["env"] == {"SUTAZAI_API_KEY": "sz_..."}
    command = [server["command"], *server["args"][:-2], "--help"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True)
    assert "mcp-stdio" in done.stdout


def _printed(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "functions", "mcp-config", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def test_the_command_prints_what_a_client_wants() -> None:
    assert _printed("--client", "cursor", "--api", API).stdout == client_config("cursor", (), api=API) + "\n"
    listed = _printed("--client", "list").stdout
    assert all(client in listed for client in CLIENTS)
    refused = _printed("--client", "emacs")
    assert refused.returncode and "no client 'emacs'" in refused.stderr
    refused = _printed("--agent", "nobody")
    assert refused.returncode and "no agent 'nobody'" in refused.stderr


def test_the_platform_that_runs_is_found_by_its_state_folder(tmp_path: Path) -> None:
    assert running_api(tmp_path) == "http://127.0.0.1:10008"
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "urls.json").write_text('{"api": "http://127.0.0.1:2"}')
    assert running_api(tmp_path) == "http://127.0.0.1:2"
