"""A form made from a tool's JSON Schema."""

from collections.abc import Mapping

import streamlit as st
from pydantic import JsonValue

from ui.components.schema_fields import (
    ABSENT,
    SAFE,
    Absent,
    Entered,
    Field,
    Schema,
    entered_of,
    faults,
    fields_of,
    fitting,
    parameters_of,
)
from ui.components.text import plain, worded

# How high they are, and what stands in them while they are empty.
_AREAS = {"long_text": (160, None), "lines": (100, "One on each line"), "json": (140, "JSON")}


def schema_form(
    schema: Schema, *, key: str, submit: str, before: Mapping[str, JsonValue] | None = None
) -> dict[str, JsonValue] | None:
    """The parameters, once the form was sent and they are what the schema asks for. `before` fills it in."""
    given = fields_of(schema)
    starts = {field.name: field.default if before is None else before.get(field.name, ABSENT) for field in given}
    fields = [fitting(field, starts[field.name]) for field in given]
    with st.form(key, border=False):
        if not fields:
            st.caption("This tool takes no parameters.")
        if any(field.required for field in fields):
            st.caption("Fields marked with \\* are needed.")
        slots = {}
        entered: dict[str, Entered] = {}
        for field in fields:
            entered[field.name] = _widget(field, starts[field.name], key=f"{key}-{field.name}")
            slots[field.name] = st.empty()
        general = st.empty()
        sent = st.form_submit_button(submit, type="primary", icon=":material/play_arrow:")
    if not sent:
        return None
    parameters, wrong = parameters_of(fields, entered)
    found = faults(schema, parameters)
    # That something is missing as a whole is said where it is missing.
    wrong = {**{name: why for name, why in found.items() if name}, **wrong} if wrong else found
    for name, why in wrong.items():
        slots.get(name, general).error(f"**{plain(name or 'parameters')}** {plain(why)}")
    return None if wrong else parameters


def _widget(field: Field, start: JsonValue | Absent, *, key: str) -> Entered:
    value = entered_of(field, start)
    label = plain(field.name) + (" \\*" if field.required else "")
    hint = worded(field.description) or None
    text = value if isinstance(value, str) else ""
    match field.kind:
        case "text":
            return st.text_input(label, text, max_chars=field.longest, help=hint, key=key)
        case "boolean":
            return st.toggle(label, bool(value), help=hint, key=key)
        case "integer":
            return _integer(field, label, value, hint, key)
        case "number":
            return _number(field, label, value, hint, key)
        case "choice" | "yes_or_no":
            return _choice(field, label, value, hint, key)
        case "choices":
            chosen = value if isinstance(value, list) else []
            return st.multiselect(label, field.choices, default=chosen, help=hint, key=key)
    height, placeholder = _AREAS[field.kind]
    longest = field.longest if field.kind == "long_text" else None
    return st.text_area(label, text, height=height, max_chars=longest, placeholder=placeholder, help=hint, key=key)


def _integer(field: Field, label: str, value: Entered, hint: str | None, key: str) -> int | None:
    # A browser's number holds no more; what lies beyond goes over the API.
    least = -SAFE if field.least is None else max(-SAFE, int(field.least))
    most = SAFE if field.most is None else min(SAFE, int(field.most))
    start = int(value) if isinstance(value, int | float) else None
    return st.number_input(label, least, most, start, 1, "%d", key, hint, placeholder="Not set")


def _number(field: Field, label: str, value: Entered, hint: str | None, key: str) -> float | None:
    least, most = (None if bound is None else float(bound) for bound in (field.least, field.most))
    start = float(value) if isinstance(value, int | float) else None
    return st.number_input(label, least, most, start, None, "%g", key, hint, placeholder="Not set")


def _choice(field: Field, label: str, value: Entered, hint: str | None, key: str) -> Entered:
    chosen = st.selectbox(
        label,
        field.choices,
        index=field.choices.index(value) if value in field.choices else None,
        format_func=_shown,
        placeholder="Choose" if field.required else "Not set",
        help=hint,
        key=key,
    )
    return None if isinstance(chosen, dict) else chosen


def _shown(value: JsonValue) -> str:
    return ("Yes" if value else "No") if isinstance(value, bool) else str(value)
