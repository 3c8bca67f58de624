"""The two engines side by side: the same jobs, faults and cancels, drawn by a seed, come to the same with either: outcomes, answers, errors, dead letters,
deltas, histories, and what each provider was asked. CHAT_SEEDS=1-50 plays others."""
import json
import os
import random
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from deltas import Reader, text
from engine import with_engine
from parts import Topics, wait_until
from stage import Stage

SESSIONS, JOBS = 8, 6
HELD = "[[fault:hold]]"
# Each ends in the same way whenever it is met.
FAULTS = ["400", "content", "too-long times=1", "overflow times=1 shape=llamacpp", "length", "tool-calls", "filter", "null-content", "empty-choices", "comments", "crlf", "split-utf8", "no-usage"]
# These count against a provider, whose breaker would open when it is time: in few sessions, since a session counts once.
FAILURES = ["500 times=1", "500 times=2", "not-json times=1", "empty-body times=1", "bad-utf8 times=1", "truncated times=1", "stream-error times=1 n=2", "no-done times=1", "no-message times=1",
            "error-200 times=1", "html times=1"]
FAILING_SESSIONS = 3
# A connection that is reset or closed is asked once more if it was kept, which is a matter of time: not counted.
UNCOUNTED = ["reset times=1", "close times=1", "stale times=1"]


def seeds():
    first, _, last = os.environ.get("CHAT_SEEDS", "1-4").partition("-")
    return range(int(first), int(last or first) + 1)


