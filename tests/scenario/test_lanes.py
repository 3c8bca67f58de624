"""What a person, a program and Perfetto can see of what each job does: /threads, /lanes.json, traces; and who may."""
import itertools
import json
import signal
import socket
import threading
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from engine import ENGINE
from parts import LIMIT_S, Topics, wait_until

SECRET = "words that nobody reads"
LANE, SPAN = {"threads": ("chat-", "X"), "loop": ("slot-", "b")}[ENGINE]  # a lane's name; how a trace begins a job's span: a thread's own, or across the loop's


def ask(worker, path, method="GET", **headers):
    """Status, headers and body."""
    request = urllib.request.Request(f"http://127.0.0.1:{worker.port_file.read_text().strip()}{path}", method=method, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=LIMIT_S) as answer:
            return answer.status, answer.headers, answer.read().decode()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.headers, refused.read().decode()


def threads(worker):
    return json.loads(worker.get("/threads")[1])


def bars_of(worker, since=0):
    """The bars of /lanes.json, as a person would write them: (job, step, waits for)."""
    answer = json.loads(worker.get(f"/lanes.json?since={since}")[1])
    bars = []
    for _, _, numbers in answer["rings"]:
        for at in range(0, len(numbers), 7):
            _, _, step, wait, job, _, length = numbers[at:at + 7]
            assert length >= 0
            bars.append((answer["jobs"][job][2], answer["steps"][step % 100], None if wait < 0 else answer["names"][wait]))
    return answer, bars


def test_threads_says_for_whom_each_job_waits_and_since_when(stage, redis_io):
    redis, sim = stage.redis(), stage.simulator("--faults", "hold")
    worker = stage.worker(redis, sim, **{"worker.threads": "4", "worker.redis_io": redis_io, "worker.drain_timeout_ms": "0"})
    topics = Topics(worker.bootstrap)
    assert threads(worker) == {"engine": ENGINE, "jobs": [], "busy": 0, "waiting": 0, "idle": 4, "without_lane": 0}
    for n in range(2):
        topics.send({"id": f"held-{n}", "message": SECRET}, key="s")  # one after the other
    sim.wait_held()
    wait_until(lambda: worker.metric("jobs_received_total") == 2, "both read")
    now = threads(worker)
    assert (now["busy"], now["waiting"], now["idle"], now["without_lane"]) == (0, 1, 3, 1)
    (job,) = now["jobs"]
    assert job["lane"].startswith(LANE) and (job["job"], job["offset"], job["step"], job["waits_for"]) == ("held-0", 0, "ask", "main")
    assert 0 <= job["since_ms"] <= job["busy_ms"]
    wait_until(lambda: threads(worker)["jobs"][0]["since_ms"] > job["since_ms"], "its wait getting longer")
    worker.signal(signal.SIGUSR1)
    (line,) = worker.wait_event("thread_busy", job="held-0")
    assert line["thread"] == ("chat-loop-0" if ENGINE == "loop" else job["lane"])
    assert (line["lane"], line["step"], line["waits_for"]) == (job["lane"], "ask", "main") and int(line["since_ms"]) >= job["since_ms"]
    assert SECRET not in worker.text() + worker.get("/threads")[1] + worker.get("/lanes.json")[1]


def test_a_job_that_waits_for_contexts_says_so(stage):
    redis, sim = stage.redis(), stage.simulator()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        worker = stage.worker(redis, sim, **{"llm.contexts": "profile", "context.profile.url": f"http://127.0.0.1:{silent.getsockname()[1]}/profile", "context.profile.timeout_ms": "600000",
                                             "worker.drain_timeout_ms": "0"})
        Topics(worker.bootstrap).send({"id": "asks", "message": "hi"}, key="s")
        wait_until(lambda: [(job["step"], job["waits_for"]) for job in threads(worker)["jobs"]] == [("context", "contexts")], "the job at its context")


