"""docs/jobs.md on a real Kafka: each example of the page is run as it stands, only the address is given, and what it does is looked at from
outside; and the rights that the page names are enough for the workers, for who sends jobs, and no others are given."""
import json
import os
import re
import subprocess
import sys

import pytest
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType
from deltas import Reader
from jobs_page import examples, names, rows
from parts import LIMIT_S, Topics, free_port, wait_until
from stage import Stage

EXAMPLES = examples()
OF_TOPICS, OF_RIGHTS = ([e for e in EXAMPLES if e.language == "python" and e.section == section] for section in ("Topics", "Rights"))
ASK, DELTAS = ([e for e in EXAMPLES if e.language == "python" and e.section == section] for section in ("Getting your replies", "A delta"))


def run(example, bootstrap, *arguments):
    command = [sys.executable, "-c", example.text, *arguments] if example.language == "python" else ["bash", "-euo", "pipefail", "-c", example.text]
    return subprocess.run(command, text=True, capture_output=True, timeout=LIMIT_S, env={**os.environ, "BOOTSTRAP": bootstrap})


def must_run(example, bootstrap, *arguments):
    done = run(example, bootstrap, *arguments)
    assert done.returncode == 0, f"{example.text}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def of(language, kind="", section=None):
    return [e for e in EXAMPLES if (e.language, e.kind) == (language, kind) and section in (None, e.section)]


def paths(value, before=""):
    """An object's members; a message's and metadata are anybody's."""
    for name, inner in value.items():
        yield before + name
        if isinstance(inner, dict) and before + name not in ("message", "metadata"):
            yield from paths(inner, before + name + ".")


class World:
    def __init__(self, stage):
        self.stage = stage
        self.kafka = stage.kafka()
        self.made = must_run(*OF_TOPICS, self.kafka.bootstrap)
        self.sim = stage.simulator()
        self.worker = stage.worker(stage.redis(), self.sim, bootstrap=self.kafka.bootstrap)
        self.topics = Topics(self.kafka.bootstrap)


@pytest.fixture(scope="module")
def world():
    stage = Stage()
    try:
        yield World(stage)
    finally:
        stage.end()


def test_each_example_is_run_by_one_of_these():
    assert len(OF_TOPICS) == len(OF_RIGHTS) == len(ASK) == len(DELTAS) == 1
    run_here = [*OF_TOPICS, *OF_RIGHTS, *ASK, *DELTAS, *of("bash"), *(e for kind in ("job", "reply", "delta", "control") for e in of("json", kind))]
    assert len(run_here) == len(EXAMPLES)


def test_the_topics_are_made_as_the_table_says(world):
    assert set(re.findall(r"made (\S+)", world.made)) == set(names("Topics"))
    found = world.kafka.admin.list_topics(timeout=LIMIT_S).topics
    for topic, _, _, partitions, policy, _ in rows("Topics"):
        topic = topic.strip("`")
        (config,) = world.kafka.admin.describe_configs([ConfigResource(ResourceType.TOPIC, topic)]).values()
        assert config.result(LIMIT_S)["cleanup.policy"].value == "delete" and "`delete`" in policy
        assert not partitions.isdigit() or len(found[topic].partitions) == int(partitions)


@pytest.mark.parametrize("at", range(len(of("json", "job"))))
def test_each_job_is_answered(world, at):
    example = of("json", "job")[at]
    job = json.loads(example.text)
    assert set(job) <= set(names("A job"))
    world.topics.send(example.text, key=job["session"])
    reply = world.topics.reply_of(job["id"])
    assert reply["status"] == "ok" and reply["session"] == job["session"] and reply.get("metadata") == job.get("metadata"), reply
    assert set(paths(reply)) <= set(names("A reply"))


def test_replies_are_as_the_examples(world):
    good, bad = (json.loads(e.text) for e in of("json", "reply"))
    first = json.loads(of("json", "job")[0].text)
    world.topics.send({**first, "id": "as-the-example"}, key=first["session"])
    world.topics.send({"id": "as-the-other", "session": bad["session"], "mesage": "m"}, key=bad["session"])
    answered, refused = world.topics.reply_of("as-the-example"), world.topics.reply_of("as-the-other")
    assert list(answered) == list(good) and set(paths(answered)) == set(paths(good))
    assert {k: v for k, v in refused.items() if k not in ("job", "timing_ms")} == {k: v for k, v in bad.items() if k not in ("job", "timing_ms")}
    assert list(refused["timing_ms"]) == list(bad["timing_ms"])


