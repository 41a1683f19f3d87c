"""The API's description as one page of HTML: no script, nothing from elsewhere, everything escaped."""

import json
from collections.abc import Iterable, Sequence
from html import escape

from shared.manifests.openapi import Document
from shared.manifests.schemas import Schema, resolved

_STYLE = """
:root { color-scheme: light dark; --line: light-dark(#d0d7de, #3d444d); --soft: light-dark(#f6f8fa, #161b22);
  --text: light-dark(#1f2328, #e6edf3); --back: light-dark(#ffffff, #0d1117);
  --link: light-dark(#0550ae, #79c0ff); }
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 72rem; padding: 1rem; font: 1rem/1.5 system-ui, sans-serif;
  color: var(--text); background: var(--back) }
a { color: var(--link) }
a:focus-visible, pre:focus-visible, div:focus-visible { outline: 3px solid var(--link); outline-offset: 2px }
.skip { position: absolute; left: -100vw } .skip:focus { left: 1rem }
nav ul { columns: 18rem; padding-left: 1.2rem }
article { border: 1px solid var(--line); border-radius: .5rem; padding: 0 1rem 1rem; margin: 1rem 0 }
h3 { overflow-wrap: anywhere } h4 { margin-bottom: .3rem }
code, pre { font-family: ui-monospace, monospace; font-size: .9em; background: var(--soft) }
pre { padding: .6rem; white-space: pre-wrap; overflow-wrap: anywhere }
.wide { overflow-x: auto }
table { border-collapse: collapse; width: 100% }
th, td { border: 1px solid var(--line); padding: .3rem .6rem; text-align: left; vertical-align: top }
"""
_BOUNDS = {
    "minimum": "at least {}",
    "exclusiveMinimum": "more than {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "less than {}",
    "minLength": "{} characters or more",
    "maxLength": "up to {} characters",
    "minItems": "{} items or more",
    "maxItems": "up to {} items",
    "format": "{}",
    "default": "default {}",
}


def docs_page(document: Document) -> bytes:
    info, schemas = document["info"], document["components"]["schemas"]
    groups = {tag["name"]: tag["description"] for tag in document["tags"]}
    body = [
        '<a class="skip" href="#main">Skip to the operations</a>',
        f"<header><h1>{escape(info['title'])} API {escape(info['version'])}</h1>",
        f'<p>{escape(info["description"])} <a href="openapi.json">openapi.json</a></p></header>',
        f'<nav aria-label="Operations"><ul>{"".join(_entries(document))}</ul></nav>',
        '<main id="main">',
        *(part for name, text in groups.items() for part in _group(name, text, document)),
        '<section aria-labelledby="schemas"><h2 id="schemas">Schemas</h2>',
        *_schemas(schemas),
        "</section></main>",
    ]
    head = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(info['title'])} API</title><style>{_STYLE}</style></head><body>"
    )
    return f"{head}{''.join(body)}</body></html>".encode()


