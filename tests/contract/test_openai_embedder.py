import pytest

from tests.contract.embedders import *  # noqa: F403
from tests.contract.embedders import Opened
from tests.embedders.openai_server import OpenAiServer


@pytest.fixture
def embedder() -> Opened:
    return lambda: OpenAiServer().opened()
