"""`make security`: runs the corpora, and prints what came of them."""

import os
import sys
from pathlib import Path

import pytest

from tests.report import at_least, exactly, report


class _Counted:
    def __init__(self) -> None:
        self.passed = 0
        self.other = 0

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" and report.passed:
            self.passed += 1
        elif not report.passed:
            self.other += 1


def main() -> int:
    counted = _Counted()
    # In the other tests a sample is enough.
    os.environ.setdefault("SUTAZAI_REBINDING_RACES", "10000")
    status = pytest.main(["-q", str(Path(__file__).parent)], plugins=[counted])
    targets = {
        "cases_passed": at_least(counted.passed, 1),
        "cases_failed_or_skipped": exactly(counted.other, 0),
        "pytest_status": exactly(int(status), 0),
    }
    return report("security", targets)


if __name__ == "__main__":
    sys.exit(main())
