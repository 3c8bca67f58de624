"""Responses as servers really send them, byte by byte, over plain connections and TLS: each is answered or ends as its job's failure should."""
import json

import pytest
from parts import Topics
from scripted import DONE, answer, delta

pytestmark = pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])

BODY = json.dumps(answer("the answer")).encode()
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


def sized(body=BODY, head=OK, more=b""):
    return head + more + b"Content-Length: %d\r\n\r\n%s" % (len(body), body)


def chunked(body=BODY, pieces=3, end=b"0\r\n\r\n", head=OK):
    step = len(body) // pieces + 1
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(body[i:i + step]), body[i:i + step]) for i in range(0, len(body), step))
    return head + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + end


class Place:
    def __init__(self, stage, script, tls, early=(), **settings):
        self.server = stage.raw(script, tls, early=early)
        options = {"worker.threads": "1", "retry.backoff_max_ms": "50", **settings}
        if tls:
            options["provider.main.ca_file"] = str(self.server.ca)
        self.worker = stage.worker(stage.redis(), self.server, **options)
        self.topics = Topics(self.worker.bootstrap)

    def ask(self, job, message="hi", **more):
        self.topics.send({"id": job, "message": message, **more}, key=f"s-{job}")
        return self.topics.reply_of(job)


# What a server sends, and whether its connection carries the next request, too.
GOOD = {
    "a length": (sized(), True),
    "chunks": (chunked(), True),
    "chunks and extensions": (chunked().replace(b"\r\n{", b";name=value\r\n{", 1), True),
    "trailers": (chunked(end=b"0\r\nX-Trailer: 1\r\nX-Other: 2\r\n\r\n"), True),
    "early hints": (b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + sized(), True),
    "a continue": (b"HTTP/1.1 100 Continue\r\n\r\n" + chunked(), True),
    "lines without a carriage return": (sized().replace(b"\r\n", b"\n"), True),
    "no reason": (sized(head=b"HTTP/1.1 200\r\n"), True),
    "a header over two lines": (sized(more=b"X-Long: a\r\n b\r\n"), True),
    "a length and a close": (sized(more=b"Connection: close\r\n"), False),
    "an old server": (sized(head=b"HTTP/1.0 200 OK\r\n"), False),
    "an old server that keeps": (sized(head=b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n"), True),
    "bytes behind the end": (sized() + b"\r\n", False),
}


@pytest.mark.parametrize("slow", [False, True], ids=["at once", "drop by drop"])
def test_every_form_of_an_answer_is_read(stage, tls, slow):
    """One job a form, on one thread; which connections were used again is counted."""
    forms = list(GOOD.values())

    def script(connection, number):
        data, _ = forms[number - 1]
        connection.drip(data) if slow else connection.send(data)

    place = Place(stage, script, tls)
    for number, name in enumerate(GOOD):
        reply = place.ask(f"j{number}")
        assert (reply["status"], reply["attempts"], reply["message"]["content"]) == ("ok", 1, "the answer"), (name, reply)
    assert place.server.connections == 1 + sum(not keeps for _, keeps in forms[:-1])


def test_an_answer_that_ends_with_the_connection_is_whole(stage, tls):
    def script(connection, number):
        connection.send(OK + b"\r\n" + BODY)
        connection.close()

    place = Place(stage, script, tls)
    for n in range(2):
        assert place.ask(f"j{n}")["attempts"] == 1
    assert place.server.connections == 2


CUT = {
    "nothing": b"",
    "half a status": b"HTTP/1.1 2",
    "half the headers": OK,
    "half a body": sized()[:-5],
    "half a chunk": chunked()[:-12],
    "no last chunk": chunked(end=b""),
    "no end of the trailers": chunked(end=b"0\r\nX: 1\r\n"),
}
SPOILT = {
    "no HTTP": b"SSH-2.0-OpenSSH_9.2\r\n",
    "HTTP/2": b"HTTP/2 200\r\n\r\n",
    "two lengths": sized(more=b"Content-Length: 1\r\n"),
    "no number": sized(more=b"Content-Length: many\r\n"),
    "a chunk that is too long": chunked().replace(b"\r\n0\r\n", b"more\r\n0\r\n"),
    "a chunk without a size": OK + b"Transfer-Encoding: chunked\r\n\r\nsize\r\n",
    "an unknown coding": OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n",
    "a switch": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
    "a line without an end": b"HTTP/1.1 200 OK\r\nX: " + b"x" * 300000,
}


@pytest.mark.parametrize("ends", ["closed", "reset"])
def test_an_answer_that_is_cut_off_is_asked_for_again(stage, tls, ends):
    """Each form costs its job an attempt, on a new connection; the second request is answered."""
    cut = list(CUT.values())

    def script(connection, number):
        if number % 2 == 0:
            return sized(more=b"Connection: close\r\n")
        connection.send(cut[number // 2])
        connection.reset() if ends == "reset" else connection.close()
        return None

    place = Place(stage, script, tls)
    for number, name in enumerate(CUT):
        reply = place.ask(f"j{number}")
        assert (reply["status"], reply["attempts"]) == ("ok", 2), (name, reply)
        (retry,) = place.worker.events("job_retry", job=f"j{number}")
        assert retry["code"] == "connection_lost", (name, retry)
    assert place.server.connections == 2 * len(CUT)


def test_an_answer_that_cannot_be_read_is_asked_for_again(stage, tls):
    """At once, however long the server would keep the connection open."""
    spoilt = list(SPOILT.values())

    def script(connection, number):
        return sized() if number % 2 == 0 else spoilt[number // 2]

    place = Place(stage, script, tls)
    for number, name in enumerate(SPOILT):
        reply = place.ask(f"j{number}")
        assert (reply["status"], reply["attempts"]) == ("ok", 2), (name, reply)
        (retry,) = place.worker.events("job_retry", job=f"j{number}")
        assert retry["code"] == "invalid_response", (name, retry)


def test_a_kept_connection_that_is_reset_within_a_request_costs_no_attempt(stage, tls):
    """The second request's head is read and its body isn't, as by a server that has just given the connection up."""
    def script(connection, number):
        if number == 2:
            connection.reset()
            return None
        return sized()

    place = Place(stage, script, tls, early={2})
    assert place.ask("first")["attempts"] == 1
    reply = place.ask("second", message="x" * 300000)
    assert (reply["status"], reply["attempts"]) == ("ok", 1)
    assert place.server.requests == 3 and place.server.connections == 2


def test_a_request_that_is_refused_before_its_body_is_read_is_refused(stage, tls):
    refusal = b'{"error":{"message":"too large","code":"request_too_large"}}'

    def script(connection, number):
        return sized(refusal, b"HTTP/1.1 413 Content Too Large\r\nContent-Type: application/json\r\nConnection: close\r\n")

    place = Place(stage, script, tls, early={1}, **{"worker.job_bytes_max": "8000000"})
    reply = place.ask("j", message="x" * 4000000)
    assert reply["status"] == "error" and place.server.requests == 1
    assert reply["error"]["provider_message"] == "too large"


def test_a_large_request_and_a_large_answer_arrive_whole(stage, tls):
    """Beyond what socket buffers hold: both sides have to wait for the other."""
    texts = []

    def script(connection, number):
        texts.append(json.loads(connection.body)["messages"][-1]["content"])
        return chunked(json.dumps(answer("y" * 3000000)).encode(), pieces=100)

    place = Place(stage, script, tls, **{"worker.job_bytes_max": "8000000", "llm.response_bytes_max": "8000000", "kafka.message.max.bytes": "9000000"})
    reply = place.ask("j", message="x" * 3000000)
    assert reply["status"] == "ok", reply.get("error")
    assert texts == ["x" * 3000000] and reply["message"]["content"] == "y" * 3000000


def test_a_stream_is_read_however_it_is_cut(stage, tls):
    """Chunks that end within an event, within a character and within the size of the next one."""
    events = b"".join(delta(content=word) for word in ("Gr", "üße", " aus", " Köln")) + DONE
    data = chunked(events, pieces=40, head=b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n")

    def script(connection, number):
        connection.drip(data) if number == 2 else connection.send(data)

    place = Place(stage, script, tls, **{"llm.stream": "always"})
    for n in range(3):
        assert place.ask(f"j{n}")["message"]["content"] == "Grüße aus Köln"
    assert place.server.connections == 1