def test_bars_are_recorded_while_somebody_asks(stage, redis_io):
    redis, sim = stage.redis(), stage.simulator()
    worker = stage.worker(redis, sim, **{"worker.threads": "2", "worker.redis_io": redis_io})
    topics = Topics(worker.bootstrap)
    topics.send({"id": "before", "message": SECRET}, key="s")
    topics.reply_of("before")
    answer, bars = bars_of(worker)
    assert bars == [] and answer["lanes"] == 2 and answer["engine"] == ENGINE, "nobody had asked"
    topics.send({"id": "after", "message": SECRET}, key="s")
    topics.reply_of("after")
    expected = {("after", "queued", "turn"), ("after", "begin", "redis"), ("after", "ask", "main"), ("after", "finish", "redis"), ("after", "publish", "kafka")}
    wait_until(lambda: expected <= set(bars_of(worker)[1]), "a bar of each step")
    answer, bars = bars_of(worker)
    assert {job for job, _, _ in bars} == {"after"} and answer["on"] == [] and answer["alive"] == 0
    assert {job[1] for job in answer["jobs"]} == {1}, "its offset"
    assert SECRET not in json.dumps(answer)
    assert ask(worker, "/lanes.json?since=x")[0] == 400


def test_a_permit_is_what_a_limited_job_waited_for(stage):
    worker = stage.worker(stage.redis(), stage.simulator(), **{"provider.main.requests_per_minute": "600"})
    topics = Topics(worker.bootstrap)
    bars_of(worker)
    topics.send({"id": "limited", "message": "hi"}, key="s")
    topics.reply_of("limited")
    wait_until(lambda: {("limited", "ask", "permit"), ("limited", "ask", "main")} <= set(bars_of(worker)[1]), "the permit, and the provider")


def test_the_page_and_its_files_load_nothing_else(stage):
    worker = stage.worker(stage.redis(), stage.simulator())
    for path, kind in {"/lanes": "text/html", "/lanes.js": "text/javascript", "/lanes_model.js": "text/javascript", "/lanes_draw.js": "text/javascript", "/lanes.css": "text/css"}.items():
        status, headers, body = ask(worker, path)
        assert status == 200 and headers["Content-Type"].startswith(kind) and len(body) > 500, path
        policy = dict(part.strip().split(" ", 1) for part in headers["Content-Security-Policy"].split(";"))
        assert policy["default-src"] == "'none'" and policy["script-src"] == "'self'" and "unsafe" not in headers["Content-Security-Policy"]
        assert "//" not in body.replace("// ", "") or "http" not in body, f"{path}: nothing from elsewhere"
    assert ask(worker, "/lanes.html")[0] == 200 and ask(worker, "/lanes.txt")[0] == 404 and ask(worker, "/")[0] == 404


def spans(events):
    """What a trace says of each job: {job: {step: how often}}; what isn't over is not counted."""
    found = {}
    for event in events:
        if event["ph"] in "Xb" and not event["args"].get("unfinished"):
            steps = found.setdefault(event["args"]["job"], {})
            steps[event["name"]] = steps.get(event["name"], 0) + 1
    return found


def is_traced(worker):
    """The thread that takes bars for a trace is there."""
    for comm in Path(f"/proc/{worker.pid}/task").glob("*/comm"):
        try:
            if comm.read_text() == "chat-trace\n":
                return True
        except OSError:
            pass  # a thread that has ended since
    return False


def test_a_trace_can_be_asked_for(stage):
    redis, sim = stage.redis(), stage.simulator()
    worker = stage.worker(redis, sim, **{"worker.threads": "4", "worker.drain_timeout_ms": "0"})
    topics = Topics(worker.bootstrap)
    topics.send({"id": "all-the-time", "message": f"[[fault:hold]] {SECRET}"}, key="s")
    sim.wait_held()
    got, ended = [], []
    asking = threading.Thread(target=lambda: got.append(ask(worker, "/trace?seconds=10", "POST")))
    asking.start()
    wait_until(lambda: is_traced(worker), "the trace being recorded")
    assert ask(worker, "/trace?seconds=1", "POST")[0] == 409, "one at a time"
    while asking.is_alive():
        topics.send({"id": f"job-{len(ended)}", "message": SECRET}, key="t")
        ended.append(topics.reply_of(f"job-{len(ended)}"))
    status, headers, body = got[0]
    events = json.loads(body)
    assert status == 200 and headers["Content-Type"] == "application/json"
    assert [e["args"]["job"] for e in events if e["ph"] == SPAN and e["name"] == "ask" and e["args"].get("unfinished")] == ["all-the-time"]
    assert {"queued", "begin", "ask", "finish", "publish"} <= set(spans(events)["job-0"]) and SECRET not in body
    worker.wait_event("trace_recorded", lost="0")
    for query in ("?seconds=0", "?seconds=61", "?seconds=soon"):
        assert ask(worker, "/trace" + query, "POST")[0] == 400
    status, headers, _ = ask(worker, "/trace")
    assert status == 405 and headers["Allow"] == "POST"


