"""What a process shows to Prometheus, and where."""

import asyncio
from collections.abc import Mapping

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.background import Background
from shared.catalog import agent_names, find, load
from shared.config import Settings
from shared.gauges import Gauges
from shared.ports.tasks import NewTask, Tasks
from shared.serve import App
from shared.wiring import Ports
from tests.people import Place, at


def _shown(values: Mapping[str, float], *, label: str | None = "agent") -> str:
    gauges = Gauges()
    gauges.show("sutazai_queue_depth", "Tasks that wait.", lambda: values, label=label)
    return gauges.text().decode()


def test_each_value_is_a_line_under_its_label() -> None:
    assert _shown({"memory": 0, "everything": 1234567}) == (
        "# HELP sutazai_queue_depth Tasks that wait.\n"
        "# TYPE sutazai_queue_depth gauge\n"
        'sutazai_queue_depth{agent="everything"} 1234567\n'
        'sutazai_queue_depth{agent="memory"} 0\n'
    )


def test_without_a_label_there_is_the_number_alone() -> None:
    assert _shown({"": 2.5}, label=None).splitlines()[-1] == "sutazai_queue_depth 2.5"


@given(st.text())
def test_no_value_of_a_label_makes_a_second_line(name: str) -> None:
    (line,) = _shown({name: 1}).split("\n")[2:-1]
    quoted = line.removeprefix('sutazai_queue_depth{agent="').removesuffix('"} 1')
    assert quoted.replace(r"\\", "\0").replace(r"\"", '"').replace(r"\n", "\n").replace("\0", "\\") == name.replace(
        "\0", "\\"
    )


async def _metrics(app: App) -> httpx.Response:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://here") as client:
        return await client.get("/metrics")


def test_the_keeper_shows_how_many_tasks_of_each_agent_wait(settings: Settings) -> None:
    async def scenario(here: Place) -> None:
        user_id = (await here.registered_caller("ada")).user_id
        one = NewTask(user_id=user_id, agent="everything", tool="echo", parameters={"message": "a"})
        app = App([], settings=settings, beside=[Background([load("functions.keeper.keep")])])
        async with Ports(settings) as ports, app.running(), asyncio.timeout(60):
            await (await ports.open(Tasks)).accept([one, one, one])
            while 'sutazai_queue_depth{agent="everything"} 3\n' not in (answer := await _metrics(app)).text:
                await asyncio.sleep(0.05)
            assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
            await here.database.execute("DELETE FROM agent_executions")
            while 'sutazai_queue_depth{agent="everything"} 0\n' not in (await _metrics(app)).text:
                await asyncio.sleep(0.05)

    at(settings, scenario)


@pytest.mark.parametrize("name", ["get_health", "keep"])
def test_where_callers_come_to_nothing_is_shown(settings: Settings, name: str) -> None:
    async def scenario() -> None:
        app = App([find("get_health")], settings=settings, beside=[Background([find("keep")])] * (name == "keep"))
        async with app.running():
            assert (await _metrics(app)).status_code == 404

    asyncio.run(scenario())


def test_an_active_keeper_shows_every_agent_though_nothing_waits(settings: Settings) -> None:
    async def scenario() -> None:
        app = App([], settings=settings, beside=[Background([load("functions.keeper.keep")])])
        async with app.running(), asyncio.timeout(60):
            while not (lines := (await _metrics(app)).text.splitlines()[2:]):
                await asyncio.sleep(0.05)
            assert lines == [f'sutazai_queue_depth{{agent="{agent}"}} 0' for agent in sorted(agent_names())]

    asyncio.run(scenario())
