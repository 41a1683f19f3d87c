"""Where Kong is reached, and whose pages may call, as an operator says it: in the file, and nothing else is changed."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from shared.catalog import all_functions
from shared.errors import ConfigurationError
from shared.manifests.files import ROOT
from shared.manifests.kong.document import document
from shared.manifests.kong.fill import fill
from shared.manifests.kong.places import ISSUER, KNATIVE, Place
from shared.manifests.written import dumped
from tests.manifests.kong_schemas import errors

API, PAGES = "https://api.example.org", ("https://app.example.org", "https://other.example.org:8443")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    written = tmp_path / "kong.yaml"
    written.write_text("# Generated\n" + dumped([document(all_functions(), KNATIVE, issuer=ISSUER)]))
    return written


def _rendered(public_url: str, *origins: str) -> Any:
    place = Place(function=KNATIVE.function, beside=KNATIVE.beside, public_url=public_url, origins=origins)
    return document(all_functions(), place, issuer=ISSUER)


def test_a_file_for_another_origin_is_the_one_that_would_have_been_rendered_for_it(file: Path) -> None:
    fill(file, issuer=ISSUER, origin=API, pages=PAGES)
    made = yaml.safe_load(file.read_text())
    assert made == _rendered(API, *PAGES)
    assert errors(made) == []
    assert file.read_text().startswith("# Generated")


def test_without_pages_only_those_of_the_origin_itself_may_call(file: Path) -> None:
    fill(file, issuer=ISSUER, origin=f"{API}/")
    assert yaml.safe_load(file.read_text()) == _rendered(API, API)


def test_filling_twice_changes_nothing(file: Path) -> None:
    assert "already" not in fill(file, issuer=ISSUER, origin=API, pages=PAGES)
    once, written_at = file.read_text(), file.stat().st_mtime_ns
    assert "already" in fill(file, issuer=ISSUER, origin=API, pages=PAGES)
    assert (file.read_text(), file.stat().st_mtime_ns) == (once, written_at)


def test_what_an_operator_has_put_in_stays(file: Path) -> None:
    added = yaml.safe_load(file.read_text())
    added["plugins"].append({"name": "ip-restriction", "config": {"deny": ["192.0.2.0/24"]}})
    file.write_text(yaml.safe_dump(added))
    fill(file, issuer=ISSUER, origin=API)
    made = yaml.safe_load(file.read_text())
    assert made["plugins"][-1] == added["plugins"][-1]
    assert {**made, "plugins": None} == {**added, "plugins": None}


@pytest.mark.parametrize(
    "origin, pages, said",
    [
        ("api.example.org", (), "no origin"),
        ("https://api.example.org/v1", (), "no origin"),
        ("https://user@api.example.org", (), "no origin"),
        ('https://x"..os.exit()..".org', (), "no origin"),
        (API, ("*",), "no origin"),
        (None, (), "nothing to fill in"),
        (None, PAGES, "nothing to fill in"),
    ],
)
def test_what_is_no_origin_is_refused_and_the_file_stays(
    file: Path, origin: str | None, pages: tuple[str, ...], said: str
) -> None:
    before = file.read_text()
    with pytest.raises(ConfigurationError, match=said):
        fill(file, issuer=ISSUER, origin=origin, pages=pages)
    assert file.read_text() == before


@pytest.mark.parametrize("text", ["services: []\nconsumers: []\n", "plugins: 1\n", "plugins: [1]\n"])
def test_a_file_without_the_plugins_that_say_it_is_refused_and_stays(tmp_path: Path, text: str) -> None:
    file = tmp_path / "kong.yaml"
    file.write_text(text)
    with pytest.raises(ConfigurationError, match="no file of ours"):
        fill(file, issuer=ISSUER, origin=API)
    assert file.read_text() == text


def test_the_command_takes_an_origin_and_pages(file: Path) -> None:
    given = [part for page in PAGES for part in ("--page", page)]
    command = [sys.executable, "-m", "functions", "kong", "--file", str(file), "--origin", API, *given]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{file} is reached at {API}\n"
    assert yaml.safe_load(file.read_text()) == _rendered(API, *PAGES)