def test_whoever_only_connects_ends_no_trace(stage):
    worker = stage.worker(stage.redis(), stage.simulator())
    port, cut = int(worker.port_file.read_text()), worker.metric("admin_cut_total")
    with socket.create_connection(("127.0.0.1", port), LIMIT_S) as client:
        client.sendall(b"POST /trace?seconds=10 HTTP/1.1\r\n\r\n")
        wait_until(lambda: is_traced(worker), "its trace")
        idle = [socket.create_connection(("127.0.0.1", port), LIMIT_S) for _ in range(40)]  # 32 have a place
        assert worker.metric("admin_cut_total") > cut
        assert client.recv(65536).startswith(b"HTTP/1.1 200 ")
    for other in idle:
        other.close()


def test_whoever_leaves_ends_its_trace(stage):
    worker = stage.worker(stage.redis(), stage.simulator())
    with socket.create_connection(("127.0.0.1", int(worker.port_file.read_text())), LIMIT_S) as client:
        client.sendall(b"POST /trace?seconds=60 HTTP/1.1\r\n\r\n")
        wait_until(lambda: is_traced(worker), "its trace")
    worker.wait_event("trace_recorded")
    wait_until(lambda: not is_traced(worker), "its thread gone")
    assert ask(worker, "/trace?seconds=1", "POST")[0] == 200


def test_a_trace_is_one_until_its_reader_has_it(stage):
    """Else traces that nobody reads would pile up in memory."""
    worker = stage.worker(stage.redis(), stage.simulator())
    topics = Topics(worker.bootstrap)
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # else the kernel would take it all, on either side
        slow.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
        slow.settimeout(LIMIT_S)
        slow.connect(("127.0.0.1", int(worker.port_file.read_text())))
        slow.sendall(b"POST /trace?seconds=5 HTTP/1.1\r\n\r\n")
        wait_until(lambda: is_traced(worker), "its trace")
        for n in range(1000):
            topics.producer.produce(topics.jobs, json.dumps({"id": f"job-{n}", "message": "hi"}), key=str(n))
        topics.flush()
        (line,) = worker.wait_event("trace_recorded")
        assert int(line["bytes"]) > 300_000
        assert ask(worker, "/trace?seconds=1", "POST")[0] == 409, "it isn't sent"
        while slow.recv(65536):
            pass
    assert ask(worker, "/trace?seconds=1", "POST")[0] == 200


def test_a_trace_of_the_whole_process_has_each_step_of_each_job(stage, redis_io):
    redis, sim = stage.redis(), stage.simulator()
    file = stage.folder / "trace.json"
    worker = stage.worker(redis, sim, arguments=["--trace", file], **{"worker.threads": "4", "worker.redis_io": redis_io})
    topics = Topics(worker.bootstrap)
    for n in range(30):
        topics.send({"id": f"job-{n}", "message": SECRET}, key=f"s{n % 5}")
    topics.replies(30)
    wait_until(lambda: worker.metric("jobs_alive") == 0, "all acknowledged")
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 0
    (line,) = worker.wait_event("trace_written", lost="0")
    events = json.loads(file.read_text())
    seen = spans(events)
    assert set(seen) == {f"job-{n}" for n in range(30)}
    assert all({"queued", "begin", "ask", "finish", "publish"} <= set(steps) for steps in seen.values()), seen
    assert int(line["bars"]) == sum(sum(steps.values()) for steps in seen.values())
    assert SECRET not in file.read_text()
    if ENGINE == "loop":
        assert not [e for e in events if e["ph"] == "X"] and sum(e["ph"] == "b" for e in events) == sum(e["ph"] == "e" for e in events)
        return
    by_lane = {}
    for event in (e for e in events if e["ph"] == "X"):
        by_lane.setdefault(event["tid"], []).append((event["ts"], event["ts"] + event["dur"]))
    assert 1 <= len(by_lane) <= 4
    for slices in by_lane.values():
        slices.sort()
        assert all(before[1] <= after[0] for before, after in itertools.pairwise(slices)), "a thread does one thing at a time"


