"""Java's own clients beside the worker: Spring's reply templates, and where a key is put."""
import json
import os
import subprocess

import pytest
from parts import LIMIT_S, ROOT, wait_until

FOLDER = ROOT / "tests/integration/spring"


def java(name: str, *arguments, stdin: str = "") -> str:
    """A program of one file; it is compiled as it starts."""
    done = subprocess.run(["java", "-Xmx256m", "-XX:+UseSerialGC", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", os.environ["CHAT_SPRING_JARS"] + "/*",
                           FOLDER / f"{name}.java", *map(str, arguments)], input=stdin, text=True, capture_output=True, timeout=2 * LIMIT_S)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("delivery", ["at-least-once", "exactly-once"])
def test_two_of_springs_templates_on_one_reply_topic_get_their_own_replies_alone(stage, place, delivery):
    own = f"{place.prefix}.own"
    place.kafka.create_topics(own, partitions=4)
    worker = stage.worker(stage.redis(), stage.simulator(), **place.settings, **{"worker.delivery": delivery, "worker.reply_topics_allowed": own})
    lines = java("Templates", place.kafka.bootstrap, place.topics.jobs, own, 25, int(LIMIT_S)).splitlines()
    replies = [line.split(" ", 2) for line in lines if " strays " not in line]
    assert len(replies) == 50
    for template, job, reply in replies:
        assert (json.loads(reply)["job"], json.loads(reply)["status"]) == (job, "ok") and job.startswith(f"t{template}-")
    assert [line for line in lines if " strays " in line] == ["0 strays 0", "1 strays 0"]
    records = place.topics.all(own) if delivery == "at-least-once" else place.topics.read(own, 50)
    assert {(json.loads(r.value())["job"][:2], r.partition()) for r in records} == {("t0", 1), ("t1", 3)}
    wait_until(lambda: place.lag() == 0, "everything committed")
    assert worker.metric("reply_routes_ignored_total") == 0 and place.topics.all(place.topics.dead) == []


def test_a_partition_that_is_not_there_costs_no_reply(stage, place):
    """The topic has four. Others of the same topic, and of the same moment, go where they asked."""
    own = f"{place.prefix}.own"
    place.kafka.create_topics(own, partitions=4)
    worker = stage.worker(stage.redis(), stage.simulator(), **place.settings, **{"worker.reply_topics_allowed": own})
    for n, partition in enumerate([4, 2, 0x7FFFFFFF, 2]):
        place.topics.send({"id": f"j{n}", "message": "hi"}, key="s", headers=[("kafka_replyTopic", own.encode()), ("kafka_replyPartition", partition.to_bytes(4, "big"))])
    replies = {json.loads(r.value())["job"]: r.partition() for r in place.topics.read(own, 4)}
    assert replies["j1"] == replies["j3"] == 2 and replies["j0"] == replies["j2"], "by the key"
    wait_until(lambda: place.lag() == 0, "everything committed")
    assert worker.metric("reply_routes_ignored_total") == 2 and worker.metric("publish_failures_total") == 0
    assert {e["job"] for e in worker.events("reply_partition_unusable", level="warn")} == {"j0", "j2"}


def test_jobs_replies_dead_letters_and_deltas_of_a_key_are_where_java_puts_it(stage, place):
    """Four topics of as many partitions; the jobs come from Java's producer, or from ours."""
    worker = stage.worker(stage.redis(), stage.simulator(), **place.settings)
    keys = [b"", b"a", b"ab", b"abc", b"s-17", "schlüssel".encode(), *(f"key-{n}".encode() for n in range(60))]
    lines = [f"{key.hex()} " + json.dumps({"id": f"j{n}", "message": "hi" if n % 3 else "hi [[fault:400]]", "stream": True}) for n, key in enumerate(keys)]
    placed = [int(line) for line in java("Keys", place.kafka.bootstrap, place.topics.jobs, stdin="\n".join(lines)).split()]
    assert len(placed) == len(keys) and set(placed) == {0, 1, 2, 3}
    place.topics.replies(len(keys))
    wait_until(lambda: place.lag() == 0, "everything committed")
    for topic, wanted in ((place.topics.replies_topic, range(len(keys))), (place.topics.dead, range(0, len(keys), 3))):
        records = place.topics.all(topic)
        assert {r.key() for r in records} == {keys[n] for n in wanted}
        assert {r.key(): r.partition() for r in records} == {keys[n]: placed[n] for n in wanted}, topic
    # Nothing waits for a delta to be written: neither the reply nor the commit.
    answered = {key for n, key in enumerate(keys) if n % 3}
    def whole():
        found = place.topics.all(place.topics.deltas)
        return {r.key() for r in found if json.loads(r.value()).get("final")} == answered and found
    deltas = wait_until(whole, "the last delta of each")
    assert all(r.partition() == placed[keys.index(r.key())] for r in deltas)
    jobs = len(place.topics.all(place.topics.jobs))
    for n, key in enumerate(keys[1:30], 1):
        stage.producer(worker, "submit", "--topic", place.topics.jobs, "--session", key.decode(), "--id", f"own-{n}", "hi", check=0)
    records = place.topics.read(place.topics.jobs, jobs + 29)
    assert {r.key(): {r.partition()} for r in records} == {key: {r.partition() for r in records if r.key() == key} for key in keys}, "one place a key"
