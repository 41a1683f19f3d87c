"""What a tool has returned, as a person would want to see it."""

import base64
import binascii
import json
from collections.abc import Sequence

import streamlit as st
from pydantic import JsonValue

from ui.components.text import plain, without_images

_PICTURES = ("image/png", "image/jpeg", "image/gif", "image/webp")
_LONGEST = 50_000
_MOST_ROWS = 200
Scalar = str | int | float | bool | None


def show(result: JsonValue, *, key: str) -> None:
    """`key` tells several results on one page apart."""
    match result:
        case None:
            st.caption("The tool returned nothing.")
        case {"content": list(blocks)} if _are_blocks(blocks):
            for number, block in enumerate(blocks):
                assert isinstance(block, dict)
                _block(block, key=f"{key}-{number}")
            _beside_content(result)
        case {"content": str(text)}:
            _text(text, key=key)
            _beside_content(result)
        case str(text):
            _text(text, key=key)
        case list(rows) if rows and (table := _table(rows)):
            st.table(table)
        case dict(values) if values and all(isinstance(value, Scalar) for value in values.values()):
            st.table({plain(name): _cell(value) for name, value in values.items()}, border="horizontal")
        case _:
            st.json(result, expanded=2)


def show_json(value: JsonValue) -> None:
    text = json.dumps(value, indent=2, ensure_ascii=False)
    st.code(text[:_LONGEST], language="json", wrap_lines=True)
    if len(text) > _LONGEST:
        st.download_button("Download all of it", text, file_name="result.json", mime="application/json")


def _are_blocks(blocks: Sequence[JsonValue]) -> bool:
    return bool(blocks) and all(isinstance(block, dict) and isinstance(block.get("type"), str) for block in blocks)


def _block(block: dict[str, JsonValue], *, key: str) -> None:
    """One of MCP's blocks of content."""
    match block:
        case {"type": "text", "text": str(text)}:
            _text(text, key=key)
        case {"type": "image", "data": str(data), "mimeType": str(kind)} if kind in _PICTURES:
            _picture(data)
        case {"type": "resource", "resource": {"text": str(text), **about}}:
            st.caption(plain(str(about.get("uri", ""))))
            _text(text, key=key)
        case {"type": "resource_link", "uri": str(uri)}:
            # As text: where a link of an agent's leads is for its reader to judge.
            st.code(uri[:2000], language=None, wrap_lines=True)
        case _:
            st.json(block, expanded=1)


def _picture(data: str) -> None:
    try:
        st.image(base64.b64decode(data, validate=True))
    except (binascii.Error, ValueError, OSError):
        st.warning("The tool returned an image that cannot be read.", icon=":material/broken_image:")


def _text(text: str, *, key: str) -> None:
    if text.lstrip()[:1] in ("{", "[") and (parsed := _as_json(text)) is not None:
        st.json(parsed, expanded=2)
        return
    if "\n" in text and st.toggle("Read as Markdown", key=f"{key}-markdown"):
        with st.container(border=True):
            st.markdown(without_images(text[:_LONGEST]))
    else:
        st.code(text[:_LONGEST], language=None, wrap_lines=True)
    if len(text) > _LONGEST:
        st.caption(f"These are the first {_LONGEST:,} of {len(text):,} characters.")
        st.download_button("Download all of it", text, file_name="result.txt", key=f"{key}-download")


def _as_json(text: str) -> JsonValue:
    try:
        found: JsonValue = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found


def _beside_content(result: JsonValue) -> None:
    assert isinstance(result, dict)
    if rest := {name: value for name, value in result.items() if name != "content"}:
        with st.expander("More of the answer"):
            st.json(rest, expanded=2)


def _table(rows: Sequence[JsonValue]) -> list[dict[str, str]] | None:
    """None where the rows are not alike, or hold more than single values."""
    first = rows[0]
    if len(rows) > _MOST_ROWS or not isinstance(first, dict):
        return None
    alike = all(isinstance(row, dict) and row.keys() == first.keys() for row in rows)
    if not alike or not all(isinstance(cell, Scalar) for row in rows if isinstance(row, dict) for cell in row.values()):
        return None
    return [{plain(name): _cell(cell) for name, cell in row.items()} for row in rows if isinstance(row, dict)]


def _cell(value: JsonValue) -> str:
    return plain(value) if isinstance(value, str) else json.dumps(value)
