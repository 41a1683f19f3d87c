"""The whole platform fetches pages: with one origin on loopback named by the operator, and nobody else."""

import asyncio
import tempfile
from pathlib import Path
from typing import Any

import asyncpg

from tests.internet import Site, answer
from tests.system.platform import Client, Platform

PAGE = "<!doctype html><title>T</title><main><h1>Hello</h1><p>from <a href='/x'>loopback</a></p></main>"


def serving(line: str, _headers: dict[str, str], _body: bytes) -> bytes:
    path = line.split(" ")[1]
    if path == "/robots.txt":
        return answer("User-agent: *\nDisallow: /private", content_type="text/plain")
    if path == "/away":
        return answer(status=302, location="http://169.254.169.254/latest/meta-data/")
    if path == "/data":
        return answer('{"a": 1}', content_type="application/json")
    return answer(PAGE, content_type="text/html", cache_control="max-age=60")


async def audited(platform: Platform, task_id: str) -> list[str]:
    """The lines about one task."""
    connection = await asyncpg.connect(platform.postgres_url)
    try:
        rows = await connection.fetch(
            "SELECT action || ' ' || outcome AS line FROM audit_log WHERE object LIKE '%' || $1 ORDER BY id", task_id
        )
    finally:
        await connection.close()
    return [row["line"] for row in rows]


async def scenario(folder: str) -> dict[str, Any]:
    site = Site(serving)
    async with site.listening():
        here = f"http://127.0.0.1:{site.port}"
        with Platform(Path(folder) / "home", SUTAZAI_EGRESS_ALLOW=f"127.0.0.1:{site.port}") as platform:
            async with Client(platform.api) as client:
                refused = await client.execute("http-fetch", "fetch_txt", {"url": "http://[::1]/"}, wait=True)

                async def fetch(task: str, url: str, **more: Any) -> Any:
                    done = await client.execute("http-fetch", task, {"url": url, **more}, wait=True)
                    if done["status"] != "succeeded":
                        return done["status"], done["error"]["code"], done["error"]["message"]
                    return done["result"]["content"][0]["text"]

                return {
                    "agent": (await client.http.get("/api/v1/agents/http-fetch")).json()["data"],
                    "fetch": await fetch("fetch", f"{here}/"),
                    "markdown": await fetch("fetch_markdown", f"{here}/"),
                    "json": await fetch("fetch_json", f"{here}/data"),
                    "private": await fetch("fetch", f"{here}/private"),
                    "inside": await fetch("fetch_txt", "http://169.254.169.254/latest/meta-data/"),
                    "gateway": await fetch("fetch_txt", f"{platform.api}/health"),
                    "away": await fetch("fetch_txt", f"{here}/away"),
                    "here": here,
                    "audited": await audited(platform, refused["task_id"]),
                    "paths": [line.split(" ")[1] for line, _, _ in site.requests],
                }


def test_a_page_is_fetched_through_the_api_and_only_from_where_the_operator_lets_us() -> None:
    with tempfile.TemporaryDirectory(prefix="sutazai-fetch-") as folder:
        Path(folder).chmod(0o755)
        seen = asyncio.run(scenario(folder))
    here = seen["here"]
    assert sorted(tool["name"] for tool in seen["agent"]["tools"]) == [
        "fetch",
        "fetch_html",
        "fetch_json",
        "fetch_markdown",
        "fetch_txt",
    ]
    assert seen["fetch"] == f"Contents of {here}/:\n# Hello\n\nfrom [loopback]({here}/x)"
    assert seen["markdown"] == f"# Hello\n\nfrom [loopback]({here}/x)"
    assert seen["json"] == '{"a":1}'
    for refused, reason in (
        ("private", "keeps automatic readers out"),
        ("inside", "169.254.169.254 is refused: it is link-local"),
        ("gateway", "is refused"),
        ("away", "169.254.169.254 is refused"),
    ):
        assert seen[refused][:2] == ("failed", "TOOL_ERROR")
        assert reason in seen[refused][2]
    assert seen["audited"][-1] == "task.failed done"
    assert {"/", "/data", "/away", "/robots.txt"} >= set(seen["paths"])
