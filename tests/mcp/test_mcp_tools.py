"""What tools are to MCP: schemas, pages, and which answers are content, data or both."""

import json
from dataclasses import replace
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, RootModel

from shared.catalog import actions_of
from shared.function import Spec, spec_of, tool
from shared.mcp.pages import Pages
from shared.mcp.tools import ActionTool
from shared.payload import Payload
from shared.ports.tasks import Outcome, TaskError


class Text(BaseModel):
    type: Literal["text"] = "text"
    text: str


class Image(BaseModel):
    type: Literal["image"] = "image"
    data: str


class Other(BaseModel):
    type: Literal["other"] = "other"


class Content(BaseModel):
    content: list[Annotated[Text | Image, Field(discriminator="type")]]


class Media(BaseModel):
    content: list[Image]


class Named(BaseModel):
    content: list[Other]


class Tree(BaseModel):
    name: str
    children: "list[Tree]" = []


class Either(RootModel[Text | Image]):
    """One of two objects."""


class Names(RootModel[list[str]]):
    """A list at its root."""


class Nothing(Payload):
    pass


def made(result: Any) -> Spec:
    @tool(effect="read")
    async def act(request: Nothing) -> None:
        """Do something.

        And say how.
        """

    return replace(spec_of(act), result=result)


KINDS = [
    (Content, True, False),
    (Media, True, True),
    (Named, False, True),
    (Tree, False, True),
    (Either, False, True),
    (Text | Image, False, True),
    (dict[str, int], False, True),
    (Names, False, False),
    (list[str], False, False),
    (Tree | None, False, False),
    (str, False, False),
    (None, False, False),
]


@pytest.mark.parametrize("result, is_content, is_structured", KINDS)
def test_blocks_are_content_and_objects_are_data(result: Any, is_content: bool, is_structured: bool) -> None:
    action = ActionTool.of(made(result))
    assert (action.is_content, action.is_structured) == (is_content, is_structured)


@pytest.mark.parametrize("result", [result for result, _, is_structured in KINDS if is_structured])
def test_schemas_have_an_object_at_their_root(result: Any) -> None:
    definition = ActionTool.of(made(result)).definition
    assert definition["inputSchema"]["type"] == definition["outputSchema"]["type"] == "object"
    assert "$ref" not in definition["outputSchema"]
    assert definition["description"] == "Do something.\n\nAnd say how."


def test_what_is_no_object_is_said_as_text_alone() -> None:
    said = ActionTool.of(made(list[str])).said(Outcome("succeeded", ["a", "b"]))
    assert (json.loads(said.content), said.structured) == ([{"type": "text", "text": '["a","b"]'}], None)
    said = ActionTool.of(made(str)).said(Outcome("succeeded", "a"))
    assert (json.loads(said.content), said.structured) == ([{"type": "text", "text": "a"}], None)
    said = ActionTool.of(made(None)).said(Outcome("succeeded", None))
    assert (said.content, said.structured, said.is_error) == (b"[]", None, False)


def test_an_error_is_said_as_text() -> None:
    error = TaskError(code="TOOL_ERROR", message='no file "a"')
    said = ActionTool.of(made(Tree)).said(Outcome("failed", error=error))
    assert json.loads(said.content) == [{"type": "text", "text": 'no file "a"'}]
    assert (said.structured, said.is_error) == (None, True)


@given(st.integers(1, 30))
def test_pages_lead_through_all_tools_in_order_of_name(page: int) -> None:
    tools = [ActionTool.of(spec) for spec in actions_of("everything")]
    listed = Pages("tools", lambda: [(tool.spec.tool.name, tool.definition) for tool in tools], page=page)
    names: list[str] = []
    cursor: str | None = None
    while written := listed.page(cursor):
        found = json.loads(b"{%b}" % written)
        assert 1 <= len(found["tools"]) <= page
        names += [each["name"] for each in found["tools"]]
        cursor = found.get("nextCursor")
        if cursor is None:
            break
    assert names == sorted(spec.tool.name for spec in actions_of("everything"))
    assert listed.page("nothing") is None
