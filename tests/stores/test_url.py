"""URLs are read once, and only where every reader sees the same."""

from urllib.parse import urlsplit

import httpx
import idna
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shared.errors import ToolError
from shared.stores.egress.url import Target

# Pieces that parsers are known to read differently.
_SIGNS = ["://", ":", "/", "//", "@", "#", "?", "\\", "%", "[", "]", ".", "..", "%2e", "\t", "\n", " ", "-", "_"]
_HOSTS = ["127.0.0.1", "::1", "[::1]", "10.1.2.3", "0x7f", "localhost", "Example.ORG", "a.b-c.example", "xn--bcher-kva"]
_STRANGE = ["１", "ſ", "K", "ß", "bücher", "BÜCHER", "。", "①", "١", "İ", "a\u0308", "\u00ad", "例え.jp", "☃", "א.a"]
_PIECES = st.sampled_from([*_SIGNS, *_HOSTS, *_STRANGE, "http", "80", "8080", "443", "0", "x"])
_ANY = st.lists(_PIECES, max_size=8).map(lambda pieces: "http://" + "".join(pieces))
_LABEL = st.text(st.sampled_from("abzK09-_äßλжא。.１K"), min_size=1, max_size=8) | st.text(min_size=1, max_size=6)
_LIKELY = st.builds(
    "{}://{}{}{}".format,
    st.sampled_from(["http", "https", "HTTP", "hTTps"]),
    st.lists(_LABEL, min_size=1, max_size=4).map(".".join) | st.sampled_from(_HOSTS),
    st.sampled_from(["", ":80", ":8080", ":443", ":65535", ":65536", ":0", ":١", ":"]),
    st.sampled_from(["", "/", "/a?b#c", "?q=http://x@y", "#@z", "/ä", "/%zz"]) | st.text(max_size=5).map("/".__add__),
)


@settings(max_examples=1500)
@given(_ANY | _LIKELY)
@example("http://127.0.0.1")
@example("http://[::1]:8080?q=http://x@y#z")
@example("http://10.1.2.3:80//x/../y?[]")
@example("https://bücher.example:8443/ä?ö")
@example("http://faß.example/")
@example("http://xn--bcher-kva.example/")
def test_what_is_accepted_is_read_alike_by_every_parser(url: str) -> None:
    try:
        target = Target.parse(url)
    except ToolError:
        return
    split, parsed = urlsplit(url), httpx.URL(url)
    default = 443 if target.scheme == "https" else 80
    assert Target.parse(target.url) == target
    assert target.url.isascii()
    assert (split.scheme, parsed.scheme) == (target.scheme, target.scheme)
    hostname = split.hostname or ""
    assert (hostname if hostname.isascii() else idna.encode(hostname).decode()) == target.host
    assert parsed.raw_host.decode() == target.host
    assert (split.port or default, parsed.port or default) == (target.port, target.port)
    assert (split.username, parsed.userinfo) == (None, b"")


@pytest.mark.parametrize(
    "url, target",
    [
        ("http://192.0.2.1", Target(scheme="http", host="192.0.2.1", port=80, path="/")),
        ("https://192.0.2.1?q", Target(scheme="https", host="192.0.2.1", port=443, path="/?q")),
        ("http://[2001:db8::1]:81/a", Target(scheme="http", host="2001:db8::1", port=81, path="/a")),
        ("HTTPS://Example.ORG/A#b", Target(scheme="https", host="example.org", port=443, path="/A")),
        ("http://a_b.example", Target(scheme="http", host="a_b.example", port=80, path="/")),
        (
            "http://BÜCHER.example/ü?ö=%20",
            Target(scheme="http", host="xn--bcher-kva.example", port=80, path="/%C3%BC?%C3%B6=%20"),
        ),
    ],
)
def test_a_url_is_parsed_once_into_all_that_is_connected_to(url: str, target: Target) -> None:
    assert Target.parse(url) == target


@pytest.mark.parametrize(
    "url, netloc",
    [
        ("http://example.org:80/", "example.org"),
        ("http://example.org:443/", "example.org:443"),
        ("https://example.org:443/", "example.org"),
        ("http://[2001:db8::1]/", "[2001:db8::1]"),
        ("http://[2001:db8::1]:8080/", "[2001:db8::1]:8080"),
    ],
)
def test_a_port_is_named_where_it_is_not_the_usual_one(url: str, netloc: str) -> None:
    assert Target.parse(url).netloc == netloc


@pytest.mark.parametrize(
    "location, url",
    [
        ("/b?c", "https://example.org:8443/b?c"),
        ("b", "https://example.org:8443/a/b"),
        ("../b", "https://example.org:8443/b"),
        ("?q", "https://example.org:8443/a/x?q"),
        ("", "https://example.org:8443/a/x"),
        ("//other.example/", "https://other.example/"),
        ("http://example.org", "http://example.org/"),
        ("/ü", "https://example.org:8443/%C3%BC"),
    ],
)
def test_a_redirect_is_read_against_where_it_came_from(location: str, url: str) -> None:
    assert Target.parse("https://example.org:8443/a/x").joined(location).url == url


@pytest.mark.parametrize(
    "location", ["/a b", "\\\\evil/", "http://[", "http://[::1", "/\r\nx", "ftp://x/", "http://a@b/"]
)
def test_a_redirect_that_is_no_proper_url_is_refused(location: str) -> None:
    with pytest.raises(ToolError):
        Target.parse("https://example.org/").joined(location)
