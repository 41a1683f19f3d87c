"""What is shown again, to whom, and when its origin is asked."""

from uuid import UUID

import pytest

from functions.agents.http_fetch._freshness import lifetime_s, validators
from shared.errors import ToolError
from tests.agents.http_fetch.conftest import Web

OTHER = UUID(int=7)
NOW = 1_800_000_000.0
DATE, LATER = "Fri, 15 Jan 2027 08:00:00 GMT", "Fri, 15 Jan 2027 08:02:00 GMT"


def test_a_fresh_page_is_not_asked_for_again(web: Web) -> None:
    web.put("/", "one", cache_control="max-age=60")
    first = web.call("fetch_txt")
    web.put("/", "two")
    again = web.call("fetch_txt")
    assert (first["text"], again["text"]) == ("one", "one")
    assert (first["_meta"].pop("fromCache"), again["_meta"].pop("fromCache")) == (False, True)
    assert first["_meta"] == again["_meta"]
    assert web.paths == ["/"]


def test_what_one_user_fetched_another_does_not_see(web: Web) -> None:
    web.put("/", "one", cache_control="max-age=60")
    web.text("fetch_txt")
    web.put("/", "two")
    assert web.text("fetch_txt", user_id=OTHER) == "two"


def test_another_url_or_header_is_another_page_and_a_fragment_is_not(web: Web) -> None:
    for path in ("/", "/?a"):
        web.put(path, path, cache_control="max-age=60")
    web.text("fetch_txt")
    assert web.text("fetch_txt", "http://one.example/?a") == "/?a"
    web.text("fetch_txt", headers={"Authorization": "x"})
    web.text("fetch_txt", "http://one.example/#part")
    assert web.paths == ["/", "/?a", "/"]


@pytest.mark.parametrize("said", ["no-store", "max-age=60, no-store", "private, No-Store"])
def test_what_must_not_be_kept_is_not(said: str, web: Web) -> None:
    web.put("/", "one", cache_control=said, etag='"1"')
    web.text("fetch_txt")
    assert web.pages.kept == {}


def test_a_stale_page_is_shown_again_when_its_origin_says_that_it_holds(web: Web) -> None:
    web.put("/", "one", etag='"1"', content_type="text/plain")
    web.text("fetch_txt")
    held = web.call("fetch_txt")
    assert (held["text"], held["_meta"]["status"], held["_meta"]["fromCache"]) == ("one", 200, True)
    assert [headers.get("if-none-match") for _, headers in web.asked] == [None, '"1"']
    # The origin gave it another minute.
    web.text("fetch_txt")
    assert len(web.asked) == 2


def test_a_stale_page_that_has_changed_is_replaced(web: Web) -> None:
    web.put("/", "one", etag='"1"')
    web.text("fetch_txt")
    web.put("/", "two", etag='"2"')
    assert web.text("fetch_txt") == "two"
    assert [page.body for page in web.pages.kept.values()] == [b"two"]


def test_a_redirected_page_and_an_error_are_not_kept(web: Web) -> None:
    web.put("/", status=302, location="/end", cache_control="max-age=60")
    web.put("/end", "x", cache_control="max-age=60")
    web.text("fetch_txt")
    with pytest.raises(ToolError):
        web.text("fetch_txt", "http://one.example/none")
    assert web.pages.kept == {}


@pytest.mark.parametrize("name", ["Cache-Control", "If-None-Match", "Range", "Pragma"])
def test_who_asks_about_caches_asks_the_origin(name: str, web: Web) -> None:
    web.put("/", "one", cache_control="max-age=60")
    web.text("fetch_txt", headers={name: "x"})
    web.text("fetch_txt", headers={name: "x"})
    assert (len(web.asked), web.pages.kept) == (2, {})


def test_robots_txt_is_kept_also_where_there_is_none(web: Web) -> None:
    web.put("/", "x", content_type="text/plain")
    web.text("fetch")
    web.text("fetch")
    assert web.paths == ["/robots.txt", "/", "/"]


@pytest.mark.parametrize(
    "headers, lifetime",
    [
        ({}, None),
        ({"etag": '"1"'}, 0.0),
        ({"last-modified": DATE}, 0.0),
        ({"cache-control": "max-age=60"}, 60.0),
        ({"cache-control": 'public, max-age="60"', "age": "20"}, 40.0),
        ({"cache-control": "s-maxage=60"}, None),
        ({"cache-control": "max-age=-5"}, None),
        ({"cache-control": "max-age=x", "expires": LATER, "date": DATE}, None),
        ({"cache-control": "no-cache, max-age=60"}, None),
        ({"cache-control": "no-cache", "etag": '"1"'}, 0.0),
        ({"cache-control": "no-store", "etag": '"1"'}, None),
        ({"pragma": "no-cache", "expires": LATER, "date": DATE}, None),
        ({"expires": LATER, "date": DATE}, 120.0),
        ({"expires": "0", "date": DATE}, None),
        ({"expires": "Fri, 99 Foo 9999999 08:02:00 GMT"}, None),
        ({"cache-control": "max-age=60", "vary": "Accept, *"}, None),
        ({"cache-control": "max-age=60", "vary": "Accept"}, 60.0),
        ({"cache-control": "max-age=" + "9" * 5000}, 9999999999.0),
    ],
)
def test_an_answer_lives_as_long_as_its_origin_says(headers: dict[str, str], lifetime: float | None) -> None:
    assert lifetime_s(headers, now=NOW) == lifetime


def test_where_the_origin_says_nothing_the_default_holds() -> None:
    assert lifetime_s({}, now=NOW, unsaid_s=60) == 60
    assert lifetime_s({"cache-control": "max-age=5"}, now=NOW, unsaid_s=60) == 5


def test_validators_that_cannot_be_sent_are_left_out() -> None:
    assert validators({"etag": 'W/"a"', "last-modified": DATE}) == {
        "if-none-match": 'W/"a"',
        "if-modified-since": DATE,
    }
    assert validators({"etag": "ü", "last-modified": "x" * 3000}) == {}
