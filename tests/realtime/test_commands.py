"""Commands over a socket do what requests do."""

import asyncio
from uuid import uuid4

from shared.config import Settings
from tests.realtime.served import AGENT, House, at_home

ECHO = {"agent_id": AGENT, "task": "echo", "parameters": {"message": "x"}}


def test_a_command_is_answered_under_its_request_id(settings: Settings) -> None:
    async def scenario(house: House) -> None:
        ada = await house.person("ada")
        async with house.socket(ada) as socket:
            accepted = await socket.ask(type="execute", command="agent.execute", parameters=ECHO, request_id="a")
            task_id = accepted["data"]["task_id"]
            assert accepted == {
                "type": "command_result",
                "request_id": "a",
                "success": True,
                "data": {
                    "task_id": task_id,
                    "agent_id": AGENT,
                    "status": "queued",
                    "result": None,
                    "error": None,
                    "execution_time": None,
                },
            }
            got = await socket.ask(type="execute", command="task.get", parameters={"task_id": task_id}, request_id="b")
            assert (got["request_id"], got["data"]["status"]) == ("b", "queued")
            async with house.client(ada) as client:
                assert (await client.get(f"/api/v1/tasks/{task_id}")).json()["data"] == got["data"]
            asked = {"task_id": task_id}
            ended = await socket.ask(type="execute", command="task.cancel", parameters=asked, request_id="c")
            assert (ended["success"], ended["data"]["status"]) == (True, "cancelled")
            late = await socket.ask(type="execute", command="task.cancel", parameters=asked, request_id="d")
            assert late == {
                "type": "command_result",
                "request_id": "d",
                "success": False,
                "data": None,
                "error": {
                    "code": "CONFLICT",
                    "message": "the task is cancelled already",
                    "details": {"status": "cancelled"},
                },
            }

    at_home(settings, scenario)


def test_how_agents_fare_is_told_of_one_or_of_all(settings: Settings) -> None:
    async def scenario(house: House) -> None:
        ada = await house.person("ada")
        async with house.socket(ada) as socket:
            one = await socket.ask(
                type="execute", command="agent.status", parameters={"agent_id": AGENT}, request_id="a"
            )
            assert (one["data"]["agent_id"], one["data"]["status"]) == (AGENT, "ready")
            every = await socket.ask(type="execute", command="agent.status", request_id="b")
            assert AGENT in {agent["agent_id"] for agent in every["data"]["agents"]}

    at_home(settings, scenario)


def test_a_command_is_refused_as_its_request_would_be(settings: Settings) -> None:
    async def scenario(house: House) -> None:
        ada, eve = await house.person("ada"), await house.person("eve", "auditor")
        [hers] = await house.submit(ada)
        asked = [
            ("task.get", {"task_id": str(hers)}, "NOT_FOUND"),
            ("task.get", {"task_id": "x"}, "VALIDATION_ERROR"),
            ("task.get", {"task_id": str(uuid4()), "more": 1}, "VALIDATION_ERROR"),
            ("task.cancel", {"task_id": str(hers)}, "FORBIDDEN"),
            ("agent.execute", ECHO, "FORBIDDEN"),
            ("agent.status", {"agent_id": "nobody"}, "NOT_FOUND"),
        ]
        async with house.socket(eve) as socket:
            for command, parameters, code in asked:
                answer = await socket.ask(type="execute", command=command, parameters=parameters, request_id="r")
                assert (answer["success"], answer["data"], answer["error"]["code"]) == (False, None, code), command
        task = await house.tasks.get(ada.user_id, hers)
        assert task is not None and task.status == "queued"

    at_home(settings, scenario)


def test_what_is_repeated_under_its_key_is_done_once(settings: Settings) -> None:
    async def scenario(house: House) -> None:
        ada = await house.person("ada")

        async def execute(**more: object) -> dict[str, object]:
            async with house.socket(ada) as socket:
                return await socket.ask(
                    type="execute",
                    command="agent.execute",
                    parameters={**ECHO, **more},
                    request_id="r",
                    idempotency_key="k",
                )

        first, again, other = await execute(), await execute(), await execute(priority=9)
        assert first == again
        assert other["error"]["code"] == "IDEMPOTENCY_MISMATCH"  # type: ignore[index]
        async with house.client(ada) as client:
            answer = await client.post("/api/v1/agents/execute", json=ECHO, headers={"Idempotency-Key": "k"})
            assert answer.json()["data"]["task_id"] == first["data"]["task_id"]  # type: ignore[index]

    at_home(settings, scenario)


def test_a_command_that_waits_holds_up_nothing(settings: Settings) -> None:
    async def scenario(house: House) -> None:
        ada = await house.person("ada")
        async with house.socket(ada) as socket:
            asked = {**ECHO, "wait": True}
            await socket.send(type="execute", command="agent.execute", parameters=asked, request_id="slow")
            assert await socket.ask(type="ping") == {"type": "pong"}
            while not (claimed := await house.claim()):
                await asyncio.sleep(0.01)
            await house.finish(*claimed)
            answer = await socket.next()
            assert (answer["request_id"], answer["data"]["status"]) == ("slow", "succeeded")

    at_home(settings, scenario)


def test_no_more_commands_are_under_way_than_a_socket_may_have(settings: Settings) -> None:
    async def scenario(house: House) -> None:
        ada = await house.person("ada")
        async with house.socket(ada) as socket:
            for number in range(17):
                asked = {**ECHO, "wait": True}
                await socket.send(type="execute", command="agent.execute", parameters=asked, request_id=str(number))
            refused = await socket.next()
            assert (refused["request_id"], refused["error"]["code"]) == ("16", "RATE_LIMIT_EXCEEDED")

    at_home(settings, scenario)


def test_commands_count_against_the_rate_of_their_user(settings: Settings) -> None:
    async def scenario(house: House) -> None:
        ada = await house.person("ada", tier="free")
        async with house.socket(ada) as socket:
            codes = []
            for number in range(12):
                answer = await socket.ask(type="execute", command="agent.status", request_id=str(number))
                codes.append(answer["success"] or answer["error"]["code"])
            assert codes == [True] * 10 + ["RATE_LIMIT_EXCEEDED"] * 2

    at_home(settings, scenario)
