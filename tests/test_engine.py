"""What tests start for themselves."""

import os
import select
import subprocess
import sys

from tests.system.platform import REPOSITORY

_RUN = """
import subprocess
from tests.engine import mortal
subprocess.run(mortal(["sh", "-c", "echo $$; exec sleep 600"]))
"""


def test_a_server_ends_with_the_tests_that_started_it_whatever_ends_them() -> None:
    with subprocess.Popen([sys.executable, "-c", _RUN], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as tests:
        assert tests.stdout is not None
        server = os.pidfd_open(int(tests.stdout.readline()))
        tests.kill()
    try:
        assert select.select([server], [], [], 60)[0] == [server]
    finally:
        os.close(server)
