"""The official TypeScript packages, installed once for each lock file, outside the tree."""

import asyncio
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

SCRIPTS = Path(__file__).parent / "typescript"
_INSTALL = ("ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel", "error")


def missing() -> str:
    """Why there is nothing to install them with; empty where there is. The Node that runs them comes with them."""
    return "" if shutil.which("npm") else "npm is not installed"


def installed() -> Path:
    """The folder that holds node_modules. Raises CalledProcessError with npm's words."""
    lock = (SCRIPTS / "package-lock.json").read_bytes()
    name = f"sutazai-mcp-node-{os.getuid()}-{hashlib.sha256(lock).hexdigest()[:16]}"
    folder = Path(tempfile.gettempdir()) / name
    if (folder / "complete").exists():
        # The lock says nothing of them.
        for script in SCRIPTS.glob("*.mjs"):
            shutil.copy(script, folder)
        return folder
    with tempfile.TemporaryDirectory(prefix=f"{name}-") as made:
        for file in SCRIPTS.iterdir():
            shutil.copy(file, made)
        subprocess.run(["npm", *_INSTALL], cwd=made, check=True, timeout=300)
        (Path(made) / "complete").touch()
        if not folder.exists():
            shutil.copytree(made, folder, symlinks=True)
    return folder


async def run(folder: Path, *arguments: str, stdin: object = None, within_s: float = 120) -> tuple[int, str, str]:
    """Exit status, output and errors of node."""
    environ = {**os.environ, "NO_PROXY": "127.0.0.1", "NO_COLOR": "1"}
    (node,) = folder.glob("node_modules/node-linux-*/bin/node")
    process = await asyncio.create_subprocess_exec(
        str(node),
        *arguments,
        cwd=folder,
        env=environ,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(within_s):
            out, errors = await process.communicate(json.dumps(stdin).encode())
    except TimeoutError:
        process.kill()
        await process.wait()
        raise
    return process.returncode or 0, out.decode(), errors.decode()
