"""OpenAPI 3.1 out of the declarations: what is described is what is served."""

import inspect
import re
import sys
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from http import HTTPStatus
from typing import Any, get_origin

from shared.asgi import FORM, MULTIPART
from shared.endpoints import result_type
from shared.errors import (
    Conflict,
    Forbidden,
    IdempotencyMismatch,
    Invalid,
    NotFound,
    RateLimited,
    SutazaiError,
    TimedOut,
    TooLarge,
    Unauthorized,
    Unavailable,
)
from shared.function import Call, Caller, Http, Page, Reply, Spec
from shared.identity import KEY_SCOPES
from shared.manifests.schemas import Schema, component_schemas, resolved, used
from shared.streams import Stream

Document = dict[str, Any]
Component = type[SutazaiError]

_ERRORS: tuple[Component, ...] = (
    Invalid,
    Unauthorized,
    Forbidden,
    NotFound,
    Conflict,
    TooLarge,
    IdempotencyMismatch,
    RateLimited,
    SutazaiError,
    Unavailable,
    TimedOut,
)
_PATH_NAME = re.compile(r"\{(\w+)\}")
_STAMP: Schema = {
    "timestamp": {"type": "string", "format": "date-time"},
    "request_id": {"type": "string"},
}
_ERROR_SCHEMA: Schema = {
    "type": "object",
    "properties": {
        "success": {"const": False},
        "error": {
            "type": "object",
            "properties": {
                "code": {"type": "string"},
                "message": {"type": "string"},
                "details": {"type": "object"},
            },
            "required": ["code", "message", "details"],
        },
        **_STAMP,
    },
    "required": ["success", "error", "timestamp", "request_id"],
}
_PARAMETERS: Document = {
    "IdempotencyKey": {
        "name": "Idempotency-Key",
        "in": "header",
        "description": "The same key and request get the same answer for 30 days, another request a 422.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 128, "pattern": "^[!-~]+$"},
    },
    "Prefer": {
        "name": "Prefer",
        "in": "header",
        "description": "`wait=N` waits up to N s for the end (RFC 7240); what cannot be read is ignored.",
        "schema": {"type": "string", "pattern": "^[ -~]*$"},
    },
    "LastEventId": {
        "name": "Last-Event-ID",
        "in": "header",
        "description": "The `id` of the last event that was received: what came after it follows.",
        "schema": {"type": "string", "pattern": "^[0-9]{1,9}$"},
    },
}
_REQUEST_ID = {"X-Request-ID": {"$ref": "#/components/headers/RequestId"}}
_RETRY_AFTER = {"Retry-After": {"description": "seconds", "schema": {"type": "string"}}}
_OAUTH_ERROR_SCHEMA: Schema = {
    "type": "object",
    "properties": {"error": {"type": "string"}, "error_description": {"type": "string"}},
    "required": ["error", "error_description"],
}
# What a person does at a page may also end elsewhere, or in being told no.
_PAGE_ERRORS = (Invalid, Forbidden, RateLimited)
_CHALLENGE = {"WWW-Authenticate": {"schema": {"const": "Bearer"}}}
_FIGURE = {"schema": {"type": "string", "pattern": "^[0-9]+$"}}
_QUOTA = {
    f"{prefix}RateLimit-{name}": {"description": description, **_FIGURE}
    for prefix, reset in (("", "seconds until all may come at once again"), ("X-", "that time in seconds since 1970"))
    for name, description in (("Limit", "requests an hour"), ("Remaining", "how many may come now"), ("Reset", reset))
}
_HEADERS: dict[Component, Document] = {
    Unauthorized: _CHALLENGE,
    RateLimited: {**_QUOTA, **_RETRY_AFTER},
    Unavailable: _RETRY_AFTER,
}


def openapi(specs: Iterable[Spec], *, version: str) -> Document:
    """Describes the functions with a route, and the probes that every app answers."""
    routes = [spec for spec in specs if isinstance(spec.trigger, Http)]
    routes.sort(key=lambda spec: (spec.http.path, spec.http.method))
    takes = {(s.module, "takes"): s.payload for s in routes if s.payload is not None}
    gives = {(s.module, "gives"): result_type(s) for s in routes if result_type(s) not in (Page, Stream)}
    schemas, components = component_schemas({**takes, **gives})  # type: ignore[dict-item]
    names = Counter(spec.name for spec in routes)
    paths: dict[str, Document] = {}
    for spec in routes:
        taken, given = schemas.get((spec.module, "takes")), schemas.get((spec.module, "gives"))
        operation = _Operation(spec, taken, given, components)
        unique = spec.name if names[spec.name] == 1 else f"{spec.package}.{spec.name}"
        paths.setdefault(spec.http.path, {})[spec.http.method.lower()] = operation.described(unique)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "SutazAI",
            "version": version,
            "description": "An agent platform made of functions.",
        },
        "tags": _tags(routes),
        "paths": {**paths, **_probes()},
        "components": {
            "schemas": used(paths, {**components, "Error": _ERROR_SCHEMA, "OAuthError": _OAUTH_ERROR_SCHEMA}),
            "responses": {error.__name__: _refusal(error) for error in _ERRORS},
            "parameters": _PARAMETERS,
            "headers": {"RequestId": {"description": "As sent, or made here.", "schema": {"type": "string"}}},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
                "api_key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            },
        },
    }


