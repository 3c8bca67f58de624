"""Each bad record ends as one dead letter and one error reply that say why; its neighbours are answered."""
import json
import re
import signal

import pytest
from parts import Topics, wait_until
from stage import Stage

BIG = "x" * 4_000_000  # the embedded cluster keeps 5 MiB a partition; ten megabytes: tests/integration
CASES = [
    ("not JSON", b"hello", "invalid_json", ""),
    ("empty", b"", "empty_value", ""),
    ("tombstone", None, "tombstone", ""),
    ("wrong type", b'{"message":7}', "invalid_member", "message"),
    ("session of wrong type", b'{"message":"a","session":[]}', "invalid_member", "session"),
    ("both", b'{"message":"a","messages":[{"role":"user","content":"b"}]}', "invalid_member", "message"),
    ("neither", b'{"id":"x"}', "invalid_member", "message"),
    ("NUL byte", b'{"message":"a\x00b"}', "invalid_json", ""),
    ("escaped NUL", b'{"message":"a\\u0000b"}', "invalid_member", "message"),
    ("invalid UTF-8", b'{"message":"\xff\xfe"}', "invalid_utf8", ""),
    ("lone surrogate", b'{"message":"\\ud800"}', "invalid_utf8", ""),
    ("four megabytes", json.dumps({"message": BIG}).encode(), "value_too_large", ""),
    ("a thousand deep", b'{"message":"a","metadata":' + b"[" * 1000 + b"]" * 1000 + b"}", "nested_too_deep", ""),
    ("duplicate member", b'{"message":"a","message":"b"}', "duplicate_member", "message"),
    ("integer beyond 2^53", b'{"message":"a","metadata":9007199254740993}', "integer_out_of_range", "metadata"),
    ("a member misspelt", b'{"mesage":"a"}', "invalid_member", "mesage: unknown; do you mean message?"),
    ("a member in other case", b'{"message":"a","Deadline_ms":5}', "invalid_member", "do you mean deadline_ms?"),
    ("a member misspelt by an escape", b'{"message":"a","strea\\u006e":true}', "invalid_member", "do you mean stream?"),
    ("the tenant misspelt", b'{"message":"a","metadata":{"tenat":"a"}}', "invalid_member", "metadata.tenat: unknown; do you mean metadata.tenant?"),
    ("n in params", b'{"message":"a","params":{"n":2}}', "invalid_member", "params.n"),
]


@pytest.mark.xdist_group("bad input")
@pytest.mark.parametrize("name,value,code,member", CASES, ids=[c[0] for c in CASES])
def test_one_bad_record_between_two_good_ones(shared_worker, name, value, code, member):
    _worker, topics = shared_worker
    key = name.replace(" ", "-")
    topics.send({"id": f"{key}-first", "message": "before"}, key=key)
    topics.send(value, key=key)
    topics.send({"id": f"{key}-last", "message": "after"}, key=key)

    replies = [json.loads(r.value()) for r in topics.read("chat.replies", 3, key=key)]
    good = {r["job"] for r in replies if r["status"] == "ok"}
    assert good == {f"{key}-first", f"{key}-last"}
    (bad,) = [r for r in replies if r["status"] == "error"]
    assert bad["error"]["code"] == code and member in bad["error"]["message"], bad
    assert "hello" not in bad["error"]["message"], "no content in a message"

    (dead_letter,) = topics.read("chat.dead", 1, key=key)
    headers = dict(dead_letter.headers())
    assert headers["chat.error.code"].decode() == code and headers["__dlq.errors.topic"] == b"chat.jobs"
    assert dead_letter.value() == value or "chat.value.omitted" in headers


@pytest.mark.xdist_group("bad input")
def test_members_that_mean_nothing_pass_and_are_counted_by_name(shared_worker):
    worker, topics = shared_worker
    for n, job in enumerate([{"priority": 1}, {"priority": 2, "user": "u"}, {"never in a metric": 1}, {"mesage": "a"}]):
        topics.send({"id": f"unknown-{n}", "message": "hi", **job}, key="unknown")
    assert {json.loads(r.value())["status"] for r in topics.read("chat.replies", 4, key="unknown")} == {"ok"}
    metrics = worker.get("/metrics")[1]
    counted = dict(re.findall(r'^chat_job_unknown_members_total{member="([^"]*)"} (\d+)$', metrics, re.M))
    assert counted == {"priority": "2", "user": "1", "mesage": "1", "other": "1"}, counted


@pytest.mark.xdist_group("bad input")
def test_there_is_one_dead_letter_a_bad_record_and_the_log_has_no_content(shared_worker):
    worker, topics = shared_worker
    wait_until(lambda: worker.metric("jobs_alive") == 0, "all acknowledged")
    dead_letters = [r.key().decode() for r in topics.all("chat.dead")]
    assert len(dead_letters) == len(set(dead_letters))
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 0
    assert BIG[:100] not in worker.text()


@pytest.fixture(scope="module")
def shared_worker():
    world = Stage()
    try:
        redis, sim = world.redis(), world.simulator()
        worker = world.worker(redis, sim, **{"kafka.message.max.bytes": "20000000", "kafka.fetch.message.max.bytes": "20000000", "llm.tenant_tokens_per_day": "1000000000"})
        yield worker, Topics(worker.bootstrap)
    finally:
        world.end()


def test_names_in_metadata_are_the_producers_where_nothing_hangs_on_them(stage):
    """No budget and no context reads metadata: a name near `tenant` or `user` is one of the producer's own."""
    worker = stage.worker(stage.redis(), stage.simulator())
    topics = Topics(worker.bootstrap)
    for n, metadata in enumerate([{"tenants": ["a"]}, {"tenat": "a"}, {"users": 2}, {"Tenant": "a"}]):
        topics.send({"id": f"m{n}", "message": "hi", "metadata": metadata})
        reply = topics.reply_of(f"m{n}")
        assert reply["status"] == "ok" and reply["metadata"] == metadata, reply
