"""Where replies go: the topic and the partition that Spring's headers name, else the place of the job's key, as Java puts it."""
import json

from deltas import Reader
from parts import Topics, job_of, wait_until

PARTITIONS = 7
KEYS = [f"key-{n}" for n in range(40)] + ["", "ü", "a", "ab", "abc", "abcd", "abcde"]


def murmur2(data: bytes) -> int:
    """Kafka's hash of a key, as its protocol's documents have it."""
    m, mask = 0x5BD1E995, 0xFFFFFFFF
    h = 0x9747B28C ^ len(data)
    for at in range(0, len(data) - 3, 4):
        k = int.from_bytes(data[at:at + 4], "little") * m & mask
        k = (k ^ k >> 24) * m & mask
        h = (h * m & mask) ^ k
    if rest := data[len(data) // 4 * 4:]:
        h = (h ^ int.from_bytes(rest, "little")) * m & mask
    h = (h ^ h >> 13) * m & mask
    return h ^ h >> 15


def place_of(key: str) -> int:
    return (murmur2(key.encode()) & 0x7FFFFFFF) % PARTITIONS


def test_the_hash_is_the_one_that_everybody_has():
    """Of Apache Kafka's own unit tests."""
    for text, expected in (("21", -973932308), ("foobar", -790332482), ("a-little-bit-long-string", -985981536), ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971)):
        assert murmur2(text.encode()) == expected & 0xFFFFFFFF


def world(stage, **settings):
    kafka = stage.kafka_mock(chat_jobs=PARTITIONS, chat_replies=PARTITIONS, chat_dead=PARTITIONS, chat_deltas=PARTITIONS, chat_control=1, own=PARTITIONS)
    worker = stage.worker(stage.redis(), stage.simulator(), bootstrap=kafka.bootstrap, **settings)
    return worker, Topics(kafka.bootstrap)


def test_what_belongs_to_a_key_is_in_one_place(stage):
    """Jobs of our producer, replies, dead letters, deltas."""
    worker, topics = world(stage)
    for n, key in enumerate(KEYS):
        topics.send({"id": f"j{n}", "message": "hi" if n % 3 else "hi [[fault:400]]", "stream": True}, key=key)
    topics.replies(len(KEYS))
    wait_until(lambda: worker.metric("jobs_alive") == 0, "all acknowledged")
    for topic, keys in (("chat.replies", KEYS), ("chat.dead", KEYS[::3])):
        found = {r.key().decode(): r.partition() for r in topics.all(topic)}
        assert found == {key: place_of(key) for key in keys}, topic
    deltas = Reader(topics).records(len([n for n, _ in enumerate(KEYS) if n % 3]))
    assert {r.key().decode() for r in deltas} == {key for n, key in enumerate(KEYS) if n % 3}
    assert all(r.partition() == place_of(r.key().decode()) for r in deltas)
    before = len(topics.all("chat.jobs"))
    lines = "".join(json.dumps({"session": key, "message": "hi"}) + "\n" for key in KEYS if key)
    stage.producer(worker, "submit", "--file", "-", stdin=lines, check=0)
    jobs = topics.read("chat.jobs", before + len(KEYS) - 1)
    ours = [r for r in jobs if "session" in json.loads(r.value())]
    assert {r.key().decode(): r.partition() for r in ours} == {key: place_of(key) for key in KEYS if key}


def test_a_reply_goes_to_the_partition_that_its_job_names_on_a_topic_that_is_allowed(stage):
    """What can't be followed is said, counted, and goes by the key."""
    worker, topics = world(stage, **{"worker.reply_topics_allowed": "own"})
    other = next(p for p in range(PARTITIONS) if p != place_of("s"))
    wish, own = other.to_bytes(4, "big"), ("kafka_replyTopic", b"own")
    jobs = {"followed": [own, ("kafka_replyPartition", wish)],
            "usual": [("kafka_replyTopic", b"chat.replies"), ("kafka_replyPartition", wish)],
            "last": [own, ("kafka_replyPartition", b"x"), ("kafka_replyPartition", wish)],
            "not there": [own, ("kafka_replyPartition", PARTITIONS.to_bytes(4, "big"))],
            "negative": [own, ("kafka_replyPartition", b"\xff\xff\xff\xff")],
            "text": [own, ("kafka_replyPartition", b"3")], "long": [own, ("kafka_replyPartition", b"\0\0\0\0" + wish)],
            "empty": [own, ("kafka_replyPartition", b"")], "null": [own, ("kafka_replyPartition", None)],
            "alone": [("kafka_replyPartition", wish)], "forbidden": [("kafka_replyTopic", b"chat.dead"), ("kafka_replyPartition", wish)], "none": []}
    for job, headers in jobs.items():
        topics.send({"id": job, "message": "hi"}, key="s", headers=headers)
    wait_until(lambda: worker.metric("jobs_ok_total") == len(jobs) and worker.metric("jobs_alive") == 0, "all acknowledged")
    found = {job_of(r): (topic, r.partition()) for topic in ("own", "chat.replies") for r in topics.all(topic)}
    by_key = place_of("s")
    assert found == {"followed": ("own", other), "usual": ("chat.replies", other), "last": ("own", other), "not there": ("own", by_key), "negative": ("own", by_key),
                     "text": ("own", by_key), "long": ("own", by_key), "empty": ("own", by_key), "null": ("own", by_key), "alone": ("chat.replies", by_key),
                     "forbidden": ("chat.replies", by_key), "none": ("chat.replies", by_key)}
    assert {e["job"] for e in worker.events("reply_partition_ignored", level="warn")} == {"negative", "text", "long", "empty", "alone"}
    assert {e["job"] for e in worker.events("reply_partition_unusable", level="warn")} == {"not there"}
    assert {e["job"] for e in worker.events("reply_topic_refused", level="warn")} == {"forbidden"}
    assert worker.metric("reply_routes_ignored_total") == 7 and worker.metric("publish_failures_total") == 0 and topics.all("chat.dead") == []
