"""Context sources: fetched before the question, into the prompt or as a verdict; what one that fails does to the job."""
import json
import select
import signal
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest
from parts import LIMIT_S, Topics, free_port, wait_until
from scripted import answer

SECRET_REASON = "the user wrote of zanzibar"
PATIENT_MS = "60000"  # however slowly a busy machine lets a source answer; the job's own time is longer yet


class Answer:
    """What a source says. company: waits until so many are asked at once."""

    def __init__(self, text=b"", status=200, company=0, stall=False, headers=()):
        self.body = text if isinstance(text, bytes) else text.encode()
        self.status, self.company, self.stall, self.headers = status, company, stall, dict(headers)


class Sources:
    """An HTTP server of named sources: /NAME. It notes who was asked, how many at once, and who hung up."""

    def __init__(self, **answers):
        self.answers, self.asked, self.changed = answers, [], threading.Condition()
        self.in_flight = self.most_in_flight = self.hung_up = 0
        sources = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                sources.take(self, "")

            def do_POST(self):
                sources.take(self, self.rfile.read(int(self.headers["Content-Length"])).decode())

            def log_message(self, *_):
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_):
                pass  # the client hung up

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def take(self, handler, body):
        parts = urlsplit(handler.path)
        name = parts.path.split("/")[1]
        answer = self.answers[name]
        with self.changed:
            self.asked.append({"name": name, "path": parts.path, "query": {k: v[0] for k, v in parse_qs(parts.query, keep_blank_values=True).items()},
                               "raw": handler.path, "headers": dict(handler.headers), "method": handler.command, "body": body})
            self.in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self.in_flight)
            self.changed.notify_all()
            self.changed.wait_for(lambda: self.most_in_flight >= answer.company, LIMIT_S)
        gone = answer.stall and self.wait_for_end(handler.connection)
        with self.changed:
            self.in_flight -= 1
            self.hung_up += gone
        if gone:
            handler.close_connection = True
            return
        handler.send_response(answer.status)
        for key, value in {"Content-Length": str(len(answer.body)), **answer.headers}.items():
            handler.send_header(key, value)
        handler.end_headers()
        handler.wfile.write(answer.body)

    @staticmethod
    def wait_for_end(connection):
        """True once the other side has closed it."""
        readable, _, _ = select.select([connection], [], [], LIMIT_S)
        return bool(readable) and connection.recv(1, socket.MSG_PEEK) == b""

    def count(self, name):
        with self.changed:
            return sum(a["name"] == name for a in self.asked)

    def end(self):
        self.server.shutdown()
        self.server.server_close()


class Place:
    """A worker with a simulated model and these sources, named in llm.contexts in this order."""

    def __init__(self, stage, answers, settings=None, sim=(), urls=None, **worker):
        self.sources, self.sim = Sources(**answers), stage.simulator(*sim)
        pairs = {"llm.contexts": ",".join(answers)}
        for name in answers:
            pairs[f"context.{name}.url"] = (urls or {}).get(name, f"{self.sources.url}/{name}")
            pairs[f"context.{name}.timeout_ms"] = PATIENT_MS
        self.worker = stage.worker(stage.redis(), self.sim, **{**pairs, **(settings or {})}, **worker)
        self.topics = Topics(self.worker.bootstrap)

    def ask(self, message="hi", job="j", session="s", **fields):
        self.topics.send({"id": job, "message": message, **fields}, key=session)
        return self.topics.reply_of(job)

    def messages(self):
        """Of the request that the model got last."""
        last = self.sim.get("/sim/requests?last=1")
        last = last[-1] if isinstance(last, list) else last["requests"][-1]
        body = last.get("body", last)
        return (json.loads(body) if isinstance(body, str) else body)["messages"]

    def systems(self):
        return [m["content"] for m in self.messages() if m["role"] == "system"]


@pytest.fixture
def place(stage):
    made = []

    def make(*arguments, **more):
        made.append(Place(stage, *arguments, **more))
        return made[-1]

    yield make
    for one in made:
        one.sources.end()