class _Operation:
    """One route. `takes` is None without a payload, `gives` for an answer that is no JSON."""

    def __init__(
        self, spec: Spec, takes: Schema | None, gives: Schema | None, components: Mapping[str, Schema]
    ) -> None:
        self._spec = spec
        self._http = spec.http
        self._payload = resolved(takes, components) if takes is not None else {}
        self._takes = takes
        self._gives = gives
        self._in_path = _PATH_NAME.findall(self._http.path)
        self._writes = self._http.method != "GET"
        # Under a key the answer is kept by the server, or by a handler that takes the Call to do it itself.
        self._keyed = self._writes and self._http.scope is not None and (self._http.keyed or self._takes_call)
        if missing := set(self._in_path) - set(self._properties):
            raise ValueError(f"{spec.module}: {sorted(missing)} in the path are not in the payload")

    @property
    def _properties(self) -> dict[str, Schema]:
        found: dict[str, Schema] = self._payload.get("properties", {})
        return found

    @property
    def _takes_call(self) -> bool:
        return Call in self._spec.ports.values()

    @property
    def _replies(self) -> bool:
        return get_origin(self._spec.result) is Reply

    def described(self, operation_id: str) -> Document:
        spec, scope = self._spec, self._http.scope
        text = inspect.getdoc(spec.handler) or ""
        made: Document = {
            "operationId": operation_id,
            "tags": [spec.package],
            "summary": _module_doc(spec) or spec.summary,
            **({"description": text} if text else {}),
            "security": _security(scope),
            **({"x-scope": scope} if scope else {}),
        }
        if parameters := [*self._parameters(), *self._headers()]:
            made["parameters"] = parameters
        if body := self._body():
            made["requestBody"] = body
        made["responses"] = {**self._answers(), **self._refusals()}
        return made

    def _parameters(self) -> Iterable[Document]:
        required = self._payload.get("required", ())
        for name, schema in self._properties.items():
            if name in self._in_path or not self._writes:
                yield {
                    "name": name,
                    "in": "path" if name in self._in_path else "query",
                    "required": name in required,
                    "schema": _given(schema),
                }

    def _headers(self) -> Iterable[Document]:
        if self._keyed:
            yield {"$ref": "#/components/parameters/IdempotencyKey"}
        if self._writes and self._replies and self._takes_call:
            yield {"$ref": "#/components/parameters/Prefer"}
        if self._spec.result is Stream:
            yield {"$ref": "#/components/parameters/LastEventId"}

    def _body(self) -> Document | None:
        if self._takes is None or not self._writes:
            return None
        schema, whole = self._takes, self._payload
        if self._in_path:
            schema = whole = _without(whole, self._in_path)
            if not whole["properties"]:
                return None
        if self._http.upload:
            as_json, as_form = whole["anyOf"]
            content = {"application/json": {"schema": as_json}, MULTIPART: {"schema": as_form}}
            return {"required": True, "content": content}
        needed = bool(whole.get("required")) or "properties" not in whole
        media_type = FORM.decode() if self._http.form else "application/json"
        return {"required": needed, "content": {media_type: {"schema": schema}}}

    def _answers(self) -> Document:
        """A Reply may say 202 for what is only accepted, or, without envelope, 503 with what it found."""
        if self._spec.result is Stream:
            ended = {"description": "Nothing more will follow.", "headers": _REQUEST_ID}
            text = {"text/event-stream": {"schema": {"type": "string"}}}
            return {"200": {"description": "OK", "headers": _REQUEST_ID, "content": text}, "204": ended}
        headers = {**_REQUEST_ID, **_QUOTA} if self._http.limited else _REQUEST_ID
        found: Document = {"headers": headers, "content": self._content()}
        statuses = {self._http.status, 202} if self._replies and self._http.envelope else {self._http.status}
        answers: Document = {str(s): {"description": HTTPStatus(s).phrase, **found} for s in sorted(statuses)}
        if self._http.form and self._gives is None:
            place = {"Location": {"schema": {"type": "string"}}}
            answers["303"] = {"description": "To whoever has asked.", "headers": {**_REQUEST_ID, **place}}
        return answers

    def _refusals(self) -> Document:
        if self._http.oauth:
            errors: tuple[type[SutazaiError], ...] = (*self._errors(), Forbidden)
            return {str(error.status): self._worded(error) for error in errors}
        refusals: Document = {str(e.status): {"$ref": f"#/components/responses/{e.__name__}"} for e in self._errors()}
        if self._replies and not self._http.envelope:
            schema = {"anyOf": [self._gives, {"$ref": "#/components/schemas/Error"}]}
            content = {"application/json": {"schema": schema}}
            refusals["503"] = {"description": "Unavailable", "headers": _REQUEST_ID, "content": content}
        return refusals

    def _worded(self, error: Component) -> Document:
        """As OAuth has it, but for what goes wrong before the function or beside it."""
        words = [{"$ref": f"#/components/schemas/{name}"} for name in ("OAuthError", "Error")]
        pages = self._content() if self._gives is None and error in _PAGE_ERRORS else {}
        content = {"application/json": {"schema": {"anyOf": words}}, **pages}
        return {**_refusal(error), "content": content}

    def _content(self) -> Document:
        if self._gives is None:
            return {"text/html": {"schema": {"type": "string"}}}
        return {"application/json": {"schema": _enveloped(self._gives) if self._http.envelope else self._gives}}

    def _errors(self) -> Iterable[Component]:
        scope, takes = self._http.scope, self._spec.payload is not None
        yield Invalid
        # Without a scope, the payload may hold what proves who asks: a password, a refresh token.
        if scope or takes:
            yield Unauthorized
        if scope:
            yield Forbidden
        if (scope and (takes or Caller in self._spec.ports.values())) or self._http.oauth:
            yield NotFound
        if self._writes:
            yield Conflict
            yield TooLarge
        if self._keyed:
            yield IdempotencyMismatch
        yield from (RateLimited, SutazaiError, Unavailable, TimedOut)


