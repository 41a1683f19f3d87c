"""The agents' own definitions, under the names that they have on the bridge."""

from collections.abc import Mapping, Sequence

from shared.function import Prompt, Resource, Spec
from shared.mcp.bridge.names import joined, joined_uri
from shared.mcp.bridge.registry import Entry
from shared.mcp.methods import SCOPE
from shared.mcp.server import Kind
from shared.mcp.shown import ShownPrompt, ShownResource
from shared.mcp.tools import ActionTool
from shared.strict_json import dump


def entries(agents: Mapping[str, tuple[Sequence[Spec], Sequence[Spec]]]) -> Mapping[Kind, Sequence[Entry]]:
    found: dict[Kind, list[Entry]] = {"tools": [], "resources": [], "resourceTemplates": [], "prompts": []}
    for agent, (actions, shown) in agents.items():
        for spec in actions:
            found["tools"].append(_tool(agent, spec))
        for spec in shown:
            kind, several = _shown(agent, spec)
            found[kind] += several
    return {kind: sorted(several, key=lambda entry: entry.key) for kind, several in found.items()}


def _tool(agent: str, spec: Spec) -> Entry:
    name = joined(agent, spec.tool.name)
    return Entry(name, dump({**ActionTool.of(spec).definition, "name": name}), spec.tool.scope)


def _shown(agent: str, spec: Spec) -> tuple[Kind, list[Entry]]:
    if isinstance(spec.trigger, Prompt):
        prompt = ShownPrompt(spec)
        name = joined(agent, prompt.shown.name)
        return "prompts", [Entry(name, dump({**prompt.definition, "name": name}), SCOPE)]
    assert isinstance(spec.trigger, Resource)
    resource = ShownResource(spec)
    kind: Kind = "resourceTemplates" if resource.is_template else "resources"
    member = "uriTemplate" if resource.is_template else "uri"
    listed = {joined_uri(agent, uri): definition for uri, definition in resource.definitions}
    return kind, [Entry(uri, dump({**definition, member: uri}), SCOPE) for uri, definition in listed.items()]