THREE = ("profile", "orders", "rules")


def test_three_sources_are_fetched_side_by_side(place, redis_io):
    """Each answers only once all three are asked: in a row none would."""
    here = place({name: Answer(f"of {name}", company=3) for name in THREE}, {"worker.redis_io": redis_io})
    reply = here.ask()
    assert reply["status"] == "ok" and here.sources.most_in_flight == 3
    assert here.systems() == ["profile:\nof profile\n\norders:\nof orders\n\nrules:\nof rules"]
    assert reply["timing_ms"]["context"] > 0 and reply["timing_ms"]["total"] >= reply["timing_ms"]["context"] + reply["timing_ms"]["llm"]
    assert here.worker.metric("context_fetches_total") == 3 and here.worker.metric("context_failures_total") == 0


def test_in_turn_each_waits_for_the_one_before(place):
    here = place({name: Answer(f"of {name}") for name in THREE}, {"llm.context_fetch": "in-turn"})
    assert here.ask()["status"] == "ok"
    assert here.sources.most_in_flight == 1 and [a["name"] for a in here.sources.asked] == list(THREE)


def test_a_template_says_where_the_texts_go(place):
    here = place({"profile": Answer('likes "tea" {orders}\n\\ und Käse'), "orders": Answer("two")},
                 {"llm.context_prompt": "Who: {profile}. Open: {orders}.", "llm.system_prompt": "Be brief."})
    assert here.ask()["status"] == "ok"
    assert here.systems() == ['Be brief.\n\nWho: likes "tea" {orders}\n\\ und Käse. Open: two.'], "one system message, and no text is taken for a template"
    assert [m["role"] for m in here.messages()] == ["system", "user"]