class Facts:
    """A context source; it fails for every third session, which its jobs go without."""

    def __init__(self):
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                body = f"facts of {self.path}".encode()
                self.send_response(500 if int(self.path.rsplit("s", 1)[1]) % 3 == 2 else 200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def end(self):
        self.server.shutdown()
        self.server.server_close()


def plan(seed):
    """The jobs, in their order, and the settings."""
    draw = random.Random(seed)
    jobs = []
    for number in range(SESSIONS * JOBS):
        kind, session = draw.random(), draw.randrange(SESSIONS)
        failing = [*FAILURES, *UNCOUNTED] if session < FAILING_SESSIONS else []
        fault = "" if kind < 0.35 else HELD if kind < 0.45 else f"[[fault:{draw.choice(FAULTS + failing)}]]"
        jobs.append({"id": f"j{number}", "session": f"s{session}", "message": f"{fault} question {number} with a few words more", "stream": draw.random() < 0.5})
    patient = {"llm.deadline_ms": "900000", "provider.main.attempt_timeout_ms": "600000", "provider.spare.attempt_timeout_ms": "600000"}  # a call that isn't cancelled is under way until the test fails
    settings = {**patient, "llm.providers": "main,spare", "provider.spare.model": "sim", "llm.strategy": draw.choice(["sequential", "sequential", "race"]), "retry.backoff_ms": "5", "retry.backoff_max_ms": "20",
                "worker.threads": draw.choice(["3", "16", "64"]), "worker.ordering": draw.choice(["key", "key", "partition"]), "llm.stream": draw.choice(["asked", "always", "never"]),
                "worker.gather_ms": draw.choice(["0", "20"])}
    if seed % 2 == 0:
        settings |= {"llm.contexts": "facts", "context.facts.kind": "text", "context.facts.required": "false", "llm.context_fetch": draw.choice(["together", "in-turn"])}
    if seed % 4 in (2, 3):
        settings |= {"provider.main.requests_per_minute": "6000", "llm.tenant_tokens_per_day": "1000000", "llm.tenant_member": "session"}
    return jobs, settings


class Side:
    """One engine's world, in a folder of its own."""

    def __init__(self, engine, facts, settings):
        self.stage = stage = Stage()
        self.redis, self.main, self.spare = stage.redis(), stage.simulator("--tokens", "12"), stage.simulator("--tokens", "12")
        urls = {"provider.spare.url": self.spare.url, **({"context.facts.url": facts.url + "/{session}"} if "llm.contexts" in settings else {})}
        loop = {"worker.engine": "loop", "worker.in_flight": settings["worker.threads"], "worker.loops": "2"} if engine == "loop" else {"worker.engine": "threads"}
        self.worker = self.stage.worker(self.redis, self.main, name=engine, **with_engine({**settings, **urls, **loop}))
        self.topics = Topics(self.worker.bootstrap)
        self.strategy = settings["llm.strategy"]

    def play(self, jobs):
        held = [job["id"] for job in jobs if HELD in job["message"]]
        for job in jobs:
            self.topics.send(job, key=job["session"])
        if held:
            wait_until(lambda: self.main.stats()["held"] > 0, "a call under way that never ends")
        for job in held:  # that one in its call, others wherever they are
            self.topics.cancel(job)
        self.topics.replies(len(jobs), 120)
        wait_until(lambda: self.worker.metric("jobs_alive") == 0, "all acknowledged")

    def outcome(self, jobs):
        replies = [json.loads(record.value()) for record in self.topics.all(self.topics.replies_topic)]
        dead = [(json.loads(record.value())["id"], dict(record.headers())) for record in self.topics.all(self.topics.dead)]
        return {"replies": {reply["job"]: self.reply(reply) for reply in replies}, "one each": len(replies) == len(jobs),
                "dead": {job: self.letter(headers) for job, headers in dead},
                "histories": {f"s{n}": [self.turn(turn) for turn in self.redis.client.lrange(f"chat:{{s{n}}}:history", 0, -1)] for n in range(SESSIONS)}}

    def reply(self, reply):
        """What doesn't depend on time: not where a cancel met the job, and which of two providers was the quicker."""
        kept = {name: value for name, value in reply.items() if name not in ("timing_ms", "provider", "attempt", "attempts")}
        for call in kept.get("message", {}).get("tool_calls", []):
            del call["id"]  # the simulator's number of the request
        if "error" in kept and (self.strategy != "sequential" or kept["status"] == "cancelled"):
            kept["error"] = kept["error"]["code"] if kept["status"] == "cancelled" else None
        return kept

    def letter(self, headers):
        return {name: value for name, value in headers.items() if name in ("chat.error.code", "chat.error.class")} if self.strategy == "sequential" else {}

    def turn(self, turn):
        turn = json.loads(turn)
        return turn["job"], [(message["role"], message.get("content")) for message in turn["messages"]]

    def deltas(self, jobs):
        """Of each job whose reply is good and was streamed: the text of the deltas that count."""
        reader = Reader(self.topics)
        return {job: text(reader.last(job)) for job in jobs}

    def ledger(self, jobs):
        """How often each provider was asked for each job, where that is no matter of time."""
        counted = {f"question {job['id'][1:]} with" for job in jobs if not any(fault in job["message"] for fault in UNCOUNTED) and HELD not in job["message"]}
        asked = Counter()
        for name, sim in (("main", self.main), ("spare", self.spare)):
            for request in sim.get("/sim/requests?last=1000"):
                body = request["body"] if isinstance(request["body"], dict) else json.loads(request["body"])
                said = body["messages"][-1]["content"]
                asked.update((name, words) for words in counted if words in said)
        return asked


@pytest.mark.parametrize("seed", seeds())
def test_the_same_jobs_come_to_the_same(seed):
    jobs, settings = plan(seed)
    facts, sides = Facts(), []
    try:
        sides.extend(Side(engine, facts, settings) for engine in ("threads", "loop"))
        players = [threading.Thread(target=side.play, args=(jobs,)) for side in sides]
        for player in players:
            player.start()
        for player in players:
            player.join()
        threads, loop = (side.outcome(jobs) for side in sides)
        assert threads["one each"] and loop["one each"], f"seed {seed}, {settings}"
        for job in jobs:
            of = job["id"]
            assert loop["replies"][of] == threads["replies"][of], f"seed {seed}, {settings}, {job}"
            assert loop["dead"].get(of) == threads["dead"].get(of), f"seed {seed}, {settings}, {job}"
        assert loop["histories"] == threads["histories"], f"seed {seed}, {settings}"
        streamed = [job["id"] for job in jobs if threads["replies"][job["id"]]["status"] == "ok" and (settings["llm.stream"] == "always" or (settings["llm.stream"] == "asked" and job["stream"]))]
        assert sides[1].deltas(streamed) == sides[0].deltas(streamed), f"seed {seed}, {settings}"
        if settings["llm.strategy"] == "sequential":
            assert sides[1].ledger(jobs) == sides[0].ledger(jobs), f"seed {seed}, {settings}"
    finally:
        facts.end()
        for side in sides:
            side.stage.end()
