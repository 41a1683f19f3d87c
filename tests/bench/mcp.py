"""Our MCP server beside the official SDK's, FastMCP and ContextForge: `make bench B=mcp`.

All in one run, in turns, with the same bytes of tools/call on the wire; only ContextForge, which has an environment of
its own, speaks an older protocol, in sessions. `make bench B='mcp --without contextforge'` leaves it out. CPU is user
and system time of all processes of a server, PostgreSQL's not among them. Ours checks the token, validates the
arguments and records every call.
"""

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from statistics import median

import asyncpg
import uvloop
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from shared.config import Settings
from shared.crypto import signing_seeds
from shared.local.postgres import running_postgres
from shared.local.valkey import running_valkey
from shared.stores.postgres.migrate import migrate
from tests.bench import _mcp_contextforge as contextforge
from tests.bench._hosts import Host, Running, python
from tests.bench._mcp_contextforge import Gateway
from tests.people import place
from tests.report import at_least, at_most, report

COLD_ROUNDS = 9
ROUNDS = 7
# Both can be shared out evenly among the connections.
CALLS, WARM_CALLS = 3200, 768
CONNECTIONS = 64

OURS, BARE, DUTIFUL, FASTMCP = "ours", "mcp SDK, bare", "mcp SDK, same duties", "fastmcp, bare"
_UVICORN = ("-m", "uvicorn", "--port", "{port}", "--loop", "uvloop", "--http", "httptools", "--no-access-log")
_TABLE = (
    "CREATE TABLE sutazai.mcp_calls (id uuid PRIMARY KEY, user_id uuid, agent text, tool text, input bytea,"
    " output bytea, status text, seconds float8)"
)


def _call(bearer: str) -> bytes:
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "bench", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    params = {"name": "echo", "arguments": {"message": "hello"}, "_meta": meta}
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})
    headers = (
        "Host: 127.0.0.1:80",
        "Content-Type: application/json",
        "Accept: application/json, text/event-stream",
        "MCP-Protocol-Version: 2026-07-28",
        "Mcp-Method: tools/call",
        "Mcp-Name: echo",
        bearer,
        f"Content-Length: {len(body)}",
    )
    return "\r\n".join(("POST /mcp/everything HTTP/1.1", *headers, "", body)).encode()


def _hosts(environ: Mapping[str, str], bearer: str) -> list[Host]:
    """Another gateway that is to be measured beside them is one more line here."""
    asked = _call(bearer)
    serve = ("-m", "functions", "serve", "--agent", "everything", "--host", "127.0.0.1", "--port", "{port}")
    sdk = python(*_UVICORN, "tests.bench._mcp_sdk:app")
    return [
        Host(OURS, python(*serve), asked, environ=environ),
        Host(BARE, sdk, asked, environ=environ),
        Host(DUTIFUL, sdk, asked, environ={**environ, "MCP_DUTIES": "1"}),
        Host(FASTMCP, python(*_UVICORN, "tests.bench._mcp_fastmcp:app"), asked, environ=environ),
    ]


async def _calls(hosts: Sequence[Host], gateway: Gateway | None) -> dict[str, float]:
    """Medians of CPU seconds per call, by host."""
    seen: dict[str, list[float]] = {host.name: [] for host in hosts}
    async with AsyncExitStack() as stack:
        servers = [stack.enter_context(Running(host)) for host in hosts]
        for server in servers:
            server.first_answer()
            await server.requests_cpu_s(WARM_CALLS, connections=CONNECTIONS)
        beside: list[tuple[float, float]] = []
        if gateway is not None:
            await gateway.calls_cpu_s(contextforge.WARM_CALLS)
        for number in range(ROUNDS):
            for server in servers:
                seen[server.host.name].append(await server.requests_cpu_s(CALLS, connections=CONNECTIONS))
            if gateway is not None and number < contextforge.ROUNDS:
                beside.append(await gateway.calls_cpu_s(contextforge.CALLS))
    print(f"\ntools/call on {CONNECTIONS} keep-alive connections, median of {ROUNDS} times {CALLS}:")
    print(f"  {'':<24} {'us of CPU a call':>18} {'calls a CPU second':>20}")
    cpu_s = {name: median(values) for name, values in seen.items()}
    for name, value in cpu_s.items():
        print(f"  {name:<24} {value * 1e6:>18.1f} {1 / value:>20.0f}")
    if beside:
        _compare(cpu_s[OURS], *map(median, zip(*beside, strict=True)))
    return cpu_s


def _compare(ours_s: float, gateway_s: float, both_s: float) -> None:
    print(
        f"\ncontextforge, {contextforge.SESSIONS} sessions, median of {contextforge.ROUNDS} times {contextforge.CALLS}:"
    )
    print(f"  us of CPU a call {gateway_s * 1e6:>14.1f}, with the upstream's {both_s * 1e6:.1f}")
    print(f"  ours over it, calls a CPU second {gateway_s / ours_s:.1f}, with the upstream's {both_s / ours_s:.1f}")