def _security(scope: str | None) -> list[Document]:
    if scope is None:
        return []
    return [{"bearer": []}, {"api_key": []}] if scope in KEY_SCOPES else [{"bearer": []}]


def _without(schema: Schema, names: Collection[str]) -> Schema:
    left = {name: part for name, part in schema["properties"].items() if name not in names}
    required = [name for name in schema.get("required", ()) if name in left]
    rest = {key: part for key, part in schema.items() if key not in ("properties", "required")}
    return {**rest, "properties": left, **({"required": required} if required else {})}


def _given(schema: Schema) -> Schema:
    """A parameter is text or left out, so it is never null."""
    schema = {key: part for key, part in schema.items() if key != "default" or part is not None}
    left = [part for part in schema.get("anyOf", ()) if part != {"type": "null"}]
    if len(left) != 1:
        return schema
    return {**{key: part for key, part in schema.items() if key != "anyOf"}, **left[0]}


def _enveloped(schema: Schema) -> Schema:
    return {
        "type": "object",
        "properties": {"success": {"const": True}, "data": schema, "message": {"type": "string"}, **_STAMP},
        "required": ["success", "data", "message", "timestamp", "request_id"],
    }


def _refusal(error: Component) -> Document:
    return {
        "description": f"{HTTPStatus(error.status).phrase}: `{error.code}`",
        "headers": {**_REQUEST_ID, **_HEADERS.get(error, {})},
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
    }


def _probes() -> dict[str, Document]:
    """What every app answers beside its functions."""
    schema = {"type": "object", "properties": {"status": {"const": "ok"}}, "required": ["status"]}
    ok = {"description": "OK", "headers": _REQUEST_ID, "content": {"application/json": {"schema": schema}}}

    def probe(name: str, summary: str, responses: Document) -> Document:
        common = {"operationId": name, "tags": ["system"], "summary": summary, "security": []}
        return {"get": {**common, "responses": {"200": ok, **responses}}}

    return {
        "/health/live": probe("health_live", "The process runs.", {}),
        "/health/ready": probe(
            "health_ready", "Requests are taken.", {"503": {"$ref": "#/components/responses/Unavailable"}}
        ),
    }


def _tags(routes: Iterable[Spec]) -> list[Document]:
    packages = {spec.package: sys.modules[spec.module.rpartition(".")[0]] for spec in routes}
    return [{"name": name, "description": inspect.getdoc(package) or ""} for name, package in sorted(packages.items())]


def _module_doc(spec: Spec) -> str:
    """What follows the method and path in a module's first line."""
    line = (inspect.getdoc(sys.modules[spec.module]) or "").partition("\n")[0]
    text = line.partition(": ")[2]
    return text[:1].upper() + text[1:]