def test_deltas_are_as_the_example(world):
    (example,) = of("json", "delta")
    world.topics.send({"id": "in-pieces", "message": "a b c d e f", "stream": True}, key="pieces")
    world.topics.reply_of("in-pieces")
    deltas = Reader(world.topics).last("in-pieces")
    assert set(json.loads(example.text)) == set(next(p for p in deltas if "delta" in p))
    assert {name for delta in deltas for name in delta} <= set(names("A delta")) and deltas[-1].get("final") is True
    assert [p["seq"] for p in deltas] == list(range(len(deltas))) and len({(p["epoch"], p["try"]) for p in deltas}) == 1


def test_the_first_example_and_the_second(world):
    """A job by kcat, and the replies as it shows them."""
    sent, shown = of("bash", section="Jobs and replies: the contract")
    must_run(sent, world.kafka.bootstrap)
    reply = world.topics.reply_of("kcat-1")
    assert reply["status"] == "ok" and reply["session"] == "s-17"
    lines = dict(re.findall(r'^(\S+) (\{"job":"kcat-1".*\})$', must_run(shown, world.kafka.bootstrap), re.M))
    assert json.loads(lines["s-17"]) == reply


def test_a_client_of_librdkafka_and_kcat_agree_on_a_key_s_partition(world):
    """With the partitioner that the page names; so a session's jobs are in one partition, whoever sends them."""
    producer = Producer({"bootstrap.servers": world.kafka.bootstrap, "partitioner": "murmur2_random"})
    told = []
    producer.produce("chat.jobs", key="s-17", value=json.dumps({"id": "same-place", "message": "m"}), on_delivery=lambda err, record: told.append(record.partition()))
    producer.flush()
    (kcat,) = [record.partition() for record in world.topics.all("chat.jobs") if record.value() and b'"kcat-1"' in record.value()]
    assert told == [kcat]


def test_headers_of_the_example_come_back(world):
    (example,) = of("bash", section="Headers")
    must_run(example, world.kafka.bootstrap)
    world.topics.reply_of("kcat-2")
    (reply,) = [record for record in world.topics.all("chat.replies") if json.loads(record.value())["job"] == "kcat-2"]
    assert [name for name, _ in reply.headers()] == ["traceparent"] and reply.headers()[0][1].decode() in example.text


def test_the_example_of_a_cancel_cancels(world):
    """Its job is held by the provider meanwhile."""
    (example,) = of("bash", section="Cancelling")
    (control,) = of("json", "control", section="Cancelling")
    assert set(json.loads(control.text)) == set(names("Cancelling"))
    for cancel, job in ((lambda: must_run(example, world.kafka.bootstrap), "kcat-1"), (lambda: world.topics.send(control.text, topic="chat.control"), json.loads(control.text)["cancel"])):
        world.topics.send({"id": job, "session": f"cancelled-{job}", "message": "[[fault:hold]] hi"}, key=f"cancelled-{job}")
        world.sim.wait_held()
        cancel()
        (reply,) = world.topics.read("chat.replies", 1, key=f"cancelled-{job}")
        reply = json.loads(reply.value())
        assert (reply["job"], reply["status"], reply["error"]["code"]) == (job, "cancelled", "cancelled")
        world.sim.release()
        wait_until(lambda: world.worker.metric("threads_busy") == 0, "the call's end")


def test_dead_letters_are_shown_and_have_their_headers(world):
    (example,) = of("bash", section="A dead letter")
    world.topics.send("no JSON", key="letter")
    world.topics.read("chat.replies", 1, key="letter")
    (dead_letter,) = world.topics.read("chat.dead", 1, key="letter")
    optional = {"chat.error.provider.message", "chat.value.omitted"}
    assert {name for name, _ in dead_letter.headers()} == set(names("A dead letter")) - optional and dead_letter.value() == b"no JSON"
    (shown,) = re.findall(r"^letter (.*)$", must_run(example, world.kafka.bootstrap), re.M)
    assert "chat.error.code=invalid_json" in shown and "__dlq.errors.topic=chat.jobs" in shown


def test_the_program_that_asks_prints_the_answer_or_why_there_is_none(world):
    before = len(world.topics.all("chat.replies"))
    answer = must_run(*ASK, world.kafka.bootstrap, "What", "is", "this?")
    replies = [json.loads(record.value()) for record in world.topics.all("chat.replies")]
    assert len(replies) == before + 1 and answer.strip() in [reply["message"]["content"] for reply in replies if reply["status"] == "ok" and reply["session"] == "s-19"] and answer.strip()
    refused = run(*ASK, world.kafka.bootstrap, "[[fault:status code=400]] hi")
    assert refused.returncode == 1 and refused.stdout == "" and refused.stderr.strip(), refused


