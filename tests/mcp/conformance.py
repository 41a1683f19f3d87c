"""The official conformance suite: `make conformance`, AGENT=... for one agent, or `bridge`, and no more.

All scenarios of both eras against `everything` with the suite's fixtures, what the suite requires of 2026-07-28 in one
run, and the scenarios that need no fixture against every agent and the bridge over them. What a check could not look
at for want of a fixture counts as neither passed nor failed, but on `everything`, where it has failed.
"""

import asyncio
import json
import os
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from shared.catalog import agent_names
from shared.config import Settings
from shared.local.postgres import running_postgres
from shared.local.valkey import running_valkey
from shared.stores.postgres.migrate import migrate
from tests.mcp import node
from tests.mcp.loopback import bridging, listening
from tests.mcp.working import keeping, working
from tests.people import place
from tests.report import at_least, exactly, report

_COMMAND = "node_modules/@modelcontextprotocol/conformance/dist/index.js"
_FIXTURES = "SUTAZAI_MCP_FIXTURES"
WITH_FIXTURES, BRIDGE = "everything", "bridge"
MODERN, LEGACY = "2026-07-28", "2025-11-25"
PLAIN: dict[str, tuple[str, ...]] = {
    LEGACY: ("server-initialize", "server-session-lifecycle", "ping", "tools-list", "dns-rebinding-protection"),
    MODERN: ("server-stateless", "http-header-validation", "tools-list", "dns-rebinding-protection"),
}
_CONTENT = (
    *("completion-complete", "json-schema-2020-12", "prompts-get-embedded-resource", "prompts-get-simple"),
    *("prompts-get-with-args", "prompts-get-with-image", "prompts-list", "resources-list", "resources-read-binary"),
    *("resources-read-text", "resources-templates-read", "server-sse-multiple-streams", "tools-call-audio"),
    *("tools-call-embedded-resource", "tools-call-error", "tools-call-image", "tools-call-mixed-content"),
    *("tools-call-simple-text", "tools-call-with-progress"),
)
_ASKING = tuple(
    f"input-required-result-{name}"
    for name in (
        *("basic-elicitation", "basic-sampling", "basic-list-roots", "request-state", "multiple-input-requests"),
        *("multi-round", "missing-input-response", "non-tool-request", "result-type", "unsupported-methods"),
        *("tampered-state", "capability-check", "ignore-extra-params", "validate-input"),
    )
)
_TASKS = tuple(
    f"tasks-{name}"
    for name in (
        *("lifecycle", "capability-negotiation", "wire-fields", "request-state-removal", "mrtr-input"),
        *("request-headers", "dispatch-and-envelope", "status-notifications", "required-task-error"),
        "mrtr-composition",
    )
)
WHOLE: dict[str, tuple[str, ...]] = {
    LEGACY: (
        *PLAIN[LEGACY],
        *_CONTENT,
        *("elicitation-sep1034-defaults", "elicitation-sep1330-enums", "logging-set-level", "resources-subscribe"),
        *("resources-unsubscribe", "server-sse-polling", "tools-call-elicitation", "tools-call-sampling"),
        "tools-call-with-logging",
    ),
    MODERN: (
        *PLAIN[MODERN],
        *_CONTENT,
        *("caching", "http-custom-header-server-validation", "sep-2164-resource-not-found"),
        *_ASKING,
        *_TASKS,
    ),
}


async def _played(folder: Path, url: str, version: str, scenario: str, *, strict: bool) -> Counter[str]:
    """Checks by status; one that failed is printed. `strict`: what could not be looked at has failed."""
    counted: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as results:
        asked = ["--url", url, "--scenario", scenario, "--spec-version", version, "--output-dir", results]
        # Of an extension, which has no place among the revisions.
        asked += ["--force"] if scenario in _TASKS else []
        _, out, errors = await node.run(folder, _COMMAND, "server", *asked)
        written = list(Path(results).rglob("checks.json"))
        if not written:
            print(f"FAIL {version} {scenario}: it wrote no checks\n{out[-2000:]}\n{errors[-2000:]}")
            counted["FAILURE"] += 1
        for path in written:
            for check in json.loads(path.read_text()):
                untestable = not strict and (check.get("details") or {}).get("untestable")
                status = "UNTESTABLE" if untestable else check["status"]
                counted[status] += 1
                if status in ("FAILURE", "WARNING"):
                    print(f"{status} {version} {scenario} {check['id']}: {check.get('errorMessage')}")
    return counted


async def _required(folder: Path, url: str) -> int:
    """The exit status of the suite's own list of what the revision requires."""
    status, out, errors = await node.run(
        folder, _COMMAND, "server", "--url", url, "--requirements", MODERN, within_s=600
    )
    if status:
        print(f"FAIL --requirements {MODERN}\n{out[-4000:]}\n{errors[-2000:]}")
    return status


@asynccontextmanager
async def _stores() -> AsyncIterator[tuple[Settings, str]]:
    """Settings with fresh servers behind them, and the token of somebody who may call."""
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
                yield settings, (await here.login("ada")).access_token


async def _all(agents: Sequence[str]) -> tuple[dict[str, Counter[str]], int]:
    folder = await asyncio.to_thread(node.installed)
    counted: dict[str, Counter[str]] = {}
    required = 0
    async with _stores() as (settings, token):
        for agent in agents:
            whole = agent == WITH_FIXTURES
            scenarios = WHOLE if whole else PLAIN
            async with AsyncExitStack() as stack:
                if whole:
                    await stack.enter_async_context(keeping(settings))
                    await stack.enter_async_context(working(settings, agent))
                serving = bridging(settings, ["everything"], token=token) if agent == BRIDGE else None
                url = await stack.enter_async_context(serving or listening(settings, agent, token=token))
                played = [
                    await _played(folder, url, version, name, strict=whole)
                    for version, names in scenarios.items()
                    for name in names
                ]
                required += await _required(folder, url) if whole else 0
            counted[agent] = sum(played, Counter())
            print(f"{agent}: {dict(counted[agent])}", flush=True)
    return counted, required


def main() -> int:
    if why := node.missing():
        print(why, file=sys.stderr)
        return 1
    # Before anything looks for functions.
    os.environ[_FIXTURES] = "1"
    agents = sys.argv[1:] or [*agent_names(), BRIDGE]
    counted, required = asyncio.run(_all(agents))
    whole = sum(counted.values(), Counter[str]())
    return report(
        "conformance",
        {
            "agents": exactly(len(counted), len(agents)),
            "checks passed": at_least(whole["SUCCESS"], len(agents)),
            "checks failed": exactly(whole["FAILURE"], 0),
            "warnings": exactly(whole["WARNING"], 0),
            f"required for {MODERN}, exit status": exactly(required, 0),
        },
    )


if __name__ == "__main__":
    sys.exit(main())
