"""Fixtures: a private folder, and parts that end with the test."""
import signal
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "lib"))
from stage import Stage


def pytest_configure(config):
    """TERM ends like Ctrl-C: every part is ended and every folder removed."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    config.addinivalue_line("markers", "once: what it shows is a table's, whose unit tests run with every compiler, sanitizer and library; it runs once in a whole run")
    config.addinivalue_line("markers", "alone: wants the machine to itself; not run beside others")


@pytest.fixture
def stage():
    world = Stage()
    try:
        yield world
    finally:
        world.end()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failed test shows the end of each part's log."""
    report = (yield).get_result()
    world = getattr(item, "funcargs", {}).get("stage")
    if report.when == "call" and report.failed and world is not None:
        for part in world.started:
            report.sections.append((f"log of {part.name}", part.text()[-6000:]))


@pytest.fixture(params=["batched", "per-thread"])
def redis_io(request):
    return request.param
