import pytest

from shared.config import Settings
from tests.contract.graph import *  # noqa: F403
from tests.contract.graph import Opened
from tests.graph.places import opened


@pytest.fixture
def graphs(settings: Settings) -> Opened:
    return lambda: opened(settings)