def test_the_program_that_streams_prints_the_answer_once(world):
    shown = must_run(*DELTAS, world.kafka.bootstrap)
    (reply,) = [json.loads(record.value()) for record in world.topics.all("chat.replies") if json.loads(record.value())["session"] == "s-20"]
    assert shown.strip() == reply["message"]["content"] and shown.strip()


# ---- rights ----

USERS = {"worker": "worker-secret", "app": "app-secret", "nobody": "nobody-secret"}


def with_authorizer(stage):
    plain, signed, controller = free_port(), free_port(), free_port()
    module = "org.apache.kafka.common.security.plain.PlainLoginModule required " + " ".join(f'user_{name}="{secret}"' for name, secret in USERS.items()) + ";"
    return f"127.0.0.1:{signed}", stage.kafka(bootstrap=f"127.0.0.1:{plain}", controller=controller, **{
        "listeners": f"PLAINTEXT://127.0.0.1:{plain},SIGNED://127.0.0.1:{signed},CONTROLLER://127.0.0.1:{controller}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{plain},SIGNED://127.0.0.1:{signed}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SIGNED:SASL_PLAINTEXT",
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer", "super.users": "User:ANONYMOUS",
        "sasl.enabled.mechanisms": "PLAIN", "listener.name.signed.plain.sasl.jaas.config": module})


def signed_in(user):
    return {"security.protocol": "sasl_plaintext", "sasl.mechanism": "PLAIN", "sasl.username": user, "sasl.password": USERS[user]}


class App:
    """Who sends jobs, with no more rights than the page gives: no group."""

    def __init__(self, bootstrap, user="app"):
        self.refused = []
        self.producer = Producer({"bootstrap.servers": bootstrap, **signed_in(user), "enable.idempotence": True, "message.timeout.ms": "20000", "log_level": 0})
        self.reader = Consumer({"bootstrap.servers": bootstrap, **signed_in(user), "group.id": "unused", "enable.auto.commit": False, "isolation.level": "read_committed", "log_level": 0})

    def send(self, topic, value):
        self.producer.produce(topic, key="s", value=json.dumps(value), on_delivery=lambda err, _: self.refused.append(err.code()) if err else None)
        assert self.producer.flush(LIMIT_S) == 0

    def read(self, topic, enough):
        found = []
        self.reader.assign([TopicPartition(topic, p, 0) for p in self.reader.list_topics(topic, timeout=LIMIT_S).topics[topic].partitions])

        def look():
            record = self.reader.poll(0.2)
            if record is not None and not record.error():
                found.append(json.loads(record.value()))
            return enough(found)

        wait_until(look, f"what is waited for on {topic}")
        return found

    def end(self):
        self.reader.close()


@pytest.mark.parametrize("delivery", ["at-least-once", "exactly-once"])
def test_the_rights_that_the_page_names_are_enough(stage, delivery):
    signed, kafka = with_authorizer(stage)
    must_run(*OF_TOPICS, kafka.bootstrap)
    assert re.search(r"granted \d+", must_run(*OF_RIGHTS, kafka.bootstrap))
    sim, redis = stage.simulator(), stage.redis()
    known = AdminClient({"bootstrap.servers": signed, **signed_in("worker"), "log_level": 0})
    wait_until(lambda: all(topic in known.list_topics(timeout=LIMIT_S).topics for topic in names("Topics")), "the broker's knowledge of what was granted")
    worker = stage.worker(redis, sim, bootstrap=signed, **{"worker.delivery": delivery, **{f"kafka.{name}": value for name, value in signed_in("worker").items()}})
    app = App(signed)
    try:
        app.send("chat.jobs", {"id": "good", "message": "a b c", "stream": True})
        app.send("chat.jobs", {"id": "bad", "mesage": "m"})
        app.send("chat.jobs", {"id": "held", "message": "[[fault:hold]] hi"})
        sim.wait_held()
        app.send("chat.control", {"cancel": "held"})
        replies = app.read("chat.replies", lambda found: len(found) == 3)
        assert {reply["job"]: reply["status"] for reply in replies} == {"good": "ok", "bad": "error", "held": "cancelled"}
        app.read("chat.deltas", lambda found: any(delta.get("final") for delta in found))
        assert app.refused == []
        (dead_letter,) = Topics(kafka.bootstrap).read("chat.dead", 1)
        assert json.loads(dead_letter.value())["id"] == "bad"
        wait_until(lambda: worker.metric("commits_total") > 0 or worker.metric("transactions_committed_total") > 0, "a commit")
    finally:
        app.end()
    stranger = App(signed, "nobody")  # the authorizer is at work
    stranger.send("chat.jobs", {"message": "m"})
    stranger.end()
    assert stranger.refused == [KafkaError.TOPIC_AUTHORIZATION_FAILED]
