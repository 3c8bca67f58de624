"""Who waits for whom: by key, by partition, not at all. Jobs that stall at the model show what may run beside them."""
from parts import Topics, wait_until

SHORT_DRAIN = {"worker.drain_timeout_ms": "100"}  # what stalls needn't be waited for at the end


def in_flight(sim):
    return sim.stats()["in_flight"]


def test_by_key_a_session_waits_for_itself_alone(stage, redis_io):
    redis, sim = stage.redis(), stage.simulator("--faults", "stall match=stall")
    topics = Topics(stage.worker(redis, sim, **{"worker.redis_io": redis_io, **SHORT_DRAIN}).bootstrap)
    topics.send({"id": "a1", "message": "stall"}, key="a")
    wait_until(lambda: in_flight(sim) == 1, "a1 at the model")
    for session in ("a", "b", None, None):
        topics.send({"message": "hi", **({"id": "a2"} if session == "a" else {})}, key=session)
    assert "a2" not in topics.replies(3), "b and both without a key were answered, a2 waits for a1"
    assert sim.stats()["requests"] == 4


def test_by_key_jobs_without_one_wait_for_nobody(stage, redis_io):
    redis, sim = stage.redis(), stage.simulator("--faults", "stall match=stall")
    topics = Topics(stage.worker(redis, sim, **{"worker.redis_io": redis_io, **SHORT_DRAIN}).bootstrap)
    for _ in range(2):
        topics.producer.produce(topics.jobs, value=b'{"message":"stall"}', partition=0)
    topics.flush()
    wait_until(lambda: in_flight(sim) == 2, "both of one partition at the model")


def test_by_partition_one_job_at_a_time_whatever_its_key(stage, redis_io):
    redis, sim = stage.redis(), stage.simulator("--faults", "hold")
    topics = Topics(stage.worker(redis, sim, **{"worker.redis_io": redis_io, "worker.ordering": "partition"}).bootstrap)
    for n in range(30):
        topics.producer.produce(topics.jobs, value=b'{"id":"j%d","message":"%d"}' % (n, n), key=f"k{n}", partition=n % 3)
    topics.flush()
    for n in range(0, 30, 3):  # one of each partition, then the next of each
        sim.wait_held(3)
        assert sim.release() == 3 and sim.stats()["requests"] >= n + 3
    topics.replies(30)
    assert sim.stats()["in_flight_max"] == 3
    asked = [int(r["body"]["messages"][0]["content"]) for r in sim.get("/sim/requests?last=30")]
    for partition in range(3):
        assert [n for n in asked if n % 3 == partition] == list(range(partition, 30, 3))


def test_without_order_two_jobs_of_a_session_run_side_by_side(stage, redis_io):
    redis, sim = stage.redis(), stage.simulator("--faults", "stall match=stall")
    topics = Topics(stage.worker(redis, sim, **{"worker.redis_io": redis_io, "worker.ordering": "none", **SHORT_DRAIN}).bootstrap)
    topics.send({"id": "a1", "message": "stall"}, key="a")
    wait_until(lambda: in_flight(sim) == 1, "a1 at the model")
    topics.send({"id": "a2", "message": "hi"}, key="a")
    assert set(topics.replies(1)) == {"a2"}
