"""`python -m functions`: what operators call."""

import argparse
import asyncio
import gc
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

if TYPE_CHECKING:
    from shared.function import Spec

UI = "ui"


def _list(_: argparse.Namespace) -> int:
    from shared.catalog import all_functions

    heads = ("NAME", "TRIGGER", "SCOPE", "PORTS", "SCALE", "TIMEOUT", "FUNCTIONS-FRAMEWORK")
    rows = [heads, *(_row(spec) for spec in all_functions())]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    return 0


def _row(spec: "Spec") -> tuple[str, ...]:
    from shared.function import Every, Http, Mcp, OnEvent, Service, Tool, WebSocket

    match spec.trigger:
        case Http(method=method, path=path):
            trigger = f"{method} {path}"
        case OnEvent(event=event):
            trigger = f"on {event.type}"
        case Tool(name=name, effect=effect):
            trigger = f"tool {spec.agent}/{name} ({effect})"
        case Every(seconds=seconds):
            trigger = f"every {seconds:g} s"
        case Service():
            trigger = "service"
        case WebSocket(path=path):
            trigger = f"socket {path}"
        case Mcp(path=path):
            trigger = f"mcp {path}"
    scope = spec.trigger.scope if isinstance(spec.trigger, Http | Tool) else None
    ports = ",".join(port.__name__ for port in spec.ports.values())
    scale = f"{spec.scale.min}..{spec.scale.max} at {spec.scale.target}"
    timeout = f"{spec.timeout_s:g} s"
    framework = "no" if isinstance(spec.trigger, Every | Service | WebSocket) else "yes"
    return spec.deployed, trigger, scope or "-", ports or "-", scale, timeout, framework


def _call(asked: argparse.Namespace) -> int:
    from shared.catalog import find
    from shared.errors import SutazaiError

    try:
        print(asyncio.run(_called(find(asked.name), asked.json, asked.user)))
    except SutazaiError as error:
        details = json.dumps(error.details, default=str)
        print(f"{error.code}: {error.message} {details}", file=sys.stderr)
        return 1
    return 0


async def _called(spec: "Spec", text: str, user_id: UUID) -> str:
    from shared.config import Settings
    from shared.errors import Invalid
    from shared.function import Mcp, Service, Tool, WebSocket
    from shared.wiring import Ports

    if isinstance(spec.trigger, Service | WebSocket | Mcp):
        raise Invalid(f"{spec.name} runs until it is stopped: see `serve`")
    async with Ports(Settings.read()) as ports:
        given = await ports.of(spec)
        return await (_acted if isinstance(spec.trigger, Tool) else _handled)(spec, text, given, user_id)


async def _acted(spec: "Spec", text: str, ports: dict[str, object], user_id: UUID) -> str:
    """Runs an action here and now, without a task that would record it."""
    from uuid import uuid4

    from shared.errors import Invalid
    from shared.perform import RunContext, perform
    from shared.strict_json import parse

    parameters = parse(text.encode())
    if not isinstance(parameters, dict):
        raise Invalid("the parameters are not a JSON object")
    run = RunContext(user_id=user_id, execution_id=uuid4(), attempt=1)
    outcome = await perform(spec, parameters, run=run, ports=ports, timeout_s=spec.timeout_s, attempts_left=False)
    error = outcome.error.model_dump() if outcome.error else None
    return json.dumps({"status": outcome.status, "result": outcome.result, "error": error}, indent=2)


async def _handled(spec: "Spec", text: str, ports: dict[str, object], _: UUID) -> str:
    from pydantic import TypeAdapter

    from shared.endpoints import result_type
    from shared.errors import Invalid
    from shared.function import Call, Page, Reply
    from shared.payload import from_body
    from shared.streams import Stream

    calls = [name for name, port in spec.ports.items() if port is Call]
    given = {**ports, **dict.fromkeys(calls, Call(request_id="call"))}
    if missing := spec.ports.keys() - given.keys():
        raise Invalid(f"{spec.name} is told {sorted(missing)} by the request, and a command has none")
    payload = () if spec.payload is None else (from_body(spec.payload, text.encode(), {}),)
    result = await asyncio.wait_for(spec.handler(*payload, **given), spec.timeout_s)
    if isinstance(result, Page):
        return result.body.decode()
    if isinstance(result, Stream):
        return b"".join([piece async for piece in result.pieces]).decode()
    data = result.data if isinstance(result, Reply) else result
    return TypeAdapter(result_type(spec)).dump_json(data, indent=2, by_alias=True).decode()


