"""The official conformance suite against every agent: `make conformance`, AGENT=... for one.

The scenarios that need no fixture, of both eras. What a check could not look at for want of one counts as neither.
"""

import asyncio
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from shared.catalog import agent_names
from shared.config import Settings
from shared.local.postgres import running_postgres
from shared.local.valkey import running_valkey
from shared.stores.postgres.migrate import migrate
from tests.mcp import node
from tests.mcp.loopback import listening
from tests.people import place
from tests.report import at_least, exactly, report

_COMMAND = "node_modules/@modelcontextprotocol/conformance/dist/index.js"
SCENARIOS: dict[str, tuple[str, ...]] = {
    "2025-11-25": ("server-initialize", "server-session-lifecycle", "ping", "tools-list", "dns-rebinding-protection"),
    "2026-07-28": ("server-stateless", "http-header-validation", "tools-list", "dns-rebinding-protection"),
}


async def _played(folder: Path, url: str, version: str, scenario: str) -> Counter[str]:
    """Checks by status; one that failed is printed."""
    counted: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as results:
        asked = ("--url", url, "--scenario", scenario, "--spec-version", version, "--output-dir", results)
        _, out, errors = await node.run(folder, _COMMAND, "server", *asked)
        written = list(Path(results).rglob("checks.json"))
        if not written:
            print(f"FAIL {version} {scenario}: it wrote no checks\n{out[-2000:]}\n{errors[-2000:]}")
            counted["FAILURE"] += 1
        for path in written:
            for check in json.loads(path.read_text()):
                status = "UNTESTABLE" if (check.get("details") or {}).get("untestable") else check["status"]
                counted[status] += 1
                if status in ("FAILURE", "WARNING"):
                    print(f"{status} {version} {scenario} {check['id']}: {check.get('errorMessage')}")
    return counted


async def _all(agents: Sequence[str]) -> dict[str, Counter[str]]:
    folder = await asyncio.to_thread(node.installed)
    counted: dict[str, Counter[str]] = {}
    with tempfile.TemporaryDirectory() as state:
        home = Path(state)
        # The servers run as another user where we are root.
        home.chmod(0o711)
        async with (
            running_postgres(home / "postgres", fsync=False, say=lambda _: None) as postgres_url,
            running_valkey(home / "valkey", fsync=False, say=lambda _: None) as redis_url,
        ):
            await migrate(postgres_url)
            environ = {"SUTAZAI_HOME": state, "SUTAZAI_POSTGRES_URL": postgres_url, "SUTAZAI_REDIS_URL": redis_url}
            settings = Settings.read(environ)
            async with place(settings) as here:
                await here.register("ada")
                token = (await here.login("ada")).access_token
            for agent in agents:
                async with listening(settings, agent, token=token) as url:
                    played = [await _played(folder, url, v, name) for v, names in SCENARIOS.items() for name in names]
                counted[agent] = sum(played, Counter())
                print(f"{agent}: {dict(counted[agent])}", flush=True)
    return counted


def main() -> int:
    if why := node.missing():
        print(why, file=sys.stderr)
        return 1
    agents = sys.argv[1:] or agent_names()
    counted = asyncio.run(_all(agents))
    whole = sum(counted.values(), Counter[str]())
    return report(
        "conformance",
        {
            "agents": exactly(len(counted), len(agents)),
            "checks passed": at_least(whole["SUCCESS"], len(agents)),
            "checks failed": exactly(whole["FAILURE"], 0),
            "warnings": exactly(whole["WARNING"], 0),
        },
    )


if __name__ == "__main__":
    sys.exit(main())
