from uuid import UUID

import pytest

from shared.errors import Forbidden, Invalid, NotFound
from shared.execution import AskedTask
from shared.function import Caller
from shared.identity import scopes_of


def _caller(role: str) -> Caller:
    roles = frozenset({role})
    return Caller(user_id=UUID(int=1), session_id=UUID(int=2), roles=roles, scopes=scopes_of(roles))


def _ask(caller: Caller, agent: str, task: str, parameters: dict[str, object]) -> str:
    asked = AskedTask.model_validate({"agent_id": agent, "task": task, "parameters": parameters})
    return asked.new(caller, key=None, digest=None).tool


def test_a_user_may_ask_for_what_the_tool_takes() -> None:
    assert _ask(_caller("user"), "everything", "echo", {"message": "x"}) == "echo"


def test_the_scope_of_the_tool_itself_is_asked_for() -> None:
    with pytest.raises(Forbidden):
        _ask(_caller("auditor"), "everything", "echo", {"message": "x"})


def test_parameters_that_the_tool_does_not_take_are_invalid() -> None:
    with pytest.raises(Invalid):
        _ask(_caller("user"), "everything", "echo", {"message": 1})
    with pytest.raises(Invalid):
        _ask(_caller("user"), "everything", "get-env", {"name": "HOME"})


def test_a_tool_that_is_none_is_not_found() -> None:
    with pytest.raises(NotFound):
        _ask(_caller("user"), "everything", "shout", {})
