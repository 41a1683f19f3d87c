"""From hostile or careless HTML to text and Markdown, and from bytes to characters."""

import codecs
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.agents.http_fetch._plain import plain_text
from shared.errors import ToolError
from shared.hypertext.charset import decoded
from shared.hypertext.links import absolute
from shared.hypertext.markdown import Markdown
from shared.hypertext.tokens import Clock, tokens
from shared.hypertext.visible import Visible

LIMIT = 1 << 20


def markdown(source: str) -> str:
    return Markdown("https://example.org/d/", Visible(source, Clock()), LIMIT).written()


def plain(source: str) -> str:
    return plain_text(Visible(source, Clock()), LIMIT)


@pytest.mark.parametrize(
    "source, written",
    [
        ("<h2>A <i>b</i></h2><h6>c</h6>", "## A *b*\n\n###### c"),
        ("<p>a<p>b<div>c</div>d", "a\n\nb\n\nc\n\nd"),
        ("a<br>b<br/>c", "a  \nb  \nc"),
        ("<b> bold </b>x<strong></strong>", "**bold** x"),
        ("<b><strong>x</strong></b><em><i>y</i></em>", "**x***y*"),
        ("<del>x</del> <code>a`b</code> <code>`</code>", "~~x~~ ``a`b`` `` ` ``"),
        ("<code>a*b_c<d></code>", "`a*b_c`"),
        ("2*3 _x_ a_b `t` \\ &lt;b> [x](y)", "2\\*3 \\_x\\_ a_b \\`t\\` \\\\ \\<b> [x]\\(y)"),
        ("<p># a<p>1. b<p>- c<p>+d<p>> e<p>#f", "\\# a\n\n1\\. b\n\n\\- c\n\n+d\n\n\\> e\n\n#f"),
        ("<ul><li>a<li>b<ol start=9><li>c<li>d</ol><li>e</ul>f", "- a\n- b\n  9. c\n  10. d\n- e\n\nf"),
        ("<ul><li><p>a</p><p>b</p></li><li>c</li></ul>", "- a\n\n  b\n- c"),
        ("<ul><li>a</ul><ol><li>b</ol>", "- a\n\n1. b"),
        (
            "<blockquote>a<blockquote>b</blockquote><pre>c\n\nd</pre></blockquote>",
            "> a\n>\n> > b\n>\n> ```\n> c\n>\n> d\n> ```",
        ),
        ("<pre class='x language-py'>a\n  b &amp;\n</pre>", "```py\na\n  b &\n```"),
        ("<pre><code class=lang-js>```</code></pre>", "````js\n```\n````"),
        ("<table><tr><th>a<th>b<tr><td>1|<td>2</table>", "| a | b |\n| --- | --- |\n| 1\\| | 2 |"),
        ("<table><tr><td>1<td>2<tr><td>3</table>", "|  |  |\n| --- | --- |\n| 1 | 2 |\n| 3 |"),
        ("<table><tr><td>a<tr><td>b</table>", "a\n\nb"),
        ("<table><tr><td>a<table><tr><td>b<td>c</table>d</table>", "a\n\n|  |  |\n| --- | --- |\n| b | c |\n\nd"),
        ("<table><tr><td><p>a<p>b<ul><li>c</ul><td>d</table>", "|  |  |\n| --- | --- |\n| a b c | d |"),
        (
            "<a href=x>a</a> <a href='/y z'>b</a> <a>c</a>",
            "[a](https://example.org/d/x) [b](https://example.org/y%20z) c",
        ),
        ("<a href=x><h3>a</h3><p>b</p></a>", "### [a](https://example.org/d/x)\n\n[b](https://example.org/d/x)"),
        ("<a href='a)b(c'>x</a>", "[x](https://example.org/d/a%29b%28c)"),
        ("<a href=a>x<a href=b>y", "[x](https://example.org/d/a)[y](https://example.org/d/b)"),
        ("<img src=i.png alt='a [b]'><img alt=only><img src=data:x>", "![a \\[b\\]](https://example.org/d/i.png)only"),
        ("<base href=/b/><base href=/c/><a href=x>a</a>", "[a](https://example.org/b/x)"),
        ("<base href=javascript:x><a href=x>a</a>", "[a](https://example.org/d/x)"),
        ("<a href='?x=1&copy=2&amp;y=&#51;'>a</a>", "[a](https://example.org/d/?x=1&copy=2&y=3)"),
        ("<dl><dt>a<dd>b<dd>c</dl>", "a\n\n: b\n\n: c"),
        ("a<hr>b", "a\n\n---\n\nb"),
        ("&lt;script&gt; &copy; &#65; &nosuch; &#99999999999;", "\\<script> © A &nosuch; \ufffd"),
    ],
)
def test_a_page_becomes_markdown(source: str, written: str) -> None:
    assert markdown(source) == written