def test_a_job_with_a_system_message_of_its_own_has_the_context_too(place):
    here = place({"profile": Answer("likes tea")}, {"llm.system_prompt": "Be brief."})
    here.topics.send({"id": "j", "messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "hi"}]}, key="s")
    assert here.topics.reply_of("j")["status"] == "ok"
    assert here.systems() == ["Be kind.\n\nprofile:\nlikes tea"]


def test_the_context_is_no_part_of_the_history(place):
    here = place({"profile": Answer("first")})
    assert here.ask("one", job="j1")["status"] == "ok"
    here.sources.answers["profile"] = Answer("second")
    assert here.ask("two", job="j2")["status"] == "ok"
    assert here.systems() == ["profile:\nsecond"] and [m["role"] for m in here.messages()] == ["system", "user", "assistant", "user"]


def test_a_source_is_asked_for_this_job(stage):
    sources = Sources(profile=Answer("x"))
    worker = stage.worker(stage.redis(), stage.simulator(), **{"llm.contexts": "profile", "context.profile.api_key": "sesame",
                                                               "context.profile.url": sources.url + "/profile/{user}?s={session}&j={job}"})
    topics = Topics(worker.bootstrap)
    try:
        topics.send({"id": "j/1", "session": "s&x=1 ü", "message": "hi", "metadata": {"user": "a/../b"}}, key="k")
        topics.send({"id": "j2", "message": "hi", "metadata": {"user": "7"}}, key="k2")
        topics.send({"id": "j3", "message": "hi", "metadata": {"user": ".."}}, key="k3")
        replies = topics.replies(3)
        assert {r["status"] for r in replies.values()} == {"ok"}
        asked = {a["query"]["j"]: a for a in sources.asked}
        assert set(asked) == {"j/1", "j2"}, "what would be a step in the path isn't asked"
        assert asked["j/1"]["path"] == "/profile/a%2F..%2Fb" and asked["j/1"]["query"]["s"] == "s&x=1 ü"
        assert asked["j2"]["path"] == "/profile/7" and asked["j2"]["query"]["s"] == "k2"
        assert asked["j2"]["headers"]["Authorization"] == "Bearer sesame" and "sesame" not in worker.text()
        worker.wait_event("context_failed", job="j3", context="profile", code="bad_url")
    finally:
        sources.end()


NOTHING = {"missing": {}, "empty": {"user": ""}, "blank": {"user": " \u00a0\t"}, "a number": {"user": 7}, "null": {"user": None}, "a step": {"user": ".."}, "dots": {"user": "..."}}


@pytest.mark.parametrize("where", ["/profile/{user}", "/profile?user={user}"])
def test_what_a_job_brings_nothing_for_is_not_asked(stage, where):
    """Behind /profile/ stand all the profiles."""
    sources = Sources(profile=Answer("everybody's"))
    worker = stage.worker(stage.redis(), sim := stage.simulator(), **{"llm.contexts": "profile", "context.profile.url": sources.url + where, "context.profile.timeout_ms": PATIENT_MS})
    topics = Topics(worker.bootstrap)
    in_path = "?" not in where
    brought = {name: metadata for name, metadata in NOTHING.items() if in_path or set(str(metadata.get("user"))) != {"."}}
    try:
        for name, metadata in brought.items():
            topics.send({"id": name, "message": "hi", "metadata": metadata}, key=name)
        topics.send({"id": "good", "message": "hi", "metadata": {"user": "me"}}, key="good")
        assert {reply["status"] for reply in topics.replies(len(brought) + 1).values()} == {"ok"}
        assert [asked["raw"] for asked in sources.asked] == [where.replace("{user}", "me")]
        assert sum("everybody's" in json.dumps(request["body"]) for request in sim.get("/sim/requests?last=99")) == 1
        for name in brought:
            (event,) = worker.events("context_failed", job=name)
            assert event["code"] == ("bad_url" if "." in str(brought[name].get("user")) else "empty_placeholder")
    finally:
        sources.end()


def test_a_job_without_what_a_required_context_is_asked_for_says_so(stage):
    sources = Sources(profile=Answer("everybody's"))
    worker = stage.worker(stage.redis(), sim := stage.simulator(), **{"llm.contexts": "profile", "context.profile.required": "true",
                                                                      "context.profile.url": sources.url + "/profile/{user}"})
    topics = Topics(worker.bootstrap)
    try:
        topics.send({"id": "nobody", "message": "hi"}, key="s")
        error = topics.reply_of("nobody")["error"]
        assert error["code"] == "empty_placeholder" and "profile" in error["message"] and "metadata.user" in error["message"]
        assert sources.asked == [] and sim.stats()["requests"] == 0
    finally:
        sources.end()


BAD = {"500": (Answer("zanzibar", 500), "http_500"), "404": (Answer("zanzibar", 404), "http_404"), "503": (Answer("zanzibar", 503), "http_503"),
       "302": (Answer("", 302, headers={"Location": "http://127.0.0.1:1/"}), "http_302"), "not UTF-8": (Answer(b"zanzibar \xff"), "invalid_response"),
       "too large": (Answer("zanzibar" * 100), "response_too_large"), "slow": (Answer("zanzibar", stall=True), "timeout")}


def small(bad):
    return {"context.profile.bytes_max": "200", "context.profile.timeout_ms": "3000" if bad == "slow" else PATIENT_MS}


def test_a_source_may_be_told_what_is_asked(place):
    """As text, as messages, or not at all; a moderation judges what it was told."""
    here = place({"search": Answer("found"), "log": Answer("noted"), "profile": Answer("known"), "guard": Answer('{"results":[{"flagged":false}]}')},
                 {"context.search.send": "input", "context.log.send": "messages", "context.guard.send": "input", "context.guard.kind": "moderation"})
    messages = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": [{"type": "text", "text": "Grüße \"1\""}, {"type": "image_url", "image_url": {"url": "x"}}]},
                {"role": "assistant", "content": "yes?"}, {"role": "user", "content": "two"}]
    here.topics.send({"id": "j", "messages": messages, "metadata": {"user": "u1"}}, key="s")
    assert here.topics.reply_of("j")["status"] == "ok"
    asked = {a["name"]: a for a in here.sources.asked}
    assert (asked["profile"]["method"], asked["profile"]["body"]) == ("GET", "")
    for name in ("search", "guard"):
        assert asked[name]["method"] == "POST" and asked[name]["headers"]["Content-Type"] == "application/json"
        assert json.loads(asked[name]["body"]) == {"input": 'Grüße "1"\ntwo'}
    assert json.loads(asked["log"]["body"]) == {"job": "j", "session": "s", "user": "u1", "messages": messages}