def _starts(hosts: Sequence[Host]) -> dict[str, tuple[float, float]]:
    """Medians of CPU and wall seconds from exec to the first answered call; the first round only compiles."""
    seen: dict[str, list[tuple[float, float]]] = {host.name: [] for host in hosts}
    for _ in range(1 + COLD_ROUNDS):
        for host in hosts:
            with Running(host) as running:
                seen[host.name].append(running.first_answer())
    print(f"\nfrom exec to the first call's answer, median of {COLD_ROUNDS}: ms of CPU (of wall time)")
    found = {name: (median(c for c, _ in v[1:]), median(w for _, w in v[1:])) for name, v in seen.items()}
    for name, (cpu_s, wall_s) in found.items():
        print(f"  {name:<24} {cpu_s * 1e3:>8.0f} ({wall_s * 1e3:.0f})")
    return found


@asynccontextmanager
async def _stores() -> AsyncIterator[tuple[dict[str, str], str]]:
    """Real servers with somebody logged in: the environment and a header."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        # The servers run as another user where we are root.
        home.chmod(0o711)
        async with (
            running_postgres(home / "postgres", fsync=False, say=lambda _: None) as postgres_url,
            running_valkey(home / "valkey", fsync=False, say=lambda _: None) as redis_url,
        ):
            await migrate(postgres_url)
            connection = await asyncpg.connect(postgres_url)
            await connection.execute(_TABLE)
            await connection.close()
            environ = {"SUTAZAI_HOME": folder, "SUTAZAI_POSTGRES_URL": postgres_url, "SUTAZAI_REDIS_URL": redis_url}
            settings = Settings.read(environ)
            async with place(settings) as here:
                await here.register("ada")
                access = (await here.login("ada")).access_token
            public = Ed25519PrivateKey.from_private_bytes(signing_seeds(settings.keys_dir)[0]).public_key()
            pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
            environ["MCP_PUBLIC_KEY"] = pem.decode()
            yield environ, f"Authorization: Bearer {access}"


async def _recorded(postgres_url: str) -> tuple[int, int]:
    connection = await asyncpg.connect(postgres_url)
    try:
        ours = await connection.fetchval("SELECT count(*) FROM sutazai.agent_executions WHERE status = 'succeeded'")
        return ours, await connection.fetchval("SELECT count(*) FROM sutazai.mcp_calls")
    finally:
        await connection.close()


@asynccontextmanager
async def _gateway(programs: Path | None, environ: Mapping[str, str], bearer: str) -> AsyncIterator[Gateway | None]:
    if programs is None:
        yield None
        return
    postgres_url, redis_url = environ["SUTAZAI_POSTGRES_URL"], environ["SUTAZAI_REDIS_URL"]
    await contextforge.create_database(postgres_url)
    # It makes 127.0.0.1 into localhost, which may be ::1 first.
    upstream = python(*_UVICORN, "--host", "localhost", "tests.bench._mcp_sdk:app")
    host = Host("upstream", upstream, _call(bearer), environ=environ)
    with contextforge.serving(programs, host, postgres_url, redis_url) as gateway:
        yield gateway


async def main(programs: Path | None) -> int:
    async with _stores() as (environ, bearer):
        hosts = _hosts(environ, bearer)
        async with _gateway(programs, environ, bearer) as gateway:
            cpu_s = await _calls(hosts, gateway)
        ours, theirs = await _recorded(environ["SUTAZAI_POSTGRES_URL"])
        print(f"  recorded: {ours} calls by ours, {theirs} by the SDK with the same duties")
        starts = await asyncio.to_thread(_starts, hosts)
    asked = 1 + WARM_CALLS + ROUNDS * CALLS
    targets = {
        "calls a CPU second, over the bare SDK": at_least(cpu_s[BARE] / cpu_s[OURS], 3),
        "calls a CPU second, over the SDK with duties": at_least(cpu_s[DUTIFUL] / cpu_s[OURS], 5),
        "us of CPU a recorded call": at_most(cpu_s[OURS] * 1e6, 120),
        "start to first recorded call, over the SDK": at_most(starts[OURS][1] / starts[DUTIFUL][1], 0.5),
        "calls not recorded": at_most(asked - ours, 0),
    }
    return report("mcp", targets)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--without", choices=[contextforge.NAME], help="leave a rival out")
    try:
        installation = None if parser.parse_args().without else contextforge.installed()
    except RuntimeError as exc:
        sys.exit(str(exc))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        sys.exit(runner.run(main(installation)))
