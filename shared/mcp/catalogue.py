"""One agent's actions, resources and prompts as a catalogue: every call is an execution attached to its caller."""

import importlib
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from shared.deadline import Deadline
from shared.dialogue import AnswersWanted, Questions
from shared.errors import NotFound, TimedOut
from shared.function import Caller, Log, Prompt, Resource, Run, Spec
from shared.ids import new_id
from shared.mcp.pages import Pages
from shared.mcp.server import Exchange, Kind, Offered, Result, Server
from shared.mcp.shown import ShownPrompt, ShownResource, completed
from shared.mcp.tasks import EXTENSION, McpTasks
from shared.mcp.tools import ActionTool, result_members
from shared.mcp.wire import INVALID_PARAMS, RESOURCE_NOT_FOUND, RpcError
from shared.perform import RunContext
from shared.strict_json import Json
from shared.version import VERSION
from shared.watched import WatchedRun, logs
from shared.wiring import Ports
from shared.worker import Worker

# What is listed is the same for every caller, and changes only with the version.
_LISTED: Final = b'"ttlMs":300000,"cacheScope":"public"'


class AgentCatalogue:
    """`shown`: the agent's resources and prompts. Its worker runs the tools; the rest runs here, and only reads."""

    worker: Worker
    tasks: McpTasks

    def __init__(self, actions: Sequence[Spec], shown: Sequence[Spec] = ()) -> None:
        self._actions = actions
        self._shown = shown
        self.server = _server(actions)

    async def open(self, ports: Ports, worker: Worker) -> None:
        self.worker = worker
        self.tasks = McpTasks(ports, agent=self._actions[0].agent)
        self._tools = {spec.tool.name: ActionTool.of(spec) for spec in self._actions}
        self._resources = [ShownResource(spec) for spec in self._shown if isinstance(spec.trigger, Resource)]
        prompts = [ShownPrompt(spec) for spec in self._shown if isinstance(spec.trigger, Prompt)]
        self._prompts = {prompt.shown.name: prompt for prompt in prompts}
        self._opened = {spec.module: await ports.of(spec) for spec in self._shown}
        self.capabilities = self._capabilities()
        self._lists: dict[Kind, Pages] = {
            "tools": Pages("tools", lambda: [(name, tool.definition) for name, tool in self._tools.items()]),
            "resources": self._resource_pages("resources", is_template=False),
            "resourceTemplates": self._resource_pages("resourceTemplates", is_template=True),
            "prompts": Pages("prompts", lambda: [(name, each.definition) for name, each in self._prompts.items()]),
        }

    def _resource_pages(self, kind: Kind, *, is_template: bool) -> Pages:
        mine = [each for each in self._resources if each.is_template == is_template]
        return Pages(kind, lambda: [pair for each in mine for pair in each.definitions])

    def _capabilities(self) -> Mapping[str, Json]:
        found: dict[str, Json] = {"tools": {"listChanged": False}, "extensions": {EXTENSION: {}}}
        if self._resources:
            found["resources"] = {"listChanged": False, "subscribe": False}
        if self._prompts:
            found["prompts"] = {"listChanged": False}
        completing = [each.shown.complete for each in self._resources]
        if any((*completing, *(each.shown.complete for each in self._prompts.values()))):
            found["completions"] = {}
        if any(map(logs, (*self._actions, *self._shown))):
            found["logging"] = {}
        return found

    async def list(self, kind: Kind, cursor: str | None, caller: Caller) -> Result:
        page = self._lists[kind].page(cursor)
        if page is None:
            raise RpcError(INVALID_PARAMS, "this cursor is none of ours")
        return Result(page, hints=_LISTED)

    async def tool(self, name: str, caller: Caller) -> Offered:
        return self._tool(name).offered

    def _tool(self, name: str) -> ActionTool:
        if (tool := self._tools.get(name)) is None:
            raise RpcError(INVALID_PARAMS, f"Unknown tool: {name[:128]}")
        return tool

    async def call(self, name: str, arguments: Mapping[str, Json], exchange: Exchange) -> Result | Questions:
        tool = self._tool(name)
        dialogue = exchange.dialogue
        if self.tasks.becomes_task(tool.spec, exchange):
            if not tool.spec.tool.detaches:
                return await self.tasks.create(tool.spec, arguments, exchange)
            dialogue = replace(dialogue, detachable=True)
        task_id, outcome = await self.worker.attached(
            tool.spec, exchange.caller.user_id, arguments, dialogue=dialogue, watcher=exchange.watcher
        )
        if outcome.asks is not None:
            return outcome.asks
        if outcome.detaches:
            return await self.tasks.create(tool.spec, arguments, exchange)
        said = tool.said(outcome)
        meta = b'"sutazai/task_id":"%b"' % str(task_id).encode()
        return Result(result_members(said), meta=meta, failed=said.is_error)

    async def read(self, uri: str, exchange: Exchange) -> Result | Questions:
        for resource in self._resources:
            payload = resource.payload(uri)
            if payload is None:
                continue
            try:
                found = await self._handled(resource.spec, payload, exchange)
            except NotFound:
                break
            if isinstance(found, Questions):
                return found
            return Result(resource.members(uri, found), hints=resource.hints)
        code = INVALID_PARAMS if exchange.legacy is None else RESOURCE_NOT_FOUND
        raise RpcError(code, "Resource not found", data={"uri": uri})

    async def get(self, name: str, arguments: Mapping[str, str], exchange: Exchange) -> Result | Questions:
        prompt = self._prompt(name)
        found = await self._handled(prompt.spec, prompt.payload(arguments), exchange)
        return found if isinstance(found, Questions) else Result(prompt.members(found))

    def _prompt(self, name: str) -> ShownPrompt:
        if (prompt := self._prompts.get(name)) is None:
            raise RpcError(INVALID_PARAMS, f"Unknown prompt: {name[:128]}")
        return prompt

    async def complete(
        self, reference: Mapping[str, Json], name: str, value: str, known: Mapping[str, str], caller: Caller
    ) -> Result:
        match reference:
            case {"type": "ref/prompt", "name": str(prompt)}:
                return Result(completed(self._prompt(prompt).shown.complete, name, value, known))
            case {"type": "ref/resource", "uri": str(uri)}:
                for resource in self._resources:
                    if resource.shown.uri == uri:
                        return Result(completed(resource.shown.complete, name, value, known))
                raise RpcError(INVALID_PARAMS, f"Unknown resource: {uri[:200]}")
        raise RpcError(INVALID_PARAMS, "ref names neither a prompt nor a resource")

    async def _handled(self, spec: Spec, payload: Sequence[Any], exchange: Exchange) -> Any:
        """What a resource or a prompt gives, or asks. Raises SutazaiError."""
        run = _run(exchange)
        calling: dict[type, object] = {Run: run, Log: run.log, Caller: exchange.caller}
        given = {name: calling[port] for name, port in spec.ports.items() if port in calling}
        ports = {**self._opened[spec.module], **given}
        try:
            with Deadline(spec.timeout_s):
                made = spec.handler(*payload, **ports)
                return await made if spec.is_async else made
        except AnswersWanted as wanted:
            return wanted.questions
        except TimeoutError:
            raise TimedOut(f"{spec.name} took longer than {spec.timeout_s:g} s") from None


def _run(exchange: Exchange) -> RunContext:
    user_id = exchange.caller.user_id
    if exchange.watcher is None:
        return RunContext(user_id, new_id(), 1, dialogue=exchange.dialogue)
    return WatchedRun(user_id, new_id(), 1, dialogue=exchange.dialogue, watcher=exchange.watcher)


def _server(actions: Sequence[Spec]) -> Server:
    name = actions[0].agent
    package = importlib.import_module(actions[0].module.rpartition(".")[0])
    return Server(
        name=name,
        title=name.replace("-", " ").title(),
        version=VERSION,
        instructions=inspect.getdoc(package) or "",
    )
