"""Events arrive whole, however a stream was cut."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.mcp.sse import Overlong, SseReader

_LINE = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=20)


@given(
    events=st.lists(st.lists(_LINE, min_size=1, max_size=3), max_size=6),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    cuts=st.lists(st.integers(0, 200), max_size=20),
    mark=st.booleans(),
)
def test_what_was_sent_is_read_wherever_it_was_cut(
    events: list[list[str]], end: str, cuts: list[int], mark: bool
) -> None:
    text = "".join("".join(f"data: {line}{end}" for line in lines) + end for lines in events)
    sent = (b"\xef\xbb\xbf" if mark else b"") + text.encode() + b":\n"
    places = sorted({0, len(sent), *(cut % (len(sent) + 1) for cut in cuts)})
    reader = SseReader(limit_bytes=10_000)
    read = [message for a, b in pairwise(places) for message in reader.feed(sent[a:b])]
    assert read == [data for lines in events if (data := "\n".join(lines).encode())]


def test_comments_other_types_and_what_is_not_ended_are_no_messages() -> None:
    reader = SseReader(limit_bytes=100)
    sent = b": hello\nretry: 5\n\nevent: endpoint\ndata: /x\n\nid: 7\nevent: message\ndata:{}\n\ndata: half\n"
    assert reader.feed(sent) == [b"{}"]
    assert reader.last_id == b"7"


@pytest.mark.parametrize("sent", [b"data: " + b"x" * 200, b"data: 12345678\n" * 20, b"x" * 101])
def test_what_is_too_large_is_not_kept(sent: bytes) -> None:
    with pytest.raises(Overlong):
        SseReader(limit_bytes=100).feed(sent)