def test_exactly_once_publishes_are_seen_too(stage):
    kafka = stage.kafka_mock(chat_jobs=4, chat_replies=4, chat_dead=4)
    worker = stage.worker(stage.redis(), stage.simulator(), bootstrap=kafka.bootstrap, **{"worker.delivery": "exactly-once"})
    topics = Topics(worker.bootstrap)
    bars_of(worker)
    topics.send({"id": "once", "message": "hi"}, key="s")
    topics.reply_of("once")
    wait_until(lambda: ("once", "publish", "kafka") in bars_of(worker)[1], "its publishing")


def test_a_trace_that_cannot_be_written_is_refused_at_the_start(stage):
    done = stage.check_config("--trace", "/nowhere/trace.json", "-X", "kafka.bootstrap.servers=embedded", "-X", "provider.main.url=http://127.0.0.1:9/v1", "-X", "provider.main.model=m",
                              "-X", "admin.listen=127.0.0.1:0", env={"XDG_RUNTIME_DIR": str(stage.folder)})
    assert done.returncode == 78 and "/nowhere/trace.json" in done.stderr


@pytest.mark.parametrize("token", [None, "s3cret"], ids=["no token", "a token"])
def test_from_elsewhere_all_but_probes_and_metrics_wants_the_token(stage, token):
    worker = stage.worker(stage.redis(), stage.simulator(), **({"admin.token": token} if token else {}))
    elsewhere = {"X-Forwarded-For": "192.0.2.1"}  # as through a proxy on this machine
    for path in ("/healthz", "/readyz", "/metrics"):
        assert ask(worker, path, **elsewhere)[0] == 200
    for path, method in (("/threads", "GET"), ("/lanes", "GET"), ("/lanes.json", "GET"), ("/lanes.js", "GET"), ("/nothing", "GET"), ("/trace?seconds=1", "POST")):
        status, headers, _ = ask(worker, path, method, **elsewhere)
        assert status == (401 if token else 403), path
        assert (headers["WWW-Authenticate"] or "").startswith("Basic ") == bool(token)
        assert ask(worker, path, method, **elsewhere, Authorization="Bearer other")[0] == (401 if token else 403)
    assert ask(worker, "/threads")[0] == 200, "from here"
    if token:
        assert ask(worker, "/threads", **elsewhere, Authorization=f"Bearer {token}")[0] == 200
        assert ask(worker, "/lanes", **elsewhere, Authorization="Basic bWU6czNjcmV0")[0] == 200
        assert token not in worker.text()


def own_address():
    """One of this machine's, at which others reach it; None: it has none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as unsent:
        try:
            unsent.connect(("192.0.2.1", 9))
        except OSError:
            return None
        return unsent.getsockname()[0]


def test_what_a_sidecar_passes_on_is_not_from_here(stage):
    """Istio's connects from 127.0.0.6 to the pod's own address, for whoever in the mesh."""
    worker = stage.worker(stage.redis(), stage.simulator(), **{"admin.listen": "0.0.0.0:0"})
    port = int(worker.port_file.read_text())
    statuses = {}
    for to in filter(None, ("127.0.0.1", own_address())):
        with socket.create_connection((to, port), LIMIT_S, source_address=("127.0.0.6", 0)) as client:
            client.sendall(b"GET /threads HTTP/1.1\r\nHost: localhost\r\n\r\n")
            statuses[to] = client.recv(65536).split()[1]
    assert statuses.pop("127.0.0.1") == b"200"
    assert all(status == b"403" for status in statuses.values()), statuses
