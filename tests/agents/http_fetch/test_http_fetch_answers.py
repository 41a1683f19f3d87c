"""What the five actions answer, and how they fail."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from functions.agents.http_fetch.fetch import Fetch
from shared.errors import ToolError, Unavailable
from shared.version import VERSION
from tests.agents.http_fetch.conftest import Web

HTML = "text/html; charset=utf-8"
PAGE = """<!doctype html><html><head><title>A &amp; B</title><style>p {color: red}</style></head>
<body><nav><a href="/home">Home</a></nav><h1>Heading</h1>
<p>Words with <a href="more?x=1">a link</a> &amp; <b>more</b>.</p><script>evil()</script>
<p hidden>unseen</p></body></html>"""


def test_a_page_comes_as_html_text_and_markdown(web: Web) -> None:
    web.put("/", PAGE, content_type=HTML)
    assert web.text("fetch_html") == PAGE
    assert web.text("fetch_txt") == "Home\n\nHeading\n\nWords with a link & more."
    assert web.text("fetch_markdown") == (
        "[Home](http://one.example/home)\n\n# Heading\n\nWords with [a link](http://one.example/more?x=1) & **more**."
    )


def test_an_answer_says_where_it_comes_from(web: Web) -> None:
    web.put("/", status=301, location="/there")
    web.put("/there", PAGE, content_type=HTML)
    block = web.call("fetch_txt")
    fetched_at = datetime.fromisoformat(block["_meta"].pop("fetchedAt"))
    assert abs((datetime.now(UTC) - fetched_at).total_seconds()) < 30
    assert (block["type"], sorted(block)) == ("text", ["_meta", "text", "type"])
    assert block["_meta"] == {
        "url": "http://one.example/there",
        "status": 200,
        "contentType": HTML,
        "charset": "utf-8",
        "title": "A & B",
        "fromCache": False,
        "totalCharacters": len(block["text"]),
    }


def test_we_say_who_we_are_unless_the_caller_does(web: Web) -> None:
    web.put("/", "x")
    web.text("fetch_txt")
    web.text("fetch_txt", headers={"User-Agent": "mine", "Accept": "a/b", "Cookie": "c=d", "Authorization": "e"})
    (_, ours), (_, theirs) = web.asked
    assert ours["user-agent"] == f"SutazAI/{VERSION}"
    assert [theirs[name] for name in ("user-agent", "accept", "cookie", "authorization")] == ["mine", "a/b", "c=d", "e"]


@pytest.mark.parametrize("kind", ["application/json", "application/problem+json; charset=utf-8", "text/plain", ""])
def test_json_is_parsed_and_written_without_blanks(kind: str, web: Web) -> None:
    web.put(
        "/", b'\xef\xbb\xbf{"a": [1, 2.50, null, "\xc3\xbc\\u0041"],\n "big": 12345678901234567890}', content_type=kind
    )
    assert web.text("fetch_json") == '{"a":[1,2.5,null,"üA"],"big":12345678901234567890}'


@pytest.mark.parametrize(
    "body, kind, reason",
    [
        ("{}", "text/html", "is text/html, no JSON; fetch_txt"),
        ("<a/>", "application/xml", "is application/xml, no JSON"),
        ("{'a': 1}", "application/json", "is no JSON: Expecting property name"),
        ("", "application/json", "is no JSON: Expecting value at character 0"),
        ("[NaN]", "application/json", "NaN is not JSON"),
        ("[1e999]", "application/json", "a number is too large"),
        ("[" * 100_000, "application/json", "nested too deeply"),
    ],
)
def test_what_is_no_json_is_an_error(body: str, kind: str, reason: str, web: Web) -> None:
    web.put("/", body, content_type=kind)
    with pytest.raises(ToolError, match=reason):
        web.text("fetch_json")


@pytest.mark.parametrize(
    "status, hint",
    [
        (401, "401 Unauthorized: it wants credentials"),
        (404, "404 Not Found: check the spelling"),
        (418, "418 I'm a Teapot: it does not give the page"),
        (429, "429 Too Many Requests: .* try again later"),
        (500, "500 Internal Server Error: it fails on its own side"),
        (599, "599: it fails"),
        (304, "304 Not Modified: it leads nowhere"),
    ],
)
@pytest.mark.parametrize("tool", ["fetch_html", "fetch_markdown", "fetch_txt", "fetch_json", "fetch"])
def test_any_status_but_success_is_an_error_to_act_on(tool: str, status: int, hint: str, web: Web) -> None:
    web.put("/robots.txt", status=404)
    web.put("/", "secret" if status != 304 else "", status=status)
    with pytest.raises(ToolError, match=hint) as failed:
        web.text(tool)
    assert "http://one.example/" in failed.value.message
    assert "secret" not in failed.value.message


@pytest.mark.parametrize("tool", ["fetch_html", "fetch_markdown", "fetch_txt", "fetch"])
@pytest.mark.parametrize("kind, body", [("image/png", b"x"), ("application/pdf", b"%PDF"), ("", b"\x7fELF\0\0")])
def test_what_is_no_text_is_an_error(tool: str, kind: str, body: bytes, web: Web) -> None:
    web.put("/", body, content_type=kind)
    with pytest.raises(ToolError, match=f"no text but {kind or 'binary data'}, {len(body)} bytes"):
        web.text(tool)


@pytest.mark.parametrize("kind", ["text/plain", "application/json", "text/css", "image/svg+xml", "application/rss+xml"])
def test_text_that_is_no_page_comes_as_it_is(kind: str, web: Web) -> None:
    web.put("/", "<b>*x*</b> & y", content_type=kind)
    for tool in ("fetch_html", "fetch_markdown", "fetch_txt"):
        assert web.text(tool) == "<b>*x*</b> & y"
    assert web.text("fetch") == (f"(This is {kind}, shown as it is.)\nContents of http://one.example/:\n<b>*x*</b> & y")


def test_a_page_without_a_type_is_known_by_its_looks(web: Web) -> None:
    web.put("/", "\n<!DOCTYPE html><p>seen<script>unseen</script>")
    assert web.text("fetch_txt") == "seen"


def test_characters_that_json_cannot_hold_are_replaced(web: Web) -> None:
    web.put("/", "a\0b", content_type="text/plain")
    assert web.text("fetch_txt") == "a\ufffdb"
    web.put("/", '["\\ud800\\u0000"]', content_type="application/json")
    assert json.loads(web.text("fetch_json").replace("\ufffd", "?")) == ["?\x00"]


def test_a_text_too_large_for_one_answer_is_read_in_parts(web: Web) -> None:
    web.put("/", "\x01" * 2_000_000, content_type="text/plain")
    with pytest.raises(ToolError, match="in parts with fetch"):
        web.text("fetch_html")
    assert web.call("fetch", max_length=10)["_meta"]["nextStartIndex"] == 10


def test_a_long_page_is_read_part_by_part(web: Web) -> None:
    web.put("/", "<p>" + "0123456789" * 3 + "</p>", content_type=HTML)
    read, start, parts = "", 0, 0
    while True:
        block = web.call("fetch", max_length=12, start_index=start)
        head, _, rest = block["text"].partition("\n")
        part, _, note = rest.partition("\n\n")
        assert head == "Contents of http://one.example/:"
        read, parts = read + part, parts + 1
        if (following := block["_meta"].get("nextStartIndex")) is None:
            assert note == ""
            break
        assert note == (
            f"[Content truncated: characters {start} to {following} of 30 are shown; "
            f"call fetch with start_index={following} to read on.]"
        )
        start = following
    assert (read, parts) == ("0123456789" * 3, 3)
    assert "No more content: the text has 30 characters" in web.text("fetch", start_index=30)


def test_fetch_leaves_out_what_lies_beside_a_page_unless_there_is_nothing_else(web: Web) -> None:
    long = "word " * 60
    web.put("/main", f"<nav>menu</nav><main><h1>T</h1><p>{long}</main><p>other<footer>f</footer>", content_type=HTML)
    web.put("/small", "<nav>menu</nav><main></main><p>other<footer>f</footer>", content_type=HTML)
    web.put("/nav", "<nav>menu only</nav>", content_type=HTML)
    begin = "Contents of http://one.example{}:\n"
    assert web.text("fetch", "http://one.example/main") == begin.format("/main") + f"# T\n\n{long.strip()}"
    assert web.text("fetch", "http://one.example/small") == begin.format("/small") + "other"
    assert web.text("fetch", "http://one.example/nav") == begin.format("/nav") + "menu only"
    raw = web.text("fetch", "http://one.example/nav", raw=True)
    assert raw == begin.format("/nav") + "<nav>menu only</nav>"


@pytest.mark.parametrize(
    "asked",
    [
        {"max_length": 0},
        {"max_length": 1_000_000},
        {"start_index": -1},
        {"max_length": "10"},
        {"raw": "yes"},
        {"headers": {}},
        {"url": None},
    ],
)
def test_what_fetch_does_not_take_is_refused(asked: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Fetch.model_validate({"url": "http://one.example/", **asked})


ROBOTS = "User-agent: *\nDisallow: /private\nAllow: /private/open\n\nUser-agent: sutazai\nDisallow: /ours$\n"


def test_robots_txt_holds_for_fetch_alone(web: Web) -> None:
    web.put("/robots.txt", ROBOTS, content_type="text/plain")
    web.put("/private", "inside", content_type="text/plain")
    web.put("/ours", "inside", content_type="text/plain")
    with pytest.raises(
        ToolError, match=r"robots\.txt of http://one\.example keeps automatic readers out of 'http://one\.example/ours'"
    ):
        web.text("fetch", "http://one.example/ours")
    assert web.paths == ["/robots.txt"]
    assert web.text("fetch", "http://one.example/private").endswith("inside")
    assert web.text("fetch_txt", "http://one.example/ours") == "inside"


def test_robots_txt_is_asked_for_where_a_redirect_leads(web: Web) -> None:
    web.put("/robots.txt", "User-agent: *\nDisallow: /end", content_type="text/plain")
    web.put("/", status=302, location="http://two.example/end")
    web.put("/end", "inside")
    with pytest.raises(ToolError, match=r"keeps automatic readers out of 'http://two\.example/end'"):
        web.text("fetch")
    assert web.paths == ["/robots.txt", "/", "/end", "/robots.txt"]


@pytest.mark.parametrize(
    "rules, allowed",
    [
        ("", True),
        ("<html>nothing here</html>", True),
        ("\ufeffUser-agent: *\nDisallow: /", False),
        ("User-agent: *\nDisallow: /", False),
        ("User-agent: *\nDisallow: /a\nAllow: /a/b", True),
        ("User-agent: *\nAllow: /a\nDisallow: /a/b", False),
        ("User-agent: *\nDisallow: /*/b$", False),
        ("User-agent: *\nDisallow: /%61/b", False),
        ("User-agent: *\nDisallow: /\n\nUser-agent: SUTAZAI\nAllow: /", True),
        ("User-agent: other\nDisallow: /", True),
        ("user-agent:sutazai\ndisallow:/a # all of it\n", False),
        ("Disallow: /", True),
    ],
)
def test_rules_are_taken_from_our_group_else_from_everyones(rules: str, allowed: bool, web: Web) -> None:
    web.put("/robots.txt", rules, content_type="text/plain")
    web.put("/a/b", "inside", content_type="text/plain")
    if allowed:
        assert web.text("fetch", "http://one.example/a/b").endswith("inside")
        return
    with pytest.raises(ToolError, match="keeps automatic readers out"):
        web.text("fetch", "http://one.example/a/b")


@pytest.mark.parametrize("status", [401, 403])
def test_an_origin_that_hides_its_robots_txt_lets_nobody_in(status: int, web: Web) -> None:
    web.put("/robots.txt", status=status)
    with pytest.raises(ToolError, match="does not let automatic readers in"):
        web.text("fetch")


@pytest.mark.parametrize("status", [429, 500, 503])
def test_robots_txt_that_cannot_be_read_now_is_tried_later(status: int, web: Web) -> None:
    web.put("/robots.txt", status=status)
    with pytest.raises(Unavailable, match=f"answered {status}"):
        web.text("fetch")
    assert web.paths == ["/robots.txt"]


def test_an_origin_without_robots_txt_lets_everyone_in(web: Web) -> None:
    web.put("/", "x", content_type="text/plain")
    assert web.text("fetch").endswith("x")
    assert web.paths == ["/robots.txt", "/"]