@pytest.mark.parametrize(
    "source, written",
    [
        ("<p>a\n b<p>c<ul><li>d<li>e</ul>f", "a b\n\nc\n\nd\ne\n\nf"),
        ("a<br>b<div>c</div>", "a\nb\nc"),
        ("<table><tr><td>a<td>b<tr><td>c</table>", "a\tb\nc"),
        ("<pre>a\n  b</pre>c", "a\n  b\n\nc"),
        ("a<script>x</script>b<style>y</style><!-- z -->c<template>t</template>", "abc"),
        ("<title>t</title>a<textarea>b <i></textarea>", "ab <i>"),
        ("<noscript>a</noscript><iframe>b</iframe><svg><text>c</text></svg>", "a"),
        ("a<p hidden>b<p>c", "a\n\nc"),
        ("a<span style='color:red; DISPLAY : None'>b</span>c", "ac"),
        ("a<span style='visibility:hidden'>b<span>c</span></span>d", "ad"),
        ("a<span style='font-size:0px'>b</span><i style='opacity:.9'>c</i><i style='opacity: 0;x:y'>d</i>", "ac"),
        ("a<div aria-hidden=true><div>b</div></div>c", "ac"),
        ("<div hidden><p>a</div>b", "b"),
        ("<td>a</td></div>b</p>", "ab"),
        ("a < b <3 </ > <>", "a < b <3 <>"),
        ("a<!-->b<!--->c<!--x--!>d<!x>e<?x>f</>g</ x>h", "abcdefgh"),
        ("a<b title='>'>c</b><i x=\">\" y=>d", "acd"),
        ("a<b title='never closed>c</b>", "a"),
        ("a<!-- never closed", "a"),
        ("a<script>never closed <p>b", "a"),
        ("<SCRIPT>x</sCrIpT >a<script>y</scriptx></script>b", "ab"),
        ("<p = x>a<p ==>b", "a\n\nb"),
    ],
)
def test_a_page_becomes_text(source: str, written: str) -> None:
    assert plain(source) == written


_TAGS = (
    "<div> </div> <p> </p> <ul> <ol> <li> </ul> <table> <tr> <td> </td> </tr> </table> <pre> </pre> <b> </b> "
    "<code> </code> <blockquote> </blockquote> <h1> </h1> <script> </script> <!-- --> < > & &amp; &#x; <br> <dl> "
    "<dd> </dl> <span/hidden> </span> <main> </main> <img/alt=x/src=y> <button> </button> word ` * _"
)
_SOUP = st.lists(
    st.sampled_from(_TAGS.split())
    | st.sampled_from(["<a href='x'>", "</a>", "\n", "  ", "<i style='display:none'>", "</i>"]),
    max_size=40,
).map("".join)


@given(_SOUP)
def test_any_soup_is_read_in_balance(source: str) -> None:
    opened: list[str] = []
    for kind, name, _ in Visible(source, Clock()):
        if kind == "end":
            assert opened.pop() == name
        elif kind == "start" and name not in ("br", "img"):
            opened.append(name)
    assert opened == []
    assert isinstance(markdown(source), str)
    assert len(plain(source)) <= len(source)


@given(st.text())
def test_any_text_is_read_to_its_end(source: str) -> None:
    assert sum(len(text) for kind, text, _ in tokens(source.replace("<", " "), Clock()) if kind == "text") >= 0
    markdown(source)
    plain(source)


NASTY = {
    "nested": "<div><b><blockquote><ul><li>",
    "unclosed quotes": "<a b='",
    "brackets": "<",
    "comments": "<!--",
    "attributes": "<a " + "b=c " * 1000,
    "end tags": "</div></p></li>",
    "paragraphs in spans": "<p>" + "<span>" * 50,
    "cells": "<table><tr><td>",
    "raw texts": "<script></script ",
    "ampersands": "&amp&#9",
    "styles": "<i style='" + "display " * 200 + "'>",
    "links": "<a href=x><p>y",
    "links that look like more": "](",
    "ticks": "`",
}