def _serve(asked: argparse.Namespace) -> int:
    name = asked.agent or asked.name or os.environ.get("FUNCTION")
    if not (name or asked.together):
        raise LookupError("what is to be served? Give a name, or set FUNCTION")
    if name == UI:
        # Another program, that knows nothing of functions.
        ui = ("-m", "ui", "--host", asked.host, "--port", str(asked.port))
        os.execv(sys.executable, (sys.executable, *ui))  # noqa: S606 - there is nothing in it for a shell
    # While modules load, looking for garbage costs a tenth of the start and finds none; `run` puts it on again.
    gc.disable()
    from shared.catalog import served_as
    from shared.function import Every, Service
    from shared.serve import App, run

    specs = _together(asked.together) if asked.together else served_as(str(name))
    if isinstance(specs[0].trigger, Service | Every):
        from shared.background import Background

        # It answers nothing but the probes.
        run(App([], beside=[Background(specs)]), host=asked.host, port=asked.port)
    else:
        run(App(specs), host=asked.host, port=asked.port)
    return 0


def _together(which: str) -> "tuple[Spec, ...]":
    from shared import together

    return together.endpoints() if which == "endpoints" else together.background()


def _migrate(_: argparse.Namespace) -> int:
    from shared.config import Settings
    from shared.stores.postgres.migrate import migrate

    names = asyncio.run(migrate(Settings.read().postgres_url))
    print("\n".join(names) or "nothing to apply")
    return 0


def _rotate_keys(_: argparse.Namespace) -> int:
    from shared.config import Settings
    from shared.crypto import rotate_signing_key

    rotate_signing_key(Settings.read().keys_dir)
    print("tokens are signed with a new key; those of the key before it stay valid")
    return 0


def _graph_rebuild(_: argparse.Namespace) -> int:
    return asyncio.run(_rebuilt())


async def _rebuilt() -> int:
    import time

    from shared.config import Settings
    from shared.graph.following import Follower
    from shared.ports.graph import Facts, Gathering, GraphEngine
    from shared.wiring import Ports

    began = time.monotonic()
    async with Ports(Settings.read()) as ports:
        follower = Follower(
            facts=await ports.open(Facts),
            gathering=await ports.open(Gathering),
            engine=await ports.open(GraphEngine),
        )
        at = await follower.rebuild()
    print(f"generation {at.number}, up to {at.applied_seq}, after {time.monotonic() - began:.1f} s")
    return 0


def _write(asked: argparse.Namespace) -> int:
    from shared.manifests.files import ROOT, write

    for path in write(per_action=asked.per_action):
        print(path.relative_to(ROOT))
    return 0


def _check(asked: argparse.Namespace) -> int:
    from shared.manifests.files import ROOT, differing

    for path in (found := differing(per_action=asked.per_action)):
        print(f"{path.relative_to(ROOT)} is not what the declarations say: run `make manifests`", file=sys.stderr)
    return 1 if found else 0


def _kong(asked: argparse.Namespace) -> int:
    from shared.manifests.kong.fill import fill

    print(fill(asked.file, issuer=asked.issuer, jwks=asked.jwks, origin=asked.origin, pages=asked.page))
    return 0


def _compose(asked: argparse.Namespace) -> int:
    from shared.manifests.compose.prepare import prepare

    for path in prepare(asked.folder):
        print(path)
    return 0


def _gateway(asked: argparse.Namespace) -> int:
    from shared.catalog import all_functions
    from shared.local import gateway

    gateway.main(all_functions(), port=asked.port, mcp_port=asked.mcp_port)
    return 0


def _worker(asked: argparse.Namespace) -> int:
    from shared.catalog import all_functions
    from shared.local import worker

    worker.main(all_functions(), ready=asked.ready)
    return 0


def _up(_: argparse.Namespace) -> int:
    from shared.local import up

    return up.main()


def _down(_: argparse.Namespace) -> int:
    from shared.local import up

    return up.down()


