"""What the environment says: read as it stands, or refused by the name of the variable that is wrong."""

from pathlib import Path

import pytest

from shared.config import secret, whole_number
from shared.errors import ConfigurationError


def test_a_secret_comes_from_its_file_before_its_variable(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("from the file\n")
    assert secret({"KEY": "said", "KEY_FILE": str(file)}, "KEY") == "from the file"
    assert secret({"KEY": "said", "KEY_FILE": ""}, "KEY") == "said"
    assert secret({"KEY": ""}, "KEY") is None


def test_a_file_of_a_secret_that_is_away_or_no_text_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "key"
    with pytest.raises(ConfigurationError, match=r"KEY_FILE is .* cannot be read"):
        secret({"KEY_FILE": str(file)}, "KEY")
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationError, match=r"KEY_FILE is .* holds no text"):
        secret({"KEY_FILE": str(file)}, "KEY")


@pytest.mark.parametrize("text, number", [("", 4), ("1", 1), ("12", 12)])
def test_a_number_is_what_is_said_or_the_default(text: str, number: int) -> None:
    assert whole_number({"COUNT": text}, "COUNT", 4, least=1) == number


@pytest.mark.parametrize("text", ["abc", "1.5", "0", "-1"])
def test_what_is_no_number_or_too_small_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="COUNT is"):
        whole_number({"COUNT": text}, "COUNT", 4, least=1)
