"""What people call to bring MCP clients and the platform together: `mcp-config` and `mcp-stdio`."""

import argparse
import asyncio
import logging
import os
import sys
from typing import TYPE_CHECKING, Any

from shared.errors import ConfigurationError

if TYPE_CHECKING:
    from shared.mcp.remote import Remote


def add_commands(commands: "argparse._SubParsersAction[Any]") -> None:
    config = commands.add_parser("mcp-config", help="print what an MCP client is configured with")
    config.add_argument("--client", default="claude-code", help="which one; `list` names them all")
    config.add_argument("--api", help="where callers reach the platform; else where it runs on this machine")
    config.add_argument("--agent", action="append", default=[], help="a server for this agent alone; may be repeated")
    config.add_argument("--each", action="store_true", help="a server for each agent, instead of one for all of them")
    config.set_defaults(run=_config)
    stdio = commands.add_parser("mcp-stdio", help="be an MCP server on standard input and output, for such clients")
    stdio.add_argument("--url", help="of the server; else the platform on this machine")
    stdio.add_argument("--agent", help="this agent alone, instead of all of them")
    stdio.set_defaults(run=_stdio)


def _config(asked: argparse.Namespace) -> int:
    from shared.catalog import agent_names
    from shared.config import Settings
    from shared.mcp.client_config import CLIENTS, client_config, running_api

    if asked.client == "list":
        sys.stdout.write("".join(f"{name:<16}{file}\n" for name, (file, _) in CLIENTS.items()))
        return 0
    if asked.client not in CLIENTS:
        raise LookupError(f"no client {asked.client!r}: one of {', '.join(CLIENTS)}")
    if unknown := set(asked.agent) - set(agent_names()):
        raise LookupError(f"no agent {min(unknown)!r}")
    agents = agent_names() if asked.each else tuple(asked.agent)
    api = asked.api or running_api(Settings.read().home)
    sys.stdout.write(f"{client_config(asked.client, agents, api=api)}\n")
    return 0


def _stdio(asked: argparse.Namespace) -> int:
    from shared.mcp.remote import Remote

    # Standard output is the server's voice: whatever else is said goes beside it.
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(levelname)s %(name)s %(message)s")
    try:
        remote = Remote(_url(asked), _headers())
    except ValueError as exc:
        raise ConfigurationError(str(exc)) from None
    try:
        asyncio.run(_proxied(remote))
    except (BrokenPipeError, KeyboardInterrupt):
        # Nobody is there any more; the interpreter would complain of the pipe once more when it closes it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _url(asked: argparse.Namespace) -> str:
    from shared.config import Settings
    from shared.mcp.client_config import running_api

    if asked.url and asked.agent:
        raise ConfigurationError("--url names the server already: leave --agent out")
    if asked.url:
        return str(asked.url)
    base = f"{running_api(Settings.read().home).rstrip('/')}/mcp"
    return f"{base}/{asked.agent}" if asked.agent else base


def _headers() -> dict[str, str]:
    from shared.config import secret

    key = secret(os.environ, "SUTAZAI_API_KEY")
    if not key:
        logging.getLogger("sutazai.mcp.stdio").warning("SUTAZAI_API_KEY is not set: the platform will ask for it")
        return {}
    if not key.isascii() or not key.isprintable():
        raise ConfigurationError("SUTAZAI_API_KEY holds what no header can")
    return {"x-api-key": key}


async def _proxied(remote: "Remote") -> None:
    from shared.mcp.stdio import StdioProxy, read_lines

    lines: asyncio.Queue[bytes | None] = asyncio.Queue()
    read_lines(sys.stdin.buffer, lines)
    await StdioProxy(remote, _write).run(lines)


def _write(line: bytes) -> None:
    sys.stdout.buffer.write(line)
    sys.stdout.buffer.flush()