@pytest.mark.parametrize("piece", [pytest.param(piece, id=name) for name, piece in NASTY.items()])
def test_twice_as_much_takes_about_twice_as_long(piece: str) -> None:
    def taken_s(size: int) -> float:
        source = piece * (size // len(piece) + 1)
        began = time.thread_time()
        Markdown("https://example.org/", Visible(source, Clock(60)), LIMIT).written()
        plain_text(Visible(source, Clock(60)), LIMIT)
        return time.thread_time() - began

    small = min(taken_s(20_000) for _ in range(3))
    assert taken_s(160_000) < 8 * 4 * small + 0.05


def test_what_takes_too_long_is_given_up() -> None:
    with pytest.raises(ToolError, match="too tangled"):
        Markdown("https://example.org/", Visible("<p>x" * 300_000, Clock(0.05)), 1 << 30).written()


def test_no_more_is_written_than_may_be() -> None:
    source = "<ul><li><p>word" * 12 + "<p>word" * 10_000
    assert len(Markdown("https://example.org/", Visible(source, Clock()), 10_000).written()) < 20_000
    assert len(plain_text(Visible(source, Clock()), 10_000)) < 20_000


@pytest.mark.parametrize(
    "body, content_type, text, charset",
    [
        ("ü".encode(), "", "ü", "utf-8"),
        ("ü".encode("latin-1"), "text/html; charset=ISO-8859-1", "ü", "cp1252"),
        (b"\x93x\x94", "text/plain; charset=us-ascii", "“x”", "cp1252"),
        ("ж".encode("koi8-r"), 'text/html; charset="KOI8-R"', "ж", "koi8-r"),
        ("<meta charset=shift_jis>日本".encode("shift_jis"), "text/html", "<meta charset=shift_jis>日本", "shift_jis"),
        (
            '<meta http-equiv=x content="text/html; charset=windows-1251">ж'.encode("cp1251"),
            "text/html",
            '<meta http-equiv=x content="text/html; charset=windows-1251">ж',
            "cp1251",
        ),
        (
            '<?xml version="1.0" encoding="gb2312"?>中'.encode("gb2312"),
            "application/xml",
            '<?xml version="1.0" encoding="gb2312"?>中',
            "gb2312",
        ),
        (b"<meta charset=koi8-r>x", "text/plain", "<meta charset=koi8-r>x", "utf-8"),
        (b"<meta charset=utf-16>x", "text/html", "<meta charset=utf-16>x", "utf-8"),
        (codecs.BOM_UTF8 + "ü".encode(), "text/plain; charset=latin-1", "ü", "utf-8"),
        (codecs.BOM_UTF16_LE + "ü".encode("utf-16-le"), "", "ü", "utf-16-le"),
        (codecs.BOM_UTF16_BE + "ü".encode("utf-16-be"), "", "ü", "utf-16-be"),
        (codecs.BOM_UTF32_LE + "ü".encode("utf-32-le"), "", "ü", "utf-32-le"),
        (b"a\xffb", "text/plain; charset=utf-8", "a\ufffdb", "utf-8"),
        (b"hello", "text/plain; charset=rot13", "hello", "utf-8"),
        (b"hello", "text/plain; charset=idna", "hello", "utf-8"),
        (b"hello+AGEA-", "text/plain; charset=utf-7", "hello+AGEA-", "utf-8"),
        (b"hello", "text/plain; charset=nosuch\0", "hello", "utf-8"),
        (b"", "", "", "utf-8"),
    ],
)
def test_a_charset_is_taken_from_where_it_is_said(body: bytes, content_type: str, text: str, charset: str) -> None:
    assert decoded(body, content_type) == (text, charset)


def test_a_charset_that_is_nowhere_said_is_guessed() -> None:
    words = "Съешь же ещё этих мягких французских булок, да выпей чаю. " * 5
    text, charset = decoded(words.encode("cp1251"), "text/plain")
    assert (text, charset) == (words, "cp1251")


@pytest.mark.parametrize(
    "link, url",
    [
        ("a", "https://example.org/d/a"),
        (" \n/a\tb ", "https://example.org/ab"),
        ("//other.example", "https://other.example"),
        ("#x", "https://example.org/d/#x"),
        ("mailto:a@b", "mailto:a@b"),
        ("javascript:x", None),
        ("JAVA\nSCRIPT:x", None),
        (" data:x", None),
        ("vbscript:x", None),
        ("http://[", None),
        ("", None),
        ("a" * 5000, None),
        ("/a\u202eb", None),
    ],
)
def test_a_link_is_absolute_or_none(link: str, url: str | None) -> None:
    assert absolute("https://example.org/d/", link) == url
