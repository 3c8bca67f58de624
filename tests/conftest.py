"""Fixtures: a private folder, and parts that end with the test."""
import os
import signal
import sys
import zlib
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "lib"))
from engine import ENGINE
from stage import Stage


def pytest_configure(config):
    """TERM ends like Ctrl-C: every part is ended and every folder removed."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    config.addinivalue_line("markers", "once: what it shows is a table's, whose unit tests run with every compiler, sanitizer and library; it runs once in a whole run")
    config.addinivalue_line("markers", "alone: wants the machine to itself; not run beside others")


def in_half(name: str, half: str) -> bool:
    """half: "first SEED" or "second SEED": of the two into which the seed parts all tests."""
    which, seed = half.split()
    return zlib.crc32(f"{seed} {name}".encode()) % 2 == ("first", "second").index(which)


def pytest_collection_modifyitems(config, items):
    """CHAT_HALF: where tests/run plays the scenarios a second and a third time, under sanitizers and on other libraries, each plays the half
    that the other doesn't, and the next commit parts them anew."""
    half = os.environ.get("CHAT_HALF")
    if half:
        left_out = [item for item in items if item.path.parent.name == "scenario" and not item.get_closest_marker("alone") and not in_half(item.name.split("@")[0], half)]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


@pytest.fixture
def stage():
    world = Stage()
    try:
        yield world
    finally:
        world.end()


def end_of(log: str) -> str:
    """With the last few lines only of what a Kafka client says while its broker is away: those crowd out what the worker did."""
    lines = log.splitlines()
    of_clients = [n for n, line in enumerate(lines) if " event=kafka_client " in line]
    left_out = set(of_clients[:-5])
    return "\n".join([f"({len(left_out)} lines of Kafka clients left out)"] * bool(left_out) + [line for n, line in enumerate(lines) if n not in left_out])[-12000:]


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failed test shows the end of each part's log."""
    report = (yield).get_result()
    world = getattr(item, "funcargs", {}).get("stage")
    if report.when == "call" and report.failed and world is not None:
        for part in world.started:
            ended = part.process.poll() if hasattr(part, "process") else None
            report.sections.append((f"log of {part.name}" + ("" if ended is None else f", which ended with {ended}"), end_of(part.text())))


@pytest.fixture(params=["batched"] if ENGINE == "loop" else ["batched", "per-thread"])
def redis_io(request):
    return request.param
