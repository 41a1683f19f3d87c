"""Calls made up from the description of the API, right and wrong ones: each is answered as described.

`SUTAZAI_SCHEMATHESIS_CALLS=5000 pytest tests/system/test_schemathesis.py` makes 5,000.
"""

import os
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, assume, given, settings
from schemathesis.checks import CHECKS, CheckFunction, load_all_checks
from schemathesis.core.failures import FailureGroup
from schemathesis.generation import GenerationMode
from schemathesis.generation.case import Case

from tests.system.platform import PASSWORD, Platform

CALLS = int(os.environ.get("SUTAZAI_SCHEMATHESIS_CALLS", "600"))
LOGIN = {"email": "root@example.org", "username": None, "password": PASSWORD}

# What these take depends on more than a schema can say, so a well-formed call may still be a 400.
DEPENDS = {
    "analyse_graph": "a whole number is written as one, and not as 5000.0",
    "register": "the two passwords are the same, and good ones",
    "change_password": "the two passwords are the same, and good ones",
    "decide_consent": "a client, and a page of ours",
    "issue_token": "a code, or a refresh token",
    "register_client": "redirect URIs are places to go back to",
    "revoke_token": "no field is there twice",
    "show_consent": "a client",
    "add_mcp_server": "a URL that may be reached, and headers that can be chosen",
    "set_mcp_credentials": "headers that can be chosen",
    "list_mcp_servers": "a cursor is one of ours",
    "create_api_key": "a time to come, and not a hundred keys",
    "create_collection": "not the name of a route, and a model's own dimension",
    "upsert_vectors": "vectors of the collection's dimension, each once",
    "search_vectors": "a query or a vector, and filters that compare",
    "create_schedule": "a time that comes, and parameters of the tool",
    "execute_task": "parameters are those of the tool",
    "list_dead_letters": "a cursor is one of ours",
    "list_aliases": "a cursor is one of ours",
    "list_collections": "a cursor is one of ours",
    "list_documents": "a cursor is one of ours",
    "list_schedules": "a cursor is one of ours",
    "list_tasks": "a cursor is one of ours",
    "receive_document": "keys of metadata that mean nothing else, and numbers that can be told apart",
    "list_users": "a cursor is one of ours, and not beside a page",
    "set_alias": "not the name of a route",
    "export_vectors": "a cursor is one of ours",
    "update_schedule": "something is to be changed",
    "update_user": "something is to be changed",
    "update_me": "a name can be printed",
    "login": "either an address or a name",
}
# These end the session of whoever calls them.
ENDS_SESSION = {"logout", "end_session", "change_password", "delete_me"}


@dataclass
class _Api:
    url: str
    schema: schemathesis.BaseSchema
    statuses: Counter[int] = field(default_factory=Counter)
    _token: str = ""

    def token(self, *, fresh: bool) -> str:
        if fresh or not self._token:
            answer = httpx.post(f"{self.url}/api/v1/auth/login", json=LOGIN, trust_env=False)
            assert answer.status_code == 200, answer.text
            token: str = answer.json()["data"]["access_token"]
            if fresh:
                return token
            self._token = token
        return self._token


@pytest.fixture(scope="module")
def api() -> Iterator[_Api]:
    load_all_checks()
    with tempfile.TemporaryDirectory(prefix="sutazai-schema-") as folder:
        Path(folder).chmod(0o755)
        admin = {"SUTAZAI_ADMIN_EMAIL": "root@example.org", "SUTAZAI_ADMIN_PASSWORD": PASSWORD}
        with Platform(Path(folder) / "home", **admin) as platform:
            document = httpx.get(f"{platform.api}/api/v1/openapi.json", trust_env=False).json()
            schema = schemathesis.openapi.from_dict(document)
            # A well-formed key may have been used for another request.
            acceptance = schema.config.checks.positive_data_acceptance
            acceptance.expected_statuses = [*acceptance.expected_statuses, "422"]
            yield _Api(platform.api, schema)


def _operations(api: _Api) -> list[Any]:
    return [cast(Any, result).ok() for result in api.schema.get_all_operations()]


def _vanishes(value: object) -> bool:
    """Whether nothing of a parameter's value is left in a URL."""
    if isinstance(value, list | dict):
        return all(map(_vanishes, value))
    return value is None


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["right", "wrong"])
def test_every_call_is_answered_as_described(api: _Api, mode: GenerationMode) -> None:
    operations = _operations(api)
    various = [operation for operation in operations if operation.body or list(operation.iter_parameters())]
    wrong: list[str] = []
    api.statuses.clear()

    def answered(case: Case[Any]) -> None:
        # What is wrong with a call must not get lost on its way.
        assume(not any(map(_vanishes, (case.query or {}).values())))
        name = case.operation.definition.raw["operationId"]
        answer = case.call_and_validate(
            base_url=api.url,
            headers={"Authorization": f"Bearer {api.token(fresh=name in ENDS_SESSION)}"},
            checks=cast(list[CheckFunction], CHECKS.get_all()),
            excluded_checks=[cast(CheckFunction, CHECKS.get_one("positive_data_acceptance"))]
            if name in DEPENDS
            else [],
        )
        api.statuses[answer.status_code] += 1

    for operation in operations:
        if mode.is_negative and operation not in various:
            continue
        generated = settings(
            max_examples=ceil(CALLS / 2 / len(various)),
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )(given(case=operation.as_strategy(generation_mode=mode))(answered))
        try:
            generated()
        except (Exception, FailureGroup) as exc:
            wrong.append(f"{operation.label}: {exc}")
    assert wrong == [], "\n\n".join(wrong)
    print(api.statuses)
    assert api.statuses.total() >= CALLS * 0.45
    assert not [status for status in api.statuses if status >= 500]
