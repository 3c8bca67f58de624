"""Which engine the workers of the tests run their jobs with: that of CHAT_ENGINE, threads or loop. One switch, so that the same tests judge both."""
import os
from pathlib import Path

ENGINE = os.environ.get("CHAT_ENGINE", "threads")


def with_engine(settings: dict) -> dict:
    """The settings of a worker, for the engine; those that choose one, or the per-thread form, which only threads have, stay as they are."""
    if ENGINE != "loop" or "worker.engine" in settings or settings.get("worker.redis_io") == "per-thread":
        return settings
    return {"worker.engine": "loop", **({"worker.in_flight": settings["worker.threads"]} if "worker.threads" in settings else {}), **settings}


def is_guarded(env: dict, settings: dict) -> bool:
    """Is a loop that calls what could block to end the worker? Not where a test breaks the worker by a library of its own, which may hold up a loop."""
    return settings.get("worker.engine") == "loop" and "LD_PRELOAD" not in env


def guard(env: dict, programs: Path) -> dict:
    """With tests/preload/loop_blocks.c."""
    library = programs / "test/loop_blocks.so"
    assert library.exists(), f"{library} isn't built: a loop that waits would not be noticed"
    return env | {"LD_PRELOAD": ":".join(filter(None, [str(library), os.environ.get("LD_PRELOAD", "")]))}