def _operations(document: Document) -> Iterable[tuple[str, str, Document]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def _entries(document: Document) -> Iterable[str]:
    for method, path, operation in _operations(document):
        title = f"<code>{escape(method)} {escape(path)}</code>"
        yield f'<li><a href="#{escape(operation["operationId"])}">{title}</a></li>'


def _group(name: str, text: str, document: Document) -> Iterable[str]:
    anchor = escape(f"tag-{name}")
    yield f'<section aria-labelledby="{anchor}"><h2 id="{anchor}">{escape(name)}</h2><p>{escape(text)}</p>'
    for method, path, operation in _operations(document):
        if name in operation["tags"]:
            yield from _operation(method, path, operation, document)
    yield "</section>"


def _operation(method: str, path: str, operation: Document, document: Document) -> Iterable[str]:
    anchor, title = escape(operation["operationId"]), f"<code>{escape(method)} {escape(path)}</code>"
    text: str = operation.get("description") or operation["summary"]
    scope: str = operation.get("x-scope", "")
    needs = f"Needs the scope <code>{escape(scope)}</code>." if scope else "Open to everyone."
    yield f'<article aria-labelledby="{anchor}"><h3 id="{anchor}">{title}</h3><p>{escape(text)} {needs}</p>'
    parameters = [_parameter(one, document) for one in operation.get("parameters", ())]
    if parameters:
        heads = ("name", "in", "required", "type", "meaning")
        yield _table("Parameters", heads, [_parameter_row(parameter) for parameter in parameters])
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
    if body is not None:
        yield f"<h4>Body</h4>{_of_schema('Body', body)}"
    yield _table("Answers", ("status", "meaning", "content"), list(_answers(operation, document)))
    curl = _curl(f'-X {method} "$API{path}', operation, parameters, body, document)
    yield f'<h4>curl</h4><pre tabindex="0">{escape(curl)}</pre></article>'


def _parameter_row(parameter: Document) -> tuple[str, ...]:
    name, place = f"<code>{escape(parameter['name'])}</code>", escape(parameter["in"])
    meaning = escape(parameter.get("description", ""))
    return name, place, _yes(parameter.get("required")), _shape(parameter["schema"]), meaning


def _parameter(parameter: Document, document: Document) -> Document:
    name = parameter.get("$ref", "").rpartition("/")[2]
    found: Document = document["components"]["parameters"][name] if name else parameter
    return found


def _answers(operation: Document, document: Document) -> Iterable[tuple[str, str, str]]:
    for status, response in operation["responses"].items():
        name = response.get("$ref", "").rpartition("/")[2]
        found = document["components"]["responses"][name] if name else response
        shapes = []
        for media, content in found.get("content", {}).items():
            schema = content["schema"]
            data = schema.get("properties", {}).get("data")
            shapes.append(f"<code>data</code>: {_shape(data)}" if data is not None else _shape(schema))
            if media != "application/json":
                shapes.append(f"({escape(media)})")
        yield escape(status), escape(found["description"]), " ".join(shapes)


def _schemas(schemas: dict[str, Schema]) -> Iterable[str]:
    for name, schema in schemas.items():
        anchor = escape(f"schema-{name}")
        text = f"<p>{escape(schema['description'])}</p>" if "description" in schema else ""
        yield f'<article aria-labelledby="{anchor}"><h3 id="{anchor}">{escape(name)}</h3>{text}'
        yield f"{_of_schema(name, schema)}</article>"


def _of_schema(name: str, schema: Schema) -> str:
    properties = schema.get("properties")
    if not properties:
        return f"<p>{_shape(schema)}</p>"
    required = schema.get("required", ())
    rows = [
        (
            f"<code>{escape(key)}</code>",
            _yes(key in required),
            _shape(part),
            escape(part.get("description", "")),
        )
        for key, part in properties.items()
    ]
    return _table(f"Fields of {name}", ("field", "required", "type", "meaning"), rows)


def _table(caption: str, heads: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    head = "".join(f'<th scope="col">{escape(one)}</th>' for one in heads)
    lines = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    label = escape(caption)
    return (
        f'<h4>{label}</h4><div class="wide" role="region" aria-label="{label}" tabindex="0">'
        f"<table><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table></div>"
    )


def _yes(holds: object) -> str:
    return "yes" if holds else "no"


def _shape(schema: Schema) -> str:
    """A type in words, as HTML."""
    if reference := schema.get("$ref"):
        name = escape(reference.rpartition("/")[2])
        return f'<a href="#schema-{name}">{name}</a>'
    if parts := schema.get("anyOf") or schema.get("oneOf"):
        return " or ".join(_shape(part) for part in parts) + _bounds(schema)
    if "enum" in schema or "const" in schema:
        values = schema.get("enum") or [schema["const"]]
        return " or ".join(f"<code>{escape(json.dumps(value))}</code>" for value in values) + _bounds(schema)
    kind = schema.get("type", "any JSON")
    words = escape(" or ".join(kind) if isinstance(kind, list) else kind)
    if isinstance(schema.get("items"), dict):
        words += f" of {_shape(schema['items'])}"
    if isinstance(schema.get("additionalProperties"), dict):
        words += f" of {_shape(schema['additionalProperties'])}"
    return words + _bounds(schema)


def _bounds(schema: Schema) -> str:
    """Limits that say something: those of 64 bits hold for every number."""
    known = {key: schema[key] for key in _BOUNDS if key in schema and schema[key] is not None}
    told = {key: value for key, value in known.items() if not (isinstance(value, int) and abs(value) >= 1 << 62)}
    return "".join(f", {escape(_BOUNDS[key].format(_plain(value)))}" for key, value in told.items())


def _plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _curl(target: str, operation: Document, parameters: list[Document], body: Schema | None, document: Document) -> str:
    needed = [f"{p['name']}=..." for p in parameters if p["in"] == "query" and p.get("required")]
    parts = ["curl", target + (f"?{'&'.join(needed)}" if needed else "") + '"']
    if "x-scope" in operation:
        parts.append('-H "Authorization: Bearer $TOKEN"')
    if body is not None:
        whole = resolved(body, document["components"]["schemas"])
        example = json.dumps(dict.fromkeys(whole.get("required", ()), "..."))
        parts.append(f"-H 'Content-Type: application/json' -d '{example}'")
    return " ".join(parts)
