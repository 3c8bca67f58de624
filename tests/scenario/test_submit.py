"""What chat-producer sends is what it was given, and what a worker would refuse isn't sent."""
import codecs
import gzip
import json
import os
import subprocess

import pytest
from parts import BIN, LIMIT_S, Topics

BOM = codecs.BOM_UTF8


class Place:
    def __init__(self, stage):
        self.stage, self.kafka = stage, stage.kafka_mock(chat_jobs=1, chat_replies=1, chat_dead=1, chat_control=1, chat_deltas=1)
        self.topics = Topics(self.kafka.bootstrap)

    def run(self, *arguments, stdin=b""):
        return subprocess.run([BIN / "chat-producer", *arguments, "-b", self.kafka.bootstrap], input=stdin, capture_output=True, timeout=LIMIT_S)

    def submit(self, *arguments, stdin=b"", status=0):
        done = self.run("submit", *arguments, stdin=stdin)
        assert done.returncode == status, done.stderr
        return done.stderr.decode()

    def sent(self) -> list[bytes]:
        return [r.value() for r in self.topics.all("chat.jobs")]


@pytest.fixture
def place(stage):
    return Place(stage)


AS_IT_CAME = ['{"price":19.99}', '{"z":1,"a":{"y":-0.0,"b":1E2},"m":[1.10,100000000000000000000.5]}', ' { "spaced" :\t0.10 } ', '"text"', "9007199254740992", "1.0", "null",
              '{"t\\u0065xt":"\\u00e4\\/"}', "[]"]


@pytest.mark.parametrize("value", AS_IT_CAME)
def test_json_of_the_command_line_goes_out_as_it_came_and_comes_back_so(stage, place, value):
    place.submit("--id", "j", "--metadata", value, "--params", '{"temperature":0.20,"top_p":1e-1}', "hi")
    (sent,) = place.sent()
    assert f'"metadata":{value}'.encode() in sent and b'"params":{"temperature":0.20,"top_p":1e-1}' in sent
    sim = stage.simulator()
    stage.worker(stage.redis(), sim, bootstrap=place.kafka.bootstrap)
    (record,) = place.topics.read("chat.replies", 1)
    assert f'"metadata":{value.strip()}'.encode() in record.value()
    assert sim.get("/sim/requests?last=1")[0]["body"]["temperature"] == 0.2


REFUSED = [("--metadata", '{"a":1,"a":2}', 64, '"a" is there twice'), ("--metadata", '{"a":{"b":1,"\\u0062":2}}', 64, "is there twice"), ("--metadata", "{", 64, "ends too early"),
           ("--metadata", "", 64, "ends too early"), ("--metadata", '1,"session":"other"', 64, "more text after the JSON"), ("--metadata", "NaN", 64, "not JSON at byte"),
           ("--metadata", b"\"\xff\"", 64, "not UTF-8 at byte 1"), ("--metadata", "[" * 100 + "]" * 100, 64, "nested too deep"), ("--metadata", "[" * 70 + "]" * 70, 65, "metadata: nested"),
           ("--metadata", '{"n":12345678901234567890}', 64, "out of range"), ("--metadata", '{"n":9007199254740993}', 65, "metadata.n: an integer beyond 2^53"),
           ("--params", "[]", 65, "params: must be an object"), ("--params", '{"n":2}', 65, "params.n"), ("--params", '{"\\u006e":2}', 65, "params.n"),
           ("--params", '{"messages":[]}', 65, "params.messages"), ("--params", '{"model":7}', 65, "params.model: must be a string")]


@pytest.mark.parametrize("command", ["submit", "ask"])
@pytest.mark.parametrize("option,value,status,said", REFUSED, ids=range(len(REFUSED)))
def test_what_a_worker_would_refuse_is_said_and_not_sent(place, command, option, value, status, said):
    done = place.run(command, option, value, "hi")
    assert done.returncode == status and said in done.stderr.decode(), done.stderr
    assert place.sent() == []


