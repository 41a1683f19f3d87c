"""The bridge beside ContextForge, each before one server with the same tool: `make bench B=bridge`.

In turns in one run. CPU is user and system time of all processes on the way of a call: ours are the gateway and the
worker that the agent runs in, which checks the token, validates the arguments and records every call; theirs are the
gateway and the official SDK's server behind it, which does none of that. PostgreSQL's is in neither.
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import uvloop

from tests.bench import _mcp_contextforge as contextforge
from tests.bench._hosts import Host, Running, python
from tests.bench._mcp_contextforge import Gateway
from tests.bench.mcp import CALLS, CONNECTIONS, ROUNDS, WARM_CALLS, _call, _gateway, _recorded, _stores
from tests.report import at_least, at_most, report

_READY_S = 60.0
_TARGET = 50.0


def asked(bearer: str, *, path: str, tool: str) -> bytes:
    """`tools/call` of echo, as the other measurement of MCP words it."""
    head, _, body = _call(bearer).partition(b"\r\n\r\n")
    message = json.loads(body)
    message["params"]["name"] = tool
    written = json.dumps(message).encode()
    lines = head.replace(b"POST /mcp/everything ", f"POST {path} ".encode()).split(b"\r\n")
    kept = [line for line in lines if not line.startswith((b"Mcp-Name", b"Content-Length"))]
    kept += [b"Mcp-Name: %b" % tool.encode(), b"Content-Length: %d" % len(written)]
    return b"\r\n".join((*kept, b"", written))


@contextmanager
def _bridge(environ: dict[str, str], bearer: str) -> Iterator[tuple[Running, Running]]:
    """The gateway's process and the worker's."""
    ready = Path(environ["SUTAZAI_HOME"]) / "run" / "worker-0.ready"
    ready.parent.mkdir(exist_ok=True)
    module = ("-m", "tests.bench._mcp_bridge")
    request = asked(bearer, path="/mcp", tool="everything__echo")
    behind = Host("worker", python(*module, "worker", str(ready)), b"", environ=environ)
    before = Host("bridge", python(*module, "gateway", "{port}"), request, environ=environ)
    with Running(behind) as worker, Running(before) as gateway:
        until = time.monotonic() + _READY_S
        while not ready.exists():
            if time.monotonic() > until:
                raise RuntimeError("the worker did not start")
            time.sleep(0.05)
        gateway.first_answer()
        yield gateway, worker


async def _price(gateway: Running, worker: Running, count: int) -> tuple[float, float]:
    """CPU seconds per call: the bridge's own, and with the worker's."""
    before = worker.cpu_s()
    own = await gateway.requests_cpu_s(count, connections=CONNECTIONS)
    return own, own + (worker.cpu_s() - before) / count


async def _rounds(gateway: Running, worker: Running, rival: Gateway | None) -> tuple[float, float, float]:
    """Medians of CPU seconds per call: the bridge's own, with the worker's, and the rival's with its upstream."""
    ours: list[tuple[float, float]] = []
    theirs: list[float] = []
    await _price(gateway, worker, WARM_CALLS)
    if rival is not None:
        await rival.calls_cpu_s(contextforge.WARM_CALLS)
    for number in range(ROUNDS):
        ours.append(await _price(gateway, worker, CALLS))
        if rival is not None and number < contextforge.ROUNDS:
            theirs.append((await rival.calls_cpu_s(contextforge.CALLS))[1])
    return median(own for own, _ in ours), median(both for _, both in ours), median(theirs) if theirs else float("nan")


async def main(programs: Path | None) -> int:
    async with _stores() as (environ, bearer):
        async with _gateway(programs, environ, bearer) as rival:
            with _bridge(environ, bearer) as (gateway, worker):
                own_s, both_s, rival_s = await _rounds(gateway, worker, rival)
        recorded, _ = await _recorded(environ["SUTAZAI_POSTGRES_URL"])
    print(f"\ntools/call through the bridge on {CONNECTIONS} connections, median of {ROUNDS} times {CALLS}:")
    print(f"  us of CPU a call: the bridge {own_s * 1e6:.1f}, with the worker {both_s * 1e6:.1f}")
    wanted = 1 + WARM_CALLS + ROUNDS * CALLS
    targets = {"calls not recorded": at_most(wanted - recorded, 0)}
    if programs is not None:
        print(f"  contextforge with its upstream {rival_s * 1e6:.1f}")
        targets["calls a CPU second, over ContextForge"] = at_least(rival_s / both_s, _TARGET)
    return report("bridge", targets)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--without", choices=[contextforge.NAME], help="leave the rival out")
    try:
        installation = None if parser.parse_args().without else contextforge.installed()
    except RuntimeError as exc:
        sys.exit(str(exc))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        sys.exit(runner.run(main(installation)))
