"""What `make up` is told by its environment."""

import pytest

from shared.errors import ConfigurationError
from shared.local.up import _worker_count


def test_as_many_workers_run_as_were_asked_for_and_else_two_to_four() -> None:
    assert _worker_count({"SUTAZAI_WORKERS": "7"}) == 7
    assert 2 <= _worker_count({}) <= 4


@pytest.mark.parametrize("text", ["abc", "0", "-1", "1.5"])
def test_a_number_of_workers_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="SUTAZAI_WORKERS"):
        _worker_count({"SUTAZAI_WORKERS": text})
