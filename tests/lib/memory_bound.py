"""The formula of docs/architecture.md ("Memory"), in bytes: the chart computes the same, and tests/chart compares the two."""
MIB = 1024 * 1024
DEFAULTS = {"worker.threads": 64, "worker.in_flight": 64, "worker.buffered_bytes_max": 64 * MIB, "worker.job_bytes_max": MIB, "llm.response_bytes_max": 4 * MIB, "llm.history_bytes_max": 256 * 1024}
BASE = 96 * MIB
ONE_JOB = 2 * MIB


def bound(settings: dict, providers: int = 1, contexts: int = 0, prefetch_kib: int | None = None) -> int:
    """contexts: the bytes_max of all that are fetched."""
    of = {**DEFAULTS, **settings}
    job, response, history = of["worker.job_bytes_max"], of["llm.response_bytes_max"], of["llm.history_bytes_max"]
    prefetch = prefetch_kib * 1024 if prefetch_kib is not None else of["worker.buffered_bytes_max"] // 8
    jobs = of["worker.in_flight"] if of.get("worker.engine") == "loop" else of["worker.threads"]
    in_flight = jobs + jobs // 8 + 4
    each = ONE_JOB + 2 * history + providers * (job + history + response) + 3 * response + 2 * job + 4 * contexts
    return BASE + 2 * prefetch + 2 * of["worker.buffered_bytes_max"] + in_flight * each
