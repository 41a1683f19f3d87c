"""Files, compressed, from either kind of URL."""

import asyncio
import base64
import gzip
import random

import pytest

from functions.agents.everything.gzip_file_as_resource import GzipFileAsResource, gzip_file_as_resource
from shared.content import BlobResource, Content, EmbeddedResource, ResourceLink
from shared.errors import ToolError, Unavailable
from shared.function import MIB
from tests.fakes import FakeEgress, answered

URL = "http://192.0.2.1:80/file"


def zipped(request: GzipFileAsResource, egress: FakeEgress | None = None) -> Content:
    return asyncio.run(gzip_file_as_resource(request, egress=egress or FakeEgress()))


def blob_of(content: Content) -> bytes:
    (block,) = content.content
    assert isinstance(block, EmbeddedResource) and isinstance(block.resource, BlobResource)
    return base64.b64decode(block.resource.blob, validate=True)


@pytest.mark.parametrize(
    "url, content",
    [
        ("data:,hello", b"hello"),
        ("data:text/plain,a%20b,c", b"a b,c"),
        ("data:text/plain;charset=utf-8,%C3%BC", "ü".encode()),
        ("data:;base64,aGVsbG8=", b"hello"),
        ("DATA:text/plain;BASE64,aGVsbG8%3D", b"hello"),
        ("data:,", b""),
    ],
)
def test_a_data_url_is_compressed_and_reads_back(url: str, content: bytes) -> None:
    answer = zipped(GzipFileAsResource(data=url, output_type="resource"))
    assert gzip.decompress(blob_of(answer)) == content


def test_a_link_carries_the_file_and_says_its_size() -> None:
    (link,) = zipped(GzipFileAsResource(name="a.gz", data="data:,hello")).content
    assert isinstance(link, ResourceLink)
    head, _, blob = link.uri.partition(",")
    packed = base64.b64decode(blob, validate=True)
    assert (head, link.name, link.mime_type) == ("data:application/gzip;base64", "a.gz", "application/gzip")
    assert gzip.decompress(packed) == b"hello"
    assert link.size_bytes == len(packed)


def test_the_same_input_gives_the_same_answer_and_a_name_cannot_change_the_uri() -> None:
    request = GzipFileAsResource(name="../x?y#z", data="data:,hello", output_type="resource")
    assert zipped(request) == zipped(request)
    (block,) = zipped(request).content
    assert isinstance(block, EmbeddedResource)
    assert block.resource.uri == "demo://resource/session/..%2Fx%3Fy%23z"


def test_without_arguments_it_needs_no_network() -> None:
    (link,) = zipped(GzipFileAsResource()).content
    assert isinstance(link, ResourceLink)
    assert link.name == "README.md.gz"


def test_an_http_url_is_read_through_the_gate() -> None:
    egress = FakeEgress({URL: answered(body=b"from afar")})
    answer = zipped(GzipFileAsResource(data=URL, output_type="resource"), egress)
    assert gzip.decompress(blob_of(answer)) == b"from afar"
    assert [(asked.method, asked.url) for asked in egress.requests] == [("GET", URL)]


def test_the_largest_file_that_does_not_compress_still_fits_into_a_result() -> None:
    egress = FakeEgress({URL: answered(body=random.Random(1).randbytes(5 * MIB))})
    answer = zipped(GzipFileAsResource(data=URL), egress)
    assert len(answer.model_dump_json(by_alias=True)) < 10 * MIB
    larger = FakeEgress({URL: answered(body=b"x" * (5 * MIB + 1))})
    with pytest.raises(ToolError, match="larger than"):
        zipped(GzipFileAsResource(data=URL), larger)


@pytest.mark.parametrize("url", ["data:text/plain", "data:;base64,???", "data:;base64,abc", "file:///etc/passwd", "x"])
def test_a_url_that_leads_to_no_file_is_a_tool_error(url: str) -> None:
    with pytest.raises(ToolError):
        zipped(GzipFileAsResource(data=url))


def test_a_status_other_than_200_is_a_tool_error_and_an_absent_peer_may_be_back_later() -> None:
    with pytest.raises(ToolError, match="404"):
        zipped(GzipFileAsResource(data=URL), FakeEgress({URL: answered(404)}))
    with pytest.raises(Unavailable):
        zipped(GzipFileAsResource(data=URL), FakeEgress({URL: Unavailable("gone")}))