@pytest.mark.parametrize("bad", BAD)
def test_one_that_fails_is_left_out(place, bad):
    answer, code = BAD[bad]
    here = place({"profile": answer, "orders": Answer("two")}, {"llm.context_prompt": "[{profile}][{orders}]", **small(bad)})
    reply = here.ask()
    assert (reply["status"], reply["attempts"]) == ("ok", 1)
    assert here.systems() == ["[][two]"]
    here.worker.wait_event("context_failed", context="profile", code=code, job="j", required="false")
    assert here.worker.metric("context_failures_total") == 1 and "zanzibar" not in here.worker.text()
    if bad == "slow":
        wait_until(lambda: here.sources.hung_up == 1, "the call cut short at the source")


@pytest.mark.parametrize("bad", ["500", "not UTF-8", "slow"])
def test_a_required_one_that_fails_is_tried_again_and_then_the_job_ends(place, redis_io, bad):
    answer, code = BAD[bad]
    here = place({"profile": answer}, {"context.profile.required": "true", "retry.attempts_max": "2", "worker.redis_io": redis_io, **small(bad)})
    reply = here.ask()
    error = reply["error"]
    assert (reply["status"], reply["attempts"], error["code"], error["type"], error["retriable"]) == ("error", 2, code, "retriable", True)
    assert "context profile" in error["message"] and error["provider"] is None
    assert here.sources.count("profile") == 2 and here.sim.stats()["requests"] == 0, "the model isn't asked without it"
    (dead_letter,) = here.topics.read(here.topics.dead, 1)
    assert dict(dead_letter.headers())["chat.error.class"] == b"retriable"


@pytest.mark.parametrize("bad", ["404", "302", "too large"])
def test_a_required_one_that_would_fail_again_ends_the_job_at_once(place, bad):
    answer, code = BAD[bad]
    here = place({"profile": answer}, {"context.profile.required": "true", **small(bad)})
    reply = here.ask()
    assert (reply["status"], reply["attempts"], reply["error"]["code"], reply["error"]["retriable"]) == ("error", 1, code, False)
    assert here.sources.count("profile") == 1 and here.sim.stats()["requests"] == 0


def test_a_required_one_that_is_away_is_waited_for(place, redis_io):
    """503: no attempt is lost, however often."""
    here = place({"profile": Answer("", 503)}, {"context.profile.required": "true", "retry.attempts_max": "2", "retry.backoff_max_ms": "100", "worker.redis_io": redis_io})
    here.topics.send({"id": "j", "message": "hi"}, key="s")
    wait_until(lambda: here.sources.count("profile") >= 4, "the source asked again and again")
    here.sources.answers["profile"] = Answer("back")
    reply = here.topics.reply_of("j")
    assert (reply["status"], reply["attempts"]) == ("ok", 1) and here.systems() == ["profile:\nback"]


def test_a_required_one_that_nobody_listens_for_is_waited_for_until_the_deadline(place):
    here = place({"profile": Answer()}, {"context.profile.required": "true", "retry.attempts_max": "1"}, urls={"profile": f"http://127.0.0.1:{free_port()}/"})
    reply = here.ask(deadline_ms=10000)
    assert (reply["status"], reply["attempts"], reply["error"]["code"], reply["error"]["type"]) == ("error", 0, "connection_failed", "unavailable")


def test_what_a_source_asks_for_is_waited(place):
    here = place({"profile": Answer("", 429, headers={"Retry-After": "3600"})}, {"context.profile.required": "true"})
    reply = here.ask()
    assert (reply["status"], reply["attempts"], reply["error"]["code"]) == ("error", 1, "http_429"), "an hour is too long: not tried again"


