"""The same call for a terminal and for a program."""

import json
import shlex

from pydantic import JsonValue


def curl(origin: str, agent_id: str, tool: str, parameters: dict[str, JsonValue]) -> str:
    return "\n".join(
        (
            f"curl -sS {shlex.quote(f'{origin}/api/v1/agents/execute')} \\",
            '  -H "X-API-Key: $SUTAZAI_API_KEY" \\',
            "  -H 'Content-Type: application/json' \\",
            f"  -d {shlex.quote(json.dumps(_body(agent_id, tool, parameters), ensure_ascii=False))}",
        )
    )


def python(origin: str, agent_id: str, tool: str, parameters: dict[str, JsonValue]) -> str:
    return f"""\
import os

import httpx

answer = httpx.post(
    {f"{origin}/api/v1/agents/execute"!r},
    headers={{"X-API-Key": os.environ["SUTAZAI_API_KEY"]}},
    json={_body(agent_id, tool, parameters)!r},
    timeout=90,
)
answer.raise_for_status()
print(answer.json()["data"])
"""


def _body(agent_id: str, tool: str, parameters: dict[str, JsonValue]) -> dict[str, JsonValue]:
    return {"agent_id": agent_id, "task": tool, "parameters": parameters, "wait": True}
