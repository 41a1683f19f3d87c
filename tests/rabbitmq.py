"""A private RabbitMQ for tests: Debian's `rabbitmq-server`, with its own node, ports and folder."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from urllib.parse import quote
from uuid import uuid4

from tests.engine import Engine, free_port, mortal

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


class RabbitMQ(Engine):
    """One node, and the epmd that it is found by. Raises RuntimeError where Debian's package is not installed."""

    name = "RabbitMQ"
    greeting = b"AMQP\x00\x00\x09\x01"
    answer = (1, b"\x01")
    start_within_s = 90

    def __init__(self) -> None:
        super().__init__()
        # Its user on Debian is another than ours, and as root it drops to nobody: the folder is for all to enter.
        self.home.chmod(0o755)
        self._distribution, self._epmd = free_port(), free_port()
        self._node = f"sutazai{self.port}@localhost"
        self._cookie = uuid4().hex
        self._configure()
        # The node would start one as a daemon, which then outlives it.
        self._names = subprocess.Popen(mortal(["epmd"]), env=self.environ, start_new_session=True)

    def _configure(self) -> None:
        settings = _CONFIGURATION.format(port=self.port, user=_USER, password=_PASSWORD)
        (self.home / "rabbitmq.conf").write_text(settings)
        (self.home / "enabled_plugins").write_text("[].\n")
        cookie = self.home / ".erlang.cookie"
        cookie.write_text(self._cookie)
        cookie.chmod(0o400)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        self._names.kill()
        self._names.wait(10)

    @property
    def command(self) -> Sequence[str]:
        return [_script("rabbitmq-server")]

    def url(self, vhost: str = "/") -> str:
        return f"amqp://{_USER}:{_PASSWORD}@127.0.0.1:{self.port}/{quote(vhost, safe='')}"

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
            env=self.environ,
            capture_output=True,
            timeout=30,
            check=True,
        )
        answer = called.stdout.decode()
        if not answer.startswith("{ok, "):
            raise RuntimeError(answer)
        return answer[5:].rstrip("}")

    @property
    def environ(self) -> dict[str, str]:
        return {
            # Its script becomes the node, rather than waiting for it: one process, which is the one that is killed.
            "RUNNING_UNDER_SYSTEMD": "true",
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


def _script(name: str) -> str:
    found = sorted(Path("/usr/lib/rabbitmq/lib").glob(f"rabbitmq_server-*/sbin/{name}"))
    if not found:
        raise RuntimeError("Debian's package rabbitmq-server is not installed")
    return str(found[-1])


@contextmanager
def vhost(broker: RabbitMQ) -> Iterator[str]:
    """The URL of a virtual host that nobody else uses."""
    name = broker.add_vhost()
    try:
        yield broker.url(name)
    finally:
        broker.delete_vhost(name)
