"""How agents fare, told to those who watch them."""

from shared.catalog import agent_names
from shared.config import Settings
from tests.realtime.served import AGENT, Frame, House, at_home


def test_a_snapshot_comes_first_and_then_each_change(settings: Settings) -> None:
    async def scenario(house: House) -> None:
        ada, bob = await house.person("ada"), await house.person("bob")
        async with house.socket(ada) as hers, house.socket(bob) as his:
            for socket in (hers, his):
                answer = await socket.ask(type="subscribe", channels=["agent_updates"])
                assert answer == {"type": "subscribed", "channels": ["agent_updates"]}
                snapshot = [await socket.next() for _ in agent_names()]
                assert {frame["agent_id"] for frame in snapshot} == set(agent_names())
                [mine] = [frame for frame in snapshot if frame["agent_id"] == AGENT]
                assert mine == {
                    "type": "agent_update",
                    "agent_id": AGENT,
                    "status": "ready",
                    "current_task": None,
                    "timestamp": mine["timestamp"],
                }
            [task_id] = await house.submit(ada)
            [claimed] = await house.claim()

            def busy(frame: Frame) -> bool:
                return bool(frame["agent_id"] == AGENT and frame["status"] == "busy")

            [*_, seen] = await hers.until(busy, within_s=4)
            assert seen["current_task"] == str(task_id)
            [*_, seen] = await his.until(busy, within_s=4)
            assert seen["current_task"] is None
            await house.finish(claimed)
            for socket in (hers, his):
                [*_, seen] = await socket.until(lambda frame: frame["status"] == "ready", within_s=4)
                assert seen["current_task"] is None

    at_home(settings, scenario)