def test_a_failing_required_one_cuts_the_others_short(place):
    here = place({"profile": Answer("", 404, company=2), "orders": Answer(stall=True)}, {"context.profile.required": "true"})
    assert here.ask()["error"]["code"] == "http_404"
    wait_until(lambda: here.sources.hung_up == 1, "the other call cut short")


@pytest.mark.parametrize("verdict", [{"allowed": False, "reason": SECRET_REASON}, {"results": [{"flagged": True, "categories": {"violence": True}}]}])
def test_a_moderation_that_refuses_ends_the_job(place, redis_io, verdict):
    here = place({"rules": Answer(json.dumps(verdict))}, {"context.rules.kind": "moderation", "worker.redis_io": redis_io})
    reply = here.ask()
    error = reply["error"]
    assert (reply["status"], error["code"], error["type"], error["retriable"]) == ("error", "moderation_refused", "permanent", False)
    assert "rules" in error["message"] and here.sim.stats()["requests"] == 0
    (dead_letter,) = here.topics.read(here.topics.dead, 1)
    assert dict(dead_letter.headers())["chat.error.class"] == b"permanent"
    assert "zanzibar" not in here.worker.text() + json.dumps(reply) + str(dead_letter.headers())


def test_a_moderation_that_allows_adds_nothing_to_the_prompt(place):
    here = place({"rules": Answer('{"allowed":true}'), "profile": Answer("likes tea")}, {"context.rules.kind": "moderation"})
    assert here.ask()["status"] == "ok" and here.systems() == ["profile:\nlikes tea"]


@pytest.mark.parametrize("required", ["true", "false"])
def test_a_moderation_without_a_verdict_counts_as_failed(place, required):
    here = place({"rules": Answer("I would say yes")}, {"context.rules.kind": "moderation", "context.rules.required": required, "retry.attempts_max": "2"})
    reply = here.ask()
    assert reply["status"] == ("error" if required == "true" else "ok")
    assert required == "false" or (reply["error"]["code"], reply["attempts"]) == ("invalid_response", 2)
    here.worker.wait_event("context_failed", context="rules", code="invalid_response")


def test_a_job_has_no_more_time_for_its_context_than_for_itself(place):
    here = place({"profile": Answer(stall=True)}, {"context.profile.required": "true"})
    reply = here.ask(deadline_ms=10000)
    assert (reply["status"], reply["error"]["code"]) == ("error", "timeout") and here.sim.stats()["requests"] == 0


def test_a_drain_that_runs_out_cuts_the_fetch_and_gives_the_claim_back(place, redis_io):
    here = place({"profile": Answer(stall=True)}, {"context.profile.timeout_ms": "3600000", "worker.drain_timeout_ms": "300", "worker.redis_io": redis_io})
    here.topics.send({"id": "stuck", "message": "hi"}, key="s")
    wait_until(lambda: here.sources.in_flight == 1, "the source asked")
    here.worker.signal(signal.SIGTERM)
    assert here.worker.wait() == 0
    (end,) = here.worker.events("drain_finished")
    assert end["cut_short"] == "1" and end["left"] == "0"
    here.worker.wait_event("job_dropped", job="stuck")
    wait_until(lambda: here.sources.hung_up == 1, "the source saw the call end")
    assert here.sim.stats()["requests"] == 0 and not here.worker.events("context_failed")


def test_a_byte_order_mark_of_a_context_reaches_no_model(stage):
    source = stage.scripted(lambda body, number: (200, b"\xef\xbb\xbfknows everything", {"Content-Type": "text/plain"}))
    llm = stage.scripted(lambda body, number: (200, answer()))
    worker = stage.worker(stage.redis(), llm, **{"llm.contexts": "who", "context.who.url": source.url, "context.who.send": "input", "context.who.timeout_ms": PATIENT_MS})
    topics = Topics(worker.bootstrap)
    topics.send({"id": "j", "message": "hi"}, key="s")
    assert topics.reply_of("j")["status"] == "ok"
    prompt = llm.requests[0]["messages"][0]["content"]
    assert "knows everything" in prompt and "\ufeff" not in prompt
