"""The whole platform as its users start it, in a state folder of its own."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from tests.engine import mortal

REPOSITORY = Path(__file__).resolve().parents[2]
PASSWORD = "violet-Harbour-93-lamp"


class Platform:
    """`with Platform(home) as platform:` starts it, and stops it in the end."""

    def __init__(self, home: Path, **environ: str) -> None:
        self.home = home
        ports = {"SUTAZAI_API_PORT": "0", "SUTAZAI_UI_PORT": "0", "SUTAZAI_MCP_PORT": "0"}
        self.environ = {**os.environ, **ports, **environ, "SUTAZAI_HOME": str(home)}
        self._process: subprocess.Popen[bytes] | None = None
        self.log = home.parent / f"{home.name}.log"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self, *, within_s: float = 60) -> float:
        """Returns after how many seconds it was ready. Raises RuntimeError with its output when it is not."""
        began = time.monotonic()
        (self.home / "run" / "urls.json").unlink(missing_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                mortal([sys.executable, "-m", "functions", "up"]),
                cwd=REPOSITORY,
                env=self.environ,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        while time.monotonic() - began < within_s:
            if self._process.poll() is not None:
                break
            if (self.home / "run" / "urls.json").exists():
                return time.monotonic() - began
            time.sleep(0.02)
        self.stop()
        raise RuntimeError(f"the platform did not start:\n{self.log.read_text()[-4000:]}")

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(60)
            except subprocess.TimeoutExpired:
                self._process.kill()
                raise
        self._process = None

    @property
    def api(self) -> str:
        return self._url("api")

    @property
    def ui(self) -> str:
        return self._url("ui")

    def _url(self, name: str) -> str:
        urls = json.loads((self.home / "run" / "urls.json").read_text())
        return str(urls[name])

    def pids(self) -> dict[str, list[int]]:
        try:
            found: dict[str, list[int]] = json.loads((self.home / "run" / "pids.json").read_text())
        except FileNotFoundError:
            return {}
        return found

    def kill(self, pid: int) -> None:
        """One of ours, by kill -9."""
        if any(pid in pids for pids in self.pids().values()):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                return

    def kill_everything(self) -> None:
        """All processes at once, the supervisor first so that it brings none back."""
        pids = self.pids()
        for pid in [*pids.pop("supervisor", []), *(pid for group in pids.values() for pid in group)]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        if self._process is not None:
            self._process.wait(30)
            self._process = None

    @property
    def postgres_url(self) -> str:
        return (self.home / "keys" / "postgres.url").read_text()


class Client:
    """Someone who is logged in."""

    def __init__(self, api: str, name: str = "alice") -> None:
        self.api = api
        self.name = name
        self.http = httpx.AsyncClient(base_url=api, timeout=30, trust_env=False)

    async def __aenter__(self) -> Self:
        email = f"{self.name}@example.org"
        account = {"email": email, "username": self.name, "password": PASSWORD, "confirm_password": PASSWORD}
        registered = await self.http.post("/api/v1/auth/register", json=account)
        assert registered.status_code in (201, 409), registered.text
        await self.login()
        return self

    async def login(self) -> None:
        answer = await self.http.post("/api/v1/auth/login", json={"username": self.name, "password": PASSWORD})
        assert answer.status_code == 200, answer.text
        self.http.headers["authorization"] = f"Bearer {answer.json()['data']['access_token']}"

    async def __aexit__(self, *_: object) -> None:
        await self.http.aclose()

    async def execute(self, agent: str, task: str, parameters: Mapping[str, Any], **more: Any) -> dict[str, Any]:
        body = {"agent_id": agent, "task": task, "parameters": dict(parameters), **more}
        answer = await self.http.post("/api/v1/agents/execute", json=body)
        assert answer.status_code in (200, 202), answer.text
        data: dict[str, Any] = answer.json()["data"]
        return data

    async def task(self, task_id: str) -> dict[str, Any]:
        answer = await self.http.get(f"/api/v1/tasks/{task_id}")
        assert answer.status_code == 200, answer.text
        data: dict[str, Any] = answer.json()["data"]
        return data

    async def ended(self, task_id: str, *, within_s: float = 30) -> dict[str, Any]:
        async with asyncio.timeout(within_s):
            while True:
                task = await self.task(task_id)
                if task["finished_at"] is not None:
                    return task
                await asyncio.sleep(0.1)
