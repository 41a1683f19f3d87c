"""One machine's gateway, deployables by themselves and functions-framework give the same answers."""

import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from shared.catalog import agent_names, all_functions, served_as
from shared.config import Settings
from shared.function import Every, Service, WebSocket
from shared.manifests.deployables import Deployable, deployables
from tests.deploy.alone import Alone, Cluster
from tests.parity.router import Router
from tests.parity.suite import TOOLS, Transcript, play
from tests.system.platform import REPOSITORY, Platform

SPECS = all_functions()
WHOLE = deployables(SPECS)
ONE_BY_ONE = deployables(SPECS, per_action=True)
# A target of functions-framework is one function, so none of them is a whole agent.
TARGETS = tuple(each for each in ONE_BY_ONE if each.name not in agent_names())
# What is always there, beside those that come when they are asked.
ALWAYS = ("keeper-keep", "connector-connect")


@pytest.fixture(scope="module")
def gateways() -> Iterator[Transcript]:
    """What callers of `make up` see."""
    with tempfile.TemporaryDirectory(prefix="sutazai-parity-") as folder:
        Path(folder).chmod(0o755)
        with Platform(Path(folder) / "home") as platform:
            yield asyncio.run(play(platform.api, platform.postgres_url))


def _by_itself(each: Deployable, cluster: Cluster, folder: Path) -> Alone:
    return Alone(each, cluster, folder)


def _behind_functions_framework(each: Deployable, cluster: Cluster, folder: Path) -> Alone:
    spec = served_as(each.name)[0]
    if each.name in ALWAYS or isinstance(spec.trigger, Every | Service | WebSocket):
        return Alone(each, cluster, folder)
    command = (str(Path(sys.executable).with_name("functions-framework")), "--source", "shared/ff.py", "--asgi")
    where = ("--target", spec.name, "--host", "127.0.0.1", "--port", "{port}")
    source = [str(REPOSITORY / "shared" / "ff.py") if part == "shared/ff.py" else part for part in command]
    # gunicorn, which it starts, wants more places to write to than a container has.
    return Alone(each, cluster, folder, argv=(*source, *where), jailed=False)


Start = Callable[[Deployable, Cluster, Path], Alone]


@asynccontextmanager
async def _routed(listed: tuple[Deployable, ...], start: Start, cluster: Cluster, folder: Path) -> AsyncIterator[str]:
    reached: dict[str, str] = {}

    def started(each: Deployable) -> Alone:
        told = Cluster(cluster.folder, cluster.stores, {**cluster.environ, **reached})
        return start(each, told, folder)

    router = Router(listed, started, tools=TOOLS)
    async with router.listening() as origin:
        reached["SUTAZAI_FUNCTION_URL"] = f"{origin}/function/{{name}}"
        for name in ALWAYS:
            await router.process(name)
        yield origin


@pytest.mark.parametrize(
    "listed, start",
    [(WHOLE, _by_itself), (ONE_BY_ONE, _by_itself), (TARGETS, _behind_functions_framework)],
    ids=["each-alone", "each-action-alone", "functions-framework"],
)
def test_callers_see_the_same(
    listed: tuple[Deployable, ...],
    start: Start,
    gateways: Transcript,
    settings: Settings,
    amqp_url: str,
    tmp_path: Path,
) -> None:
    stores = {"postgres": settings.postgres_url, "redis": settings.redis_url, "rabbitmq": amqp_url}
    cluster = Cluster(tmp_path, stores)

    async def scenario() -> Transcript:
        async with asyncio.timeout(400), _routed(listed, start, cluster, tmp_path) as origin:
            return await play(origin, settings.postgres_url)

    seen = asyncio.run(scenario())
    assert seen.keys() == gateways.keys()
    differing = {what: (gateways[what], seen[what]) for what in seen if seen[what] != gateways[what]}
    assert differing == {}


def test_the_transcript_is_of_what_was_meant(gateways: Transcript) -> None:
    """Same answers say nothing where all of them fail."""
    statuses = {what: answer["status"] for what, answer in gateways.items() if isinstance(answer, dict)}
    assert gateways["requests before it was"] == 10
    assert statuses == {
        "register": 201,
        "register again": 409,
        "register with a weak password": 400,
        "without a token": 401,
        "login with a wrong password": 401,
        "login": 200,
        "refresh": 200,
        "refresh with what nobody was given": 401,
        "me": 200,
        "change me": 200,
        "change what I have not": 400,
        "others, as a user": 403,
        "my sessions": 200,
        "a key": 201,
        "a request's id": 200,
        "a method that is not served": 405,
        "only the head": 200,
        "a query twice": 400,
        "no JSON": 400,
        "JSON with a NUL": 400,
        "too large a body": 413,
        "an id that is none": 400,
        "an id that is nobody's": 404,
        "info": 200,
        "the API's description": 200,
        "execute and wait": 200,
        "execute what fails": 200,
        "execute what no agent has": 404,
        "execute with wrong parameters": 400,
        "execute": 202,
        "a task that has ended": 200,
        "cancel what has ended": 409,
        "its events": 200,
        "execute with a key": 202,
        "execute with the same key": 202,
        "execute another with the same key": 422,
        "execute what takes long": 202,
        "cancel": 200,
        "a task that was cancelled": 200,
        "an agent's tool": 200,
        "an agent's tool with wrong arguments": 200,
        "a rate that is spent": 429,
        "register another": 201,
        "logout": 200,
        "after the logout": 401,
    }
