"""URI templates: which URIs are of one, and what its names stand for there."""

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.mcp.templates import Template


@given(st.text(min_size=1), st.text(min_size=1))
def test_values_come_back_as_they_were_put_in(first: str, second: str) -> None:
    template = Template("demo://a.b/{first}/data/{second}")
    uri = f"demo://a.b/{quote(first, safe='')}/data/{quote(second, safe='')}"
    assert template.values(uri) == {"first": first, "second": second}


@given(st.text(min_size=1))
def test_a_template_of_one_name_is_filled_in(value: str) -> None:
    for text in ("demo://{name}", "demo://{+name}/end"):
        template = Template(text)
        assert template.values(template.filled(value)) == {"name": value}


@pytest.mark.parametrize(
    "text, uri, values",
    [
        ("demo://x", "demo://x", {}),
        ("demo://x", "demo://y", None),
        ("demo://{a}", "demo://", None),
        ("demo://{a}", "demo://b/c", None),
        ("demo://{a}", "demo://b?c", None),
        ("demo://{+a}", "demo://b/c?d", {"a": "b/c?d"}),
        ("demo://{a}", "demo://%2e%2e%2fetc", {"a": "../etc"}),
        ("demo://{a}", "demo://%ff", None),
        ("demo://a.c/{a}", "demo://abc/1", None),
        ("demo://{a}", "demo://b\n", {"a": "b\n"}),
    ],
)
def test_a_uri_is_of_a_template_or_is_not(text: str, uri: str, values: dict[str, str] | None) -> None:
    assert Template(text).values(uri) == values


@pytest.mark.parametrize(
    "text", ["demo://{a", "demo://a}", "demo://{?a}", "demo://{a*}", "demo://{a}/{a}", "demo://{}"]
)
def test_what_is_no_such_template_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="demo"):
        Template(text)
