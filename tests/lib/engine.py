"""Which engine the workers of the tests run their jobs with: that of CHAT_ENGINE, threads or loop. One switch, so that the same tests judge both."""
import os

ENGINE = os.environ.get("CHAT_ENGINE", "threads")


def with_engine(settings: dict) -> dict:
    """The settings of a worker, for the engine; those that choose one, or the per-thread form, which only threads have, stay as they are."""
    if ENGINE != "loop" or "worker.engine" in settings or settings.get("worker.redis_io") == "per-thread":
        return settings
    return {"worker.engine": "loop", **({"worker.in_flight": settings["worker.threads"]} if "worker.threads" in settings else {}), **settings}
