"""What AWS says about its services, as questions and the passages that answer them.

No question is a part of its passage, and nobody has written them for this: they are made of what stands elsewhere in
the same documentation, in three ways and equal shares.

- `summary`: the first sentence about an operation; the passage is what is said of it after that sentence.
- `name`: the name of an operation and of its service, in words; the passage is what is said of the operation.
- `parameter`: the names of a parameter and of what it is given to, in words; the passage is what is said of it.

The right passage is one of `count`: most of the others are said of other operations and parameters, often with nearly
the same words. A passage that stands in the documentation several times is there once, and asked for once.
"""

import gzip
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

Kind = Literal["summary", "name", "parameter"]

_CHARACTERS = 600
# Shorter ones say nothing of what they are about.
_SHORTEST = 80
_SHORTEST_QUESTION = 25
_TAG = re.compile(r"<[^>]+>")
_SENTENCE = re.compile(r"(?<=[a-z0-9)][.!?])\s+(?=[A-Z])")
_WORD = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+[0-9]*|[A-Z]+[0-9]*|[0-9]+")


@dataclass(frozen=True, slots=True)
class Question:
    kind: Kind
    text: str
    passage: int


@dataclass(frozen=True, slots=True)
class Corpus:
    passages: list[str]
    questions: list[Question]


def corpus(count: int, questions: int) -> Corpus:
    """`count` passages, and `questions` of them asked for. The same ones each time."""
    random = np.random.default_rng(7)
    found: dict[str, tuple[Kind, str]] = {}
    for kind, question, passage in _pairs():
        found.setdefault(passage[:_CHARACTERS], (kind, question))
    if len(found) < count:
        raise SystemExit(f"there are only {len(found)} passages")
    whole = list(found.items())
    kept = [whole[place] for place in random.permutation(len(whole))[:count]]
    asked: list[Question] = []
    for each in ("summary", "name", "parameter"):
        numbers = [
            number
            for number, (_, (kind, question)) in enumerate(kept)
            if kind == each and len(question) >= _SHORTEST_QUESTION
        ][: questions // 3]
        asked += [Question(each, kept[number][1][1], number) for number in numbers]
    return Corpus([passage for passage, _ in kept], asked)


def _pairs() -> Iterator[tuple[Kind, str, str]]:
    import botocore

    services: dict[str, Path] = {}
    # Of a service's versions the last.
    for file in sorted((Path(botocore.__file__).parent / "data").glob("*/*/service-2.json.gz")):
        services[file.parent.parent.name] = file
    for file in services.values():
        service = json.loads(gzip.decompress(file.read_bytes()))
        name = service["metadata"].get("serviceId", service["metadata"]["serviceFullName"])
        for number, (operation, said) in enumerate(service["operations"].items()):
            yield from _of_operation(name, operation, _plain(said), number)
        for shape, said in service["shapes"].items():
            yield from _of_members(shape, said)


def _of_operation(service: str, operation: str, text: str, number: int) -> Iterator[tuple[Kind, str, str]]:
    first, *others = _SENTENCE.split(text, maxsplit=1)
    rest = "".join(others)
    if number % 2 and len(rest) >= _SHORTEST:
        yield "summary", first, rest
    elif len(text) >= _SHORTEST:
        yield "name", f"{_words(operation)} {_words(service)}", text


def _of_members(shape: str, said: dict[str, Any]) -> Iterator[tuple[Kind, str, str]]:
    members = said.get("members")
    for member, about in members.items() if isinstance(members, dict) else ():
        text = _plain(about)
        if len(text) >= _SHORTEST:
            yield "parameter", f"{_words(member)} of {_words(shape)}", text


def _plain(said: dict[str, Any]) -> str:
    return " ".join(_TAG.sub(" ", said.get("documentation", "")).split())


def _words(name: str) -> str:
    return " ".join(_WORD.findall(name)).lower()