def _parser() -> argparse.ArgumentParser:
    from shared.local.admin_command import add_command as add_admin_command
    from shared.mcp.commands import add_commands
    from shared.vectors.transfer.commands import add_commands as add_vector_commands

    parser = argparse.ArgumentParser(prog="python -m functions", description=__doc__)
    commands = parser.add_subparsers(required=True)
    commands.add_parser("up", help="run the whole platform on this machine").set_defaults(run=_up)
    commands.add_parser("down", help="stop it").set_defaults(run=_down)
    commands.add_parser("list", help="every function, and what wakes it").set_defaults(run=_list)
    commands.add_parser("migrate", help="bring the database up to date").set_defaults(run=_migrate)
    add_admin_command(commands)
    rotate = commands.add_parser("rotate-keys", help="sign tokens with a new key; not again until they have expired")
    rotate.set_defaults(run=_rotate_keys)
    rebuild = commands.add_parser("graph-rebuild", help="make the knowledge graph anew out of the record")
    rebuild.set_defaults(run=_graph_rebuild)
    for name, does, run in (
        ("write", "write the files that follow from the declarations", _write),
        ("check", "compare them", _check),
    ):
        files = commands.add_parser(name, help=does)
        files.add_argument("--per-action", action="store_true", help="each action of an agent is deployed by itself")
        files.set_defaults(run=run)
    add_commands(commands)
    add_vector_commands(commands)
    kong = commands.add_parser("kong", help="fill public keys and origins into a file for Kong, in place")
    kong.add_argument("--jwks", help="an issuer's keys: a file, or a URL: /.well-known/jwks.json of the platform")
    kong.add_argument("--origin", help="where callers reach Kong, such as https://api.example.org")
    kong.add_argument("--page", action="append", default=[], help="origin of pages that may call; may be repeated")
    kong.add_argument("--file", type=Path, default=Path("knative/kong/kong.yaml"))
    kong.add_argument("--issuer", default=os.environ.get("SUTAZAI_ISSUER") or "https://sutazai.local")
    kong.set_defaults(run=_kong)
    compose = commands.add_parser("compose", help="make the passwords and keys that knative/compose.yaml names")
    compose.add_argument("--folder", type=Path, default=Path(".sutazai/compose"))
    compose.set_defaults(run=_compose)
    call = commands.add_parser("call", help="call one function once, here")
    call.add_argument("name")
    call.add_argument("json", nargs="?", default="{}", help="the payload")
    call.add_argument("--user", type=UUID, default=UUID(int=0), help="for whom an action runs")
    call.set_defaults(run=_call)
    serve = commands.add_parser("serve", help="serve one function, all actions of an agent, or the UI")
    what = serve.add_mutually_exclusive_group()
    what.add_argument("name", nargs="?", help="of a function, deployed or not, or of an agent; else FUNCTION says it")
    what.add_argument("--agent", help="the same, of an agent")
    what.add_argument(
        "--endpoints", dest="together", action="store_const", const="endpoints", help="all that is called"
    )
    what.add_argument("--background", dest="together", action="store_const", const="background", help="all that runs")
    serve.add_argument("--host", default="0.0.0.0")  # noqa: S104 - a container is reached from outside
    serve.add_argument("--port", type=int, default=int(os.environ.get("PORT") or 8080))
    serve.set_defaults(run=_serve)
    gateway = commands.add_parser("gateway", help="one process of `up`: all endpoints")
    gateway.add_argument("--port", type=int, required=True)
    gateway.add_argument("--mcp-port", type=int)
    gateway.set_defaults(run=_gateway)
    worker = commands.add_parser("worker", help="one process of `up`: all agents")
    worker.add_argument("--ready", type=Path, required=True)
    worker.set_defaults(run=_worker)
    return parser


def main() -> int:
    from shared.errors import ConfigurationError, Unavailable

    asked = _parser().parse_args()
    try:
        status: int = asked.run(asked)
    except ConfigurationError as exc:
        print(f"sutazai: {exc}", file=sys.stderr)
        return os.EX_CONFIG
    except (LookupError, Unavailable) as exc:
        print(f"sutazai: {exc}", file=sys.stderr)
        return 1
    return status


if __name__ == "__main__":
    sys.exit(main())
