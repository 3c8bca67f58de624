"""Records that come one by one share the intake's wake-up while many jobs are about; with worker.gather_ms = 0, or with few jobs, nothing waits."""
import pytest
from parts import Topics, wait_until

CROWD = 70  # more than settings.h's FEW_JOBS


@pytest.mark.parametrize("gather_ms, jobs, gathers", [("20", CROWD, True), ("0", CROWD, False), ("20", 5, False)])
def test_records_gather_where_there_are_many_jobs(stage, gather_ms, jobs, gathers):
    redis, sim = stage.redis(), stage.simulator("--faults", "hold")
    worker = stage.worker(redis, sim, **{"worker.threads": "100", "worker.gather_ms": gather_ms})
    topics = Topics(worker.bootstrap)
    for n in range(jobs):
        topics.send({"id": f"j{n}", "message": "hi"}, key=f"s{n}")
    sim.wait_held(jobs)
    for n in range(jobs, jobs + 10):
        before = worker.metric("intake_rests_total")
        topics.send({"id": f"j{n}", "message": "hi"}, key=f"s{n}")
        sim.wait_held(n + 1)
        if gathers:
            wait_until(lambda: worker.metric("intake_rests_total") > before, "a rest after the record")
    assert gathers or worker.metric("intake_rests_total") == 0
    sim.faults("")
    sim.release()
    assert {reply["status"] for reply in topics.replies(jobs + 10).values()} == {"ok"}


@pytest.mark.parametrize("threads, gathers", [("64", False), ("65", True)])
def test_the_broker_gathers_records_where_many_jobs_may_run_at_once(stage, threads, gathers):
    """By what Kafka's client says of its consumer's configuration."""
    worker = stage.worker(stage.redis(), stage.simulator(), **{"worker.engine": "threads", "worker.threads": threads, "kafka.debug": "conf"})
    topics = Topics(worker.bootstrap)
    topics.send({"id": "j", "message": "hi"}, key="s")
    assert topics.reply_of("j")["status"] == "ok"
    assert "fetch.wait.max.ms = " in worker.text(), "the client says it"
    assert ("fetch.min.bytes = 65536" in worker.text()) == gathers
