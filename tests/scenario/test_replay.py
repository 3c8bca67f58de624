"""Dead letters go back; those that can't are listed with their place, and can be named when what was wrong is mended."""
import json
import subprocess

import pytest
from parts import BIN, LIMIT_S, Topics


def dead_letter(topics, job, size=0, origin=b"chat.jobs", value=None):
    headers = [("__dlq.errors.topic", origin), ("__dlq.errors.partition", b"0"), ("__dlq.errors.offset", b"7"), ("__dlq.errors.message", b"broke"),
               ("chat.error.code", b"timeout"), ("own", b"header")]
    topics.send(value or json.dumps({"id": job, "message": "x" * size}), key="s", topic="chat.dead", headers=headers)


class Place:
    def __init__(self, stage):
        self.kafka = stage.kafka_mock(chat_jobs=1, chat_dead=1)
        self.topics = Topics(self.kafka.bootstrap)

    def replay(self, *arguments):
        return subprocess.run([BIN / "chat-producer", "replay", *arguments, "-b", self.kafka.bootstrap], capture_output=True, text=True, timeout=LIMIT_S)

    def jobs(self):
        return [json.loads(r.value())["id"] for r in self.topics.all("chat.jobs")]


@pytest.fixture
def place(stage):
    return Place(stage)


def test_a_dead_letter_that_is_too_large_is_listed_and_the_rest_goes(place):
    """And --letter sends it, however often the others were replayed, once the client may."""
    for n, size in enumerate([10, 1_100_000, 10, 10]):
        dead_letter(place.topics, f"j{n}", size)
    done = place.replay("--execute")
    assert done.returncode == 1
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("not sent")]
    assert line.startswith("not sent chat.dead-0-1: ") and "message.max.bytes" in line
    assert "3 letters sent back, 1 not sent, 0 skipped" in done.stdout and "--letter" in done.stderr
    assert place.jobs() == ["j0", "j2", "j3"]
    again = place.replay("--execute")
    assert again.returncode == 0 and "0 letters sent back" in again.stdout and place.jobs() == ["j0", "j2", "j3"]
    counted = place.replay("--letter", "chat.dead-0-1")
    assert counted.returncode == 0 and "1 letters would be sent back" in counted.stdout
    named = place.replay("--execute", "--letter", "chat.dead-0-1", "-X", "message.max.bytes=2000000")
    assert named.returncode == 0 and "1 letters sent back" in named.stdout, named
    *_, last = place.topics.all("chat.jobs")
    assert json.loads(last.value())["id"] == "j1" and dict(last.headers()) == {"own": b"header", "chat.replay.count": b"1"}


def test_what_a_broker_refuses_as_a_batch_goes_one_by_one(place):
    """It lays one record's fault to all that came with it: here to all of the first request."""
    for n in range(5):
        dead_letter(place.topics, f"j{n}")
    place.kafka.fail("Produce", "MSG_SIZE_TOO_LARGE")
    done = place.replay("--execute", "-X", "linger.ms=200")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "5 letters sent back, 0 not sent" in done.stdout and place.jobs()[-5:] == [f"j{n}" for n in range(5)]


def test_one_that_a_broker_refuses_alone_is_listed(place):
    for n in range(3):
        dead_letter(place.topics, f"j{n}")
    place.kafka.fail("Produce", "INVALID_RECORD", "INVALID_RECORD")
    done = place.replay("--execute", "-X", "linger.ms=200")
    assert done.returncode == 1 and "2 letters sent back, 1 not sent" in done.stdout and "not sent chat.dead-0-0: chat.jobs takes it not" in done.stdout
    assert place.jobs()[-2:] == ["j1", "j2"]
    assert "0 letters sent back" in place.replay("--execute").stdout


def test_a_topic_that_is_gone_costs_its_own_dead_letters_alone(place):
    place.kafka.tell("topic", "gone", "UNKNOWN_TOPIC_OR_PART")
    dead_letter(place.topics, "j0", origin=b"gone")
    dead_letter(place.topics, "j1")
    done = place.replay("--execute")
    assert done.returncode == 1 and "not sent chat.dead-0-0: topic gone: " in done.stdout and place.jobs() == ["j1"]


def test_what_a_dead_letter_says_of_its_topic_stands_in_one_line(place):
    """Anybody may have written it: it can't look like another line of the list, nor move a terminal's cursor."""
    dead_letter(place.topics, "j0", origin=b"a\x1b[2J\nnot sent chat.dead-0-7: \xc2\x9bb")
    place.kafka.fail("Produce", "INVALID_RECORD", "INVALID_RECORD")
    done = place.replay("--execute")
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("not sent")]
    assert done.returncode == 1 and line.startswith("not sent chat.dead-0-0: a?[2J?not sent chat.dead-0-7: ?b takes it not"), done.stdout
    assert "\x1b" not in done.stdout + done.stderr and "\x9b" not in done.stdout + done.stderr


def test_a_wrong_target_is_told_before_anything_is_passed_over(place):
    place.kafka.tell("topic", "gone", "UNKNOWN_TOPIC_OR_PART")
    dead_letter(place.topics, "j0")
    done = place.replay("--execute", "--to", "gone")
    assert done.returncode == 69 and "topic gone: " in done.stderr
    assert "1 letters would be sent back" in place.replay().stdout


@pytest.mark.parametrize("named", ["chat.dead-0", "0-1", "chat.jobs-0-1", "chat.dead-0-x", "chat.dead-0-1x", "chat.dead--1-1"])
def test_a_place_that_is_none_is_a_mistake(place, named):
    assert place.replay("--letter", named).returncode == 64


def test_a_place_without_a_dead_letter_is_said(place):
    dead_letter(place.topics, "j0")
    done = place.replay("--execute", "--letter", "chat.dead-0-9", "--letter", "chat.dead-0-0")
    assert done.returncode == 1 and "not sent chat.dead-0-9: there is no such letter" in done.stdout and place.jobs() == ["j0"]


def test_a_secret_is_read_from_its_file(place, tmp_path):
    """As the worker's settings have it: on a command line everybody who may list processes reads it."""
    key = tmp_path / "key.pem"
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", key], check=True, capture_output=True)
    dead_letter(place.topics, "j0")
    done = place.replay("--execute", "-X", f"ssl.key.pem_file={key}")
    assert done.returncode == 0 and place.jobs() == ["j0"], done.stderr
    key.write_text("not-a-key-s3cret")
    refused = place.replay("-X", "security.protocol=ssl", "-X", f"ssl.key.pem_file={key}")
    assert refused.returncode == 64 and "ssl.key.pem" in refused.stderr and "s3cret" not in refused.stderr, refused.stderr
    missing = place.replay("-X", f"sasl.password_file={tmp_path}/none")
    assert missing.returncode == 64 and f"-X: kafka.sasl.password_file: {tmp_path}/none can't be read" in missing.stderr, missing.stderr
