"""Where a browser is sent back to, and where it never is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.redirect_uris import is_redirect_uri, is_registered

LOOPBACK = ["http://127.0.0.1/callback", "http://localhost:3000/cb?x=1", "http://[::1]:8080/"]
WEB = "https://app.example.org/callback"


@pytest.mark.parametrize("uri", [*LOOPBACK, WEB, "https://app.example.org", "http://127.0.0.1", "https://a.b:8443/x"])
def test_https_and_this_machine_are_places_to_go_back_to(uri: str) -> None:
    assert is_redirect_uri(uri)


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "javascript:alert(1)",
        "data:text/html,x",
        "file:///etc/passwd",
        "cursor://anysphere/callback",
        "http://app.example.org/callback",
        "http://127.0.0.1.evil.example/",
        "http://127.0.0.2/",
        "http://127.1/",
        "http://0.0.0.0/",
        "http://localhost.evil.example/",
        "http://127.0.0.1@evil.example/",
        "https://user:pass@app.example.org/",
        "https://app.example.org@evil.example/",
        "https://app.example.org\\@evil.example/",
        "https://app.example.org/#fragment",
        "https://app.example.org/ x",
        "https://app.example.org/\r\nSet-Cookie: a=b",
        "https://app.example.org/\n",
        "https://app.example.org:0/",
        "https://app.example.org:65536/",
        "https://app.example.org:/",
        "https://\u0430pp.example.org/",
        "https:///callback",
        "//app.example.org/callback",
        "https://" + "a" * 500,
    ],
)
def test_nothing_else_is(uri: str) -> None:
    assert not is_redirect_uri(uri)


@pytest.mark.parametrize("port", ["", ":1", ":3000", ":65535"])
def test_a_program_on_this_machine_may_listen_anywhere(port: str) -> None:
    registered = ["http://127.0.0.1:1234/callback", "http://localhost/cb"]
    assert is_registered(f"http://127.0.0.1{port}/callback", registered)
    assert is_registered(f"http://localhost{port}/cb", registered)


@pytest.mark.parametrize(
    "asked",
    [
        "http://127.0.0.1:1234/callback/",
        "http://127.0.0.1:1234/callback?x",
        "http://127.0.0.1:1234/Callback",
        "http://127.0.0.1:1234",
        "http://localhost:1234/callback",
        "http://[::1]:1234/callback",
        "https://127.0.0.1:1234/callback",
        "https://app.example.org:8443/callback",
        "https://app.example.org/callback/../evil",
        "https://app.example.org/callback?next=evil",
        "https://app.example.org/callbac",
        "https://APP.example.org/callback",
        "https://evil.example/callback",
        "",
    ],
)
def test_a_redirect_is_to_the_letter_but_for_that_port(asked: str) -> None:
    assert not is_registered(asked, ["http://127.0.0.1:1234/callback", WEB])


@given(st.text(max_size=60))
def test_whatever_is_not_registered_is_refused(tail: str) -> None:
    assert is_registered(WEB + tail, [WEB]) == (tail == "")


@given(st.integers(1, 65535), st.integers(1, 65535), st.sampled_from(["127.0.0.1", "localhost", "[::1]"]))
def test_any_port_of_this_machine_is_the_same(one: int, other: int, host: str) -> None:
    assert is_registered(f"http://{host}:{one}/x", [f"http://{host}:{other}/x"])
    assert is_registered(f"https://a.example:{one}/x", [f"https://a.example:{other}/x"]) == (one == other)