def test_a_byte_order_mark_is_no_part_of_what_it_stands_before(place):
    """Before a job, a line of text, a file that was joined to another, JSON and a message."""
    job = b'{"id":"%d","message":"hi"}\n'
    place.submit("--file", "-", stdin=BOM + job % 1 + BOM + job % 2 + job % 3)
    place.submit("--file", "-", "--text", stdin=BOM + b"four\n" + BOM + b"five\r\n")
    place.submit("--metadata", BOM + b'{"a":1}', BOM + b"six")
    assert not any(BOM in value or b"\\ufeff" in value.lower() for value in place.sent())
    assert [json.loads(value)["message"] for value in place.sent()] == ["hi"] * 3 + ["four", "five", "six"]


def test_a_question_of_standard_input_has_no_byte_order_mark(stage, place):
    sim = stage.simulator()
    stage.worker(stage.redis(), sim, bootstrap=place.kafka.bootstrap)
    done = place.run("ask", stdin=BOM + b"hello\n")
    assert done.returncode == 0 and done.stdout.startswith(b"echo: hello ")


@pytest.mark.parametrize("text", [(), ("--text",)])
@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be"])
def test_a_file_in_utf_16_is_called_by_its_name(stage, place, text, encoding):
    path = stage.folder / "jobs"
    path.write_bytes((codecs.BOM_UTF16_BE if encoding == "utf-16-be" else b"") + '{"message":"hi"}\n'.encode(encoding))
    assert "is UTF-16; save it as UTF-8" in place.submit("--file", os.fspath(path), *text, status=65)
    assert place.sent() == []


@pytest.mark.parametrize("command,options", [("submit", ("--file", "-")), ("submit", ("--file", "-", "--text")), ("ask", ())])
@pytest.mark.parametrize("form,data", [("UTF-16", "hi\n".encode("utf-16-le")), ("UTF-16", "hi\n".encode("utf-16-be")), ("UTF-16", "hi\n".encode("utf-16")), ("UTF-32", "hi\n".encode("utf-32")),
                                       ("compressed with gzip", gzip.compress(b'{"message":"hi"}\n'))], ids=range(5))
def test_what_is_no_text_of_ours_is_called_by_its_name(place, command, options, form, data):
    done = place.run(command, *options, stdin=data)
    assert done.returncode in (64, 65) and f"is {form}; ".encode() in done.stderr, done.stderr
    assert place.sent() == []


@pytest.mark.parametrize("data", [b'[{"message":"a"},{"message":"b"}]\n', b'[\n{"message":"a"}\n]\n', b'{\n  "message": "a"\n}\n', b'{"message":"a"},\n{"message":"b"}\n', b'{"message":"a"}\r{"message":"b"}\r'])
def test_json_that_is_not_a_job_a_line_is_told_what_is_wanted(place, data):
    assert "each line is a job by itself" in place.submit("--file", "-", stdin=data, status=65)
    assert place.sent() == []


@pytest.mark.parametrize("stdin,said", [(b"", "is empty"), (BOM, "is empty"), (BOM + b"\r\n", "is empty"), (b"ab\0c", "NUL")])
def test_without_a_question_nothing_is_asked(place, stdin, said):
    done = place.run("ask", stdin=stdin)
    assert done.returncode == 64 and said in done.stderr.decode()
    assert place.sent() == []


@pytest.mark.parametrize("command", [("submit", "--file", "-"), ("ask",)])
def test_a_closed_input_is_no_connection_of_kafkas(place, command):
    done = subprocess.run(["bash", "-c", 'exec "$@" <&-', "-", BIN / "chat-producer", *command, "-b", place.kafka.bootstrap], capture_output=True, timeout=LIMIT_S)
    assert done.returncode in (64, 65) and b"Bad file descriptor" in done.stderr, done.stderr
    assert place.sent() == []


@pytest.mark.parametrize("closed", [">&-", "<&- >&-", "<&- >&- 2>&-"])
def test_a_closed_output_is_no_connection_of_kafkas(place, closed):
    """Nothing of an answer goes into a file that Kafka's client opened meanwhile."""
    done = subprocess.run(["bash", "-c", f'exec "$@" {closed}', "-", BIN / "chat-producer", "submit", "--id", "j", "-b", place.kafka.bootstrap, "hi"], capture_output=True, timeout=LIMIT_S)
    assert done.returncode == 1 and len(place.sent()) == 1
