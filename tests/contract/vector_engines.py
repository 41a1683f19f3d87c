"""What every vector engine keeps: whole answers, held to the oracle's.

A module that runs this has a fixture `engines`, and imports these tests with `*`.
"""

from tests.contract.engines.applying import *  # noqa: F403
from tests.contract.engines.filters import *  # noqa: F403
from tests.contract.engines.hostile import *  # noqa: F403
from tests.contract.engines.reaching import *  # noqa: F403
from tests.contract.engines.restarts import *  # noqa: F403
from tests.contract.engines.scores import *  # noqa: F403
from tests.contract.engines.scrolling import *  # noqa: F403
from tests.contract.engines.spaces import *  # noqa: F403
from tests.contract.engines.texts import *  # noqa: F403
