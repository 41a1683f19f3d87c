from dataclasses import replace

import pytest

from shared.config import Settings
from tests.contract.graph import *  # noqa: F403
from tests.contract.graph import Opened
from tests.graph.places import opened


@pytest.fixture
def graphs(settings: Settings, neo4j_url: str) -> Opened:
    return lambda: opened(replace(settings, neo4j_url=neo4j_url))
