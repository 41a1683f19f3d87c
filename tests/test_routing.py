"""From a method and a path to what serves it."""

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import Invalid, MethodNotAllowed, NotFound
from shared.routing import Routes


def _routes(*declared: tuple[str, str]) -> Routes[str]:
    made: Routes[str] = Routes()
    for method, path in declared:
        made.add(method, path, f"{method} {path}")
    return made


USERS = _routes(
    ("GET", "/users"),
    ("GET", "/users/me"),
    ("PUT", "/users/me"),
    ("GET", "/users/{id}"),
    ("PATCH", "/users/{id}"),
    ("POST", "/users/{id}/notes/{note}"),
    ("POST", "/"),
)


@pytest.mark.parametrize(
    "method, path, target, values",
    [
        ("GET", "/users", "GET /users", {}),
        ("GET", "/users/", "GET /users", {}),
        ("GET", "/users/7", "GET /users/{id}", {"id": "7"}),
        ("GET", "/users/me", "GET /users/me", {}),
        ("PUT", "/users/me", "PUT /users/me", {}),
        ("GET", "/users/me2", "GET /users/{id}", {"id": "me2"}),
        ("POST", "/users/a/notes/b", "POST /users/{id}/notes/{note}", {"id": "a", "note": "b"}),
        ("POST", "/users/me/notes/b", "POST /users/{id}/notes/{note}", {"id": "me", "note": "b"}),
        ("GET", "/users/a%2Fb", "GET /users/{id}", {"id": "a/b"}),
        ("GET", "/users/a%2fb", "GET /users/{id}", {"id": "a/b"}),
        ("GET", "/users/..", "GET /users/{id}", {"id": ".."}),
        ("GET", "/users/%C3%A9", "GET /users/{id}", {"id": "é"}),
        ("GET", "/users/a+b", "GET /users/{id}", {"id": "a+b"}),
        ("POST", "/", "POST /", {}),
    ],
)
def test_a_route_is_found_with_its_values(method: str, path: str, target: str, values: dict[str, str]) -> None:
    assert USERS.match(method, path) == (target, values)


@pytest.mark.parametrize(
    "path", ["/user", "/users/7/notes/", "/users//notes/b", "/users/7/notes", "/USERS", "/users/7/x/8"]
)
def test_a_path_that_nothing_serves_is_not_found(path: str) -> None:
    with pytest.raises(NotFound):
        USERS.match("POST", path)


def test_a_path_without_the_root_is_not_found_where_the_root_is_not_served() -> None:
    with pytest.raises(NotFound):
        _routes(("GET", "/users")).match("GET", "/")


def test_another_method_is_told_those_that_are_served() -> None:
    with pytest.raises(MethodNotAllowed) as refusal:
        USERS.match("DELETE", "/users/7")
    assert refusal.value.details["allow"] == ["GET", "HEAD", "PATCH"]


def test_a_literal_hides_the_variable_beside_it_for_other_methods_too() -> None:
    with pytest.raises(MethodNotAllowed) as refusal:
        USERS.match("PATCH", "/users/me")
    assert refusal.value.details["allow"] == ["GET", "HEAD", "PUT"]


@pytest.mark.parametrize("path", ["/users/%FF", "/users/%00", "/users/a%00b", "/users/%C3"])
def test_a_value_that_is_no_text_is_refused(path: str) -> None:
    with pytest.raises(Invalid):
        USERS.match("GET", path)


def test_a_route_is_declared_once() -> None:
    with pytest.raises(ValueError, match="twice"):
        _routes(("GET", "/a/{b}"), ("GET", "/a/{c}"))


def test_routes_may_name_one_place_differently() -> None:
    routes = _routes(("GET", "/a/{b}"), ("PUT", "/a/{c}"))
    assert routes.match("GET", "/a/1") == ("GET /a/{b}", {"b": "1"})
    assert routes.match("PUT", "/a/1") == ("PUT /a/{c}", {"c": "1"})


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1))
def test_any_text_survives_as_a_value(value: str) -> None:
    encoded = quote(value, safe="")
    expected = "GET /users/me" if value == "me" else "GET /users/{id}"
    target, values = USERS.match("GET", f"/users/{encoded}")
    assert target == expected
    assert values == ({} if value == "me" else {"id": value})
