"""A private RabbitMQ for tests: Debian's `rabbitmq-server`, with its own node, ports and folder."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote
from uuid import uuid4

_USER = "sutazai"
_PASSWORD = "only-for-tests"
_CONFIGURATION = """\
listeners.tcp.1 = 127.0.0.1:{port}
default_user = {user}
default_pass = {password}
loopback_users = none
vm_memory_high_watermark.absolute = 512MB
disk_free_limit.absolute = 50MB
log.file.level = warning
"""


class RabbitMQ:
    """`with RabbitMQ() as broker:` starts it, and ends it with its epmd.

    Raises RuntimeError where Debian's package is not installed, or with the broker's log where it does not start.
    """

    def __init__(self) -> None:
        # Its user on Debian is another than ours, and as root it drops to nobody: the folder is for all to enter.
        self.home = Path(tempfile.mkdtemp(prefix="sutazai-rabbitmq-"))
        self.home.chmod(0o755)
        self.port, self._distribution, self._epmd = _free_ports(3)
        self._node = f"sutazai{self.port}@localhost"
        self._cookie = uuid4().hex
        self._process: subprocess.Popen[bytes] | None = None
        # The node would start one as a daemon, which then outlives it.
        self._names = subprocess.Popen(["epmd"], env=self._environ, start_new_session=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        self._names.kill()
        self._names.wait(10)
        shutil.rmtree(self.home, ignore_errors=True)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def url(self, vhost: str = "/") -> str:
        return f"amqp://{_USER}:{_PASSWORD}@127.0.0.1:{self.port}/{quote(vhost, safe='')}"

    def start(self) -> None:
        """Returns once it takes connections."""
        (self.home / "rabbitmq.conf").write_text(_CONFIGURATION.format(port=self.port, user=_USER, password=_PASSWORD))
        (self.home / "enabled_plugins").write_text("[].\n")
        cookie = self.home / ".erlang.cookie"
        if not cookie.exists():
            cookie.write_text(self._cookie)
            cookie.chmod(0o400)
        with (self.home / "broker.log").open("ab") as log:
            self._process = subprocess.Popen(
                [_script("rabbitmq-server")], env=self._environ, stdout=log, stderr=log, start_new_session=True
            )
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline and self._process.poll() is None:
            if self._answers():
                return
            time.sleep(0.05)
        self.kill()
        raise RuntimeError(f"RabbitMQ did not start:\n{(self.home / 'broker.log').read_text()[-3000:]}")

    def stop(self) -> None:
        """In good order, as an operator would."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """The node and its helpers, by kill -9."""
        self._end(signal.SIGKILL)

    def wipe(self) -> None:
        """Everything it has stored is gone; it must be down."""
        assert self._process is None
        shutil.rmtree(self.home / "mnesia", ignore_errors=True)

    def add_vhost(self) -> str:
        """A fresh one, with all rights for the one user. Returns its name."""
        name = f"t{uuid4().hex}"
        self.evaluate(
            f'rabbit_vhost:add(<<"{name}">>, <<"tests">>),'
            f'rabbit_auth_backend_internal:set_permissions(<<"{_USER}">>, <<"{name}">>,'
            ' <<".*">>, <<".*">>, <<".*">>, <<"tests">>).'
        )
        return name

    def delete_vhost(self, name: str) -> None:
        self.evaluate(f'rabbit_vhost:delete(<<"{name}">>, <<"tests">>).')

    def evaluate(self, expression: str) -> str:
        """An Erlang expression on the node: its own tool takes seconds to start for each."""
        called = subprocess.run(
            ["erl_call", "-n", self._node, "-c", self._cookie, "-e"],
            input=f"{expression}\n".encode(),
            env=self._environ,
            capture_output=True,
            timeout=30,
            check=True,
        )
        answer = called.stdout.decode()
        if not answer.startswith("{ok, "):
            raise RuntimeError(answer)
        return answer[5:].rstrip("}")

    @property
    def _environ(self) -> dict[str, str]:
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "LC_ALL": "C.UTF-8",
            "HOME": str(self.home),
            "RABBITMQ_NODENAME": self._node,
            "RABBITMQ_MNESIA_BASE": str(self.home / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self.home / "log"),
            "RABBITMQ_CONFIG_FILE": str(self.home / "rabbitmq"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(self.home / "none"),
            "RABBITMQ_CONF_ENV_FILE": str(self.home / "none"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.home / "enabled_plugins"),
            "RABBITMQ_DIST_PORT": str(self._distribution),
            # Few schedulers: several brokers may share one small machine.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none",
            "ERL_EPMD_PORT": str(self._epmd),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
        }

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.settimeout(5)
                connection.sendall(b"AMQP\x00\x00\x09\x01")
                return connection.recv(1) == b"\x01"
        except OSError:
            return False

    def _end(self, by: signal.Signals) -> None:
        if self._process is None:
            return
        if by == signal.SIGKILL:
            # The script is one process, the node another: both are in the session that it was started in.
            os.killpg(self._process.pid, by)
        else:
            self._process.send_signal(by)
        self._process.wait(60)
        self._process = None


def _script(name: str) -> str:
    found = sorted(Path("/usr/lib/rabbitmq/lib").glob(f"rabbitmq_server-*/sbin/{name}"))
    if not found:
        raise RuntimeError("Debian's package rabbitmq-server is not installed")
    return str(found[-1])


def _free_ports(count: int) -> list[int]:
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [server.getsockname()[1] for server in held]
    for server in held:
        server.close()
    return ports


@contextmanager
def vhost(broker: RabbitMQ) -> Iterator[str]:
    """The URL of a virtual host that nobody else uses."""
    name = broker.add_vhost()
    try:
        yield broker.url(name)
    finally:
        broker.delete_vhost(name)
