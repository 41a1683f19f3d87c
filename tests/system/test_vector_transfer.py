"""Vectors out of a file into the whole platform, and back: `python -m functions vectors`."""

import asyncio
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from shared.stores.vector_files.formats import reader_of
from shared.stores.vector_files.rows import Row
from tests.system.platform import REPOSITORY, Client, Platform

_COUNT = 2500


def _given(folder: Path) -> Path:
    numbers = np.random.default_rng(5).standard_normal((_COUNT, 24), np.float32)
    rows = [
        {"id": f"v/{at}", "vector": row.tolist(), "text": f"text {at}", "metadata": {"n": at, "of": ["a", at % 3]}}
        for at, row in enumerate(numbers)
    ]
    file = folder / "given.ndjson"
    file.write_text("".join(f"{json.dumps(row)}\n" for row in [*rows[:1000], {"id": "", "vector": []}, *rows[1000:]]))
    return file


def _read(file: Path) -> dict[str, tuple[object, ...]]:
    reader = reader_of(file)
    rows = [row for row in reader.rows() if isinstance(row, Row)]
    reader.close()
    return {row.id: (row.vector.tobytes() if row.vector is not None else None, row.text, row.metadata) for row in rows}


async def _token(platform: Platform) -> str:
    async with Client(platform.api) as client:
        return client.http.headers["authorization"].removeprefix("Bearer ")


def _run(platform: Platform, folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    asked = ("--collection", "papers", "--url", platform.api, "--token-file", str(folder / "token"))
    command = [sys.executable, "-m", "functions", "vectors", *arguments, *asked]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=120, check=False)


def test_a_file_is_in_the_platform_as_it_was_and_comes_out_as_it_was_in_every_format() -> None:
    with tempfile.TemporaryDirectory(prefix="sutazai-transfer-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        given = _given(folder)
        with Platform(folder / "home") as platform:
            (folder / "token").write_text(asyncio.run(_token(platform)))
            done = _run(platform, folder, "import", str(given), "--create", "--metric", "l2", "--backend", "faiss")
            assert (done.returncode, done.stdout) == (65, f"{_COUNT + 1} rows, {_COUNT} changed, 1 bad\n"), done.stderr
            assert f"{given}:1001: vector is no list of numbers" in done.stderr
            for suffix in ("parquet", "npy", "jsonl"):
                file = folder / f"out.{suffix}"
                done = _run(platform, folder, "export", str(file))
                assert (done.returncode, done.stdout) == (0, f"{_COUNT} vectors in {file}\n"), done.stderr
                assert _read(file) == _read(given)
            again = _run(platform, folder, "import", str(folder / "out.npy"))
            assert (again.returncode, again.stdout) == (0, f"{_COUNT} rows, 0 changed, 0 bad\n"), again.stderr
