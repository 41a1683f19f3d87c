"""The description of the API: valid, whole, and equal to what is served."""

import asyncio
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker
from pydantic import BaseModel
from schemathesis.specs.openapi import definitions

from functions.system.get_info import get_info
from functions.system.get_openapi import get_openapi
from functions.system.show_docs import show_docs
from shared.catalog import agents, all_functions
from shared.function import Caller, Http, Page, Reply, Spec, http, spec_of
from shared.identity import KEY_SCOPES
from shared.manifests.docs_page import docs_page
from shared.manifests.openapi import Document, openapi
from shared.manifests.schemas import input_schema, output_schema
from shared.payload import Payload
from shared.serve import App
from shared.version import VERSION

PROBES = {("GET", "/health/live"), ("GET", "/health/ready")}
ROUTES = [spec for spec in all_functions() if isinstance(spec.trigger, Http)]


def _document(*handlers: Any) -> Document:
    return openapi([spec_of(handler) for handler in handlers], version="1")


@pytest.fixture(scope="module")
def document() -> Document:
    return openapi(all_functions(), version=VERSION)


def _operations(document: Document) -> Iterator[tuple[str, str, Document]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def _schemas(part: object) -> Iterator[Any]:
    """Every schema in a document: under `schema`, and the components."""
    if isinstance(part, dict):
        if isinstance(part.get("schema"), dict):
            yield part["schema"]
        for value in part.values():
            yield from _schemas(value)
    if isinstance(part, list):
        for value in part:
            yield from _schemas(value)


def _references(part: object) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        for value in part.values():
            yield from _references(value)
    if isinstance(part, list):
        for value in part:
            yield from _references(value)


def test_the_document_is_openapi_3_1(document: Document) -> None:
    definitions.OPENAPI_31_VALIDATOR.validate(json.loads(json.dumps(document)))


def test_every_schema_in_it_is_a_json_schema(document: Document) -> None:
    found = [*_schemas(document), *document["components"]["schemas"].values()]
    assert len(found) > 50
    for schema in found:
        Draft202012Validator.check_schema(schema)


def test_every_reference_resolves(document: Document) -> None:
    references = set(_references(document))
    assert references
    for reference in references:
        target: Any = document
        for step in reference.removeprefix("#/").split("/"):
            target = target[step]


def test_every_schema_is_referred_to(document: Document) -> None:
    named = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert named <= set(_references(document))


def test_what_is_described_is_served_and_nothing_else(document: Document) -> None:
    described = {(method, path) for method, path, _ in _operations(document)}
    assert described == {(spec.http.method, spec.http.path) for spec in ROUTES} | PROBES
    routes: Any = App(ROUTES)._routes
    for method, path in described - PROBES:
        endpoint, values = routes.match(method, re.sub(r"\{(\w+)\}", r"v-\1", path))
        assert (endpoint.spec.http.method, endpoint.spec.http.path) == (method, path)
        assert values == {name: f"v-{name}" for name in re.findall(r"\{(\w+)\}", path)}


def test_operations_are_named_after_their_functions_and_grouped_by_package(document: Document) -> None:
    names = {operation["operationId"]: operation["tags"] for *_, operation in _operations(document)}
    assert len(names) == len(list(_operations(document)))
    assert {spec.name: [spec.package] for spec in ROUTES}.items() <= names.items()
    assert {tag for tags in names.values() for tag in tags} == {tag["name"] for tag in document["tags"]}


@pytest.mark.parametrize("spec", ROUTES, ids=lambda spec: spec.name)
def test_who_may_call_a_route_is_written_at_it(spec: Spec, document: Document) -> None:
    operation = document["paths"][spec.http.path][spec.http.method.lower()]
    assert operation.get("x-scope") == spec.http.scope
    schemes = ["bearer", "api_key"] if spec.http.scope in KEY_SCOPES else ["bearer"]
    assert operation["security"] == ([{scheme: []} for scheme in schemes] if spec.http.scope else [])
    assert {"401", "403"} <= operation["responses"].keys() or spec.http.scope is None


def test_errors_that_can_occur_are_described(document: Document) -> None:
    always = {"400", "429", "500", "503", "504"}
    for method, path, operation in _operations(document):
        if (method, path) in PROBES:
            continue
        statuses = operation["responses"].keys()
        assert always <= statuses
        assert method == "GET" or {"409", "413"} <= statuses
        keyed = any("IdempotencyKey" in one.get("$ref", "") for one in operation.get("parameters", ()))
        assert keyed == ("422" in statuses)


def test_asking_an_agent_is_answered_with_200_or_202(document: Document) -> None:
    operation = document["paths"]["/api/v1/agents/execute"]["post"]
    assert {"200", "202"} <= operation["responses"].keys()
    names = [one["$ref"].rpartition("/")[2] for one in operation["parameters"]]
    assert names == ["IdempotencyKey", "Prefer"]


class Both(Payload):
    name: str
    size: int = 3
    note: str | None = None


@http("PUT", "/things/{name}", scope="things:write")
async def put_thing(request: Both, *, caller: Caller) -> Both:
    raise NotImplementedError


@http("GET", "/things/{name}", scope=None)
async def read_thing(request: Both) -> Reply[list[Both]]:
    raise NotImplementedError


@http("DELETE", "/things/{name}", scope=None, status=204)
async def drop_thing(request: "Named") -> Page:
    raise NotImplementedError


class Named(Payload):
    name: str


def test_path_fields_are_parameters_and_the_others_are_the_body() -> None:
    operation = _document(put_thing)["paths"]["/things/{name}"]["put"]
    places = {one["name"]: (one["in"], one["required"]) for one in operation["parameters"] if "name" in one}
    assert places == {"name": ("path", True)}
    body = operation["requestBody"]
    schema = body["content"]["application/json"]["schema"]
    assert (body["required"], sorted(schema["properties"])) == (False, ["note", "size"])
    assert schema["additionalProperties"] is False


def test_a_read_has_its_other_fields_in_the_query_where_nothing_is_null() -> None:
    operation = _document(read_thing)["paths"]["/things/{name}"]["get"]
    found = {one["name"]: (one["in"], one["required"], one["schema"]) for one in operation["parameters"]}
    assert found["size"][:2] == ("query", False)
    assert found["size"][2]["default"] == 3
    assert found["note"] == ("query", False, {"type": "string", "pattern": r"^[^\x00]*$"})
    assert "requestBody" not in operation


def test_an_answer_is_wrapped_in_the_envelope_under_its_status() -> None:
    responses = _document(read_thing)["paths"]["/things/{name}"]["get"]["responses"]
    schema = responses["200"]["content"]["application/json"]["schema"]
    assert schema["properties"]["data"] == {"type": "array", "items": {"$ref": "#/components/schemas/Both-Output"}}
    assert schema["required"] == ["success", "data", "message", "timestamp", "request_id"]


def test_a_body_that_only_repeats_the_path_is_none_and_a_page_is_html() -> None:
    operation = _document(drop_thing)["paths"]["/things/{name}"]["delete"]
    assert "requestBody" not in operation
    assert operation["responses"]["204"]["content"] == {"text/html": {"schema": {"type": "string"}}}


def test_a_path_field_that_the_payload_lacks_is_refused() -> None:
    @http("GET", "/things/{other}", scope=None)
    async def read_other(request: Named) -> None:
        raise NotImplementedError

    with pytest.raises(ValueError, match="other"):
        _document(read_other)


def test_two_models_of_one_name_do_not_meet() -> None:
    def declared(path: str, field: str) -> Any:
        model = type("Same", (BaseModel,), {"__annotations__": {field: str}, "__module__": f"m{field}"})

        async def handler() -> None:
            raise NotImplementedError

        handler.__annotations__["return"] = model
        handler.__name__ = f"read_{field}"
        return http("GET", path, scope=None, envelope=False)(handler)

    specs = [spec_of(declared("/a", "a")), spec_of(declared("/b", "b"))]
    made = openapi([_elsewhere(spec, name) for spec, name in zip(specs, "ab", strict=True)], version="1")
    found = []
    for path in ("/a", "/b"):
        schema = made["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
        name = schema["$ref"].rpartition("/")[2]
        found.append(list(made["components"]["schemas"][name]["properties"]))
    assert found == [["a"], ["b"]]


def _elsewhere(spec: Spec, name: str) -> Spec:
    """As if it had been declared in another module."""
    import dataclasses
    import sys
    import types

    module = f"functions.made.{name}"
    sys.modules.setdefault("functions.made", types.ModuleType("functions.made"))
    sys.modules.setdefault(module, types.ModuleType(module))
    return dataclasses.replace(spec, module=module)


def test_any_json_of_a_request_is_what_the_server_takes(document: Document) -> None:
    components = document["components"]
    schema = {"$ref": "#/components/schemas/JsonValue-Input", "components": components}
    validator = Draft202012Validator(schema)
    taken: tuple[Any, ...] = (None, True, 1, 1.5, "é", [1, [None]], {"a": {"b": []}}, 2**63 - 1)
    for good in taken:
        assert validator.is_valid(good), good
    for bad in (2**63, "a\0b", ["\0"], {"\0": 1}, {"a": {"b": -(2**70)}}):
        assert not validator.is_valid(bad), bad


@pytest.mark.parametrize("handler", [get_info, get_openapi], ids=lambda handler: handler.__name__)
def test_what_needs_no_ports_answers_as_described(handler: Any, document: Document) -> None:
    spec = spec_of(handler)
    content = document["paths"][spec.http.path]["get"]["responses"]["200"]["content"]["application/json"]
    answer = asyncio.run(handler())
    value = answer.model_dump(mode="json") if isinstance(answer, BaseModel) else answer
    schema = {**content["schema"], "components": document["components"]}
    Draft202012Validator(schema, format_checker=FormatChecker()).validate(value)


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.ids += [value or "" for name, value in attrs if name == "id"]
        self.links += [value or "" for name, value in attrs if name in ("href", "src", "action")]
        assert not [name for name, _ in attrs if name.startswith("on") or name == "style"]
        if tag not in ("meta", "link"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def _read(html: bytes) -> _Page:
    page = _Page()
    page.feed(html.decode())
    assert not page.open
    return page


def test_the_page_shows_every_operation_without_scripts_and_without_help_from_elsewhere() -> None:
    page = _read(asyncio.run(show_docs()).body)
    assert "script" not in page.tags
    assert {spec.name for spec in ROUTES} <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))
    anchors = {f"#{name}" for name in page.ids}
    assert set(page.links) <= anchors | {"openapi.json"}


def test_the_page_escapes_what_it_shows() -> None:
    @http("GET", "/evil", scope="<script>")
    async def evil(request: Named) -> None:
        """</p><script>alert(1)</script> & "quotes"."""

    made = _document(evil)
    made["paths"]["/evil"]["get"]["parameters"][0]["name"] = "<img src=x onerror=alert(1)>"
    made["info"]["title"] = "</title><script>"
    html = docs_page(made)
    assert {"script", "img"}.isdisjoint(_read(html).tags)
    assert b"&lt;/p&gt;&lt;script&gt;alert(1)" in html


@pytest.mark.parametrize("agent", agents(all_functions()))
def test_schemas_of_tools_are_objects_under_their_public_names(agent: str) -> None:
    for spec in agents(all_functions())[agent]:
        for schema in (input_schema(spec), output_schema(spec)):
            Draft202012Validator.check_schema(schema)
            assert schema["type"] == "object", spec.module
        assert input_schema(spec)["additionalProperties"] is False


class Found(BaseModel):
    name: str
    size: int | None
    below: list["Found"]


def test_a_tool_may_leave_out_what_is_none() -> None:
    async def find(request: Named) -> Found:
        raise NotImplementedError

    from shared.function import tool

    spec = spec_of(tool(effect="read")(find))
    schema = output_schema(spec)
    assert schema["$defs"]["Found"]["required"] == ["name", "below"]
    Draft202012Validator(schema).validate({"name": "a", "below": [{"name": "b", "below": []}]})
