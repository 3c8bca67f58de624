"""The page /lanes as a person uses it, in headless Chromium, on real workers: sums, clicks, pause, zoom, order; that it draws what is in view alone; its policy."""
import signal

from parts import Topics, wait_until
from ports import free_port

SECRET = "words that nobody reads"


def hold(page, sim, *jobs):
    """Jobs that the model holds back: each is there before the next is sent."""
    for job in jobs:
        held = sim.stats()["held"]
        page.topics.send({"id": job, "message": f"[[fault:hold]] {job} {SECRET}"}, key=job)
        sim.wait_held(held + 1)


def worker_of(stage, sim, threads, **settings):
    return stage.worker(stage.redis(), sim, **{"worker.threads": str(threads), "worker.drain_timeout_ms": "0", **settings})


def test_the_sums_say_who_waits_for_whom(stage, page_of):
    sim = stage.simulator()
    page = page_of(worker_of(stage, sim, 4))
    wait_until(lambda: page.sums() == {"busy": 0, "waiting": 0, "idle": 4, "elsewhere": 0}, "four idle lanes")
    page.topics.send({"id": "behind-none", "message": f"[[fault:hold]] {SECRET}"}, key="s")
    sim.wait_held()
    page.topics.send({"id": "behind", "message": SECRET}, key="s")
    wait_until(lambda: page.sums() == {"busy": 0, "waiting": 1, "idle": 3, "elsewhere": 1}, "one that waits, one in line")
    assert page.text_of("#waits") == "1 for main"
    sim.release()
    wait_until(lambda: page.sums() == {"busy": 0, "waiting": 0, "idle": 4, "elsewhere": 0}, "all idle again")


def test_a_click_on_a_bar_shows_its_job(stage, page_of):
    sim = stage.simulator()
    page = page_of(worker_of(stage, sim, 4))
    hold(page, sim, "one", "<b>two</b>")
    for job in ("one", "<b>two</b>"):
        at = wait_until(lambda job=job: page.bar(job, "ask"), f"the bar of {job}")
        wait_until(lambda job=job: page.run("const [x, y] = arguments; return lanes.drawing.find(x, y)?.job.id", *page.bar(job, "ask").values()) == job, "the bar in view")
        at = page.bar(job, "ask")
        page.click("#canvas", at["x"], at["y"])
        assert page.text_of("#job_id") == job and page.run("return document.querySelector('#job_id b')") is None
        assert page.text_of("#job_place").startswith("partition ")
        assert "ask, lane" in page.text_of("#job_steps") and "main" in page.text_of("#job_steps")
    sim.release()
    wait_until(lambda: page.sums()["idle"] == 4, "their ends")
    wait_until(lambda: page.run("return lanes.model.barsOf(lanes.state.chosen).map((bar) => bar.step)")[-1:] == ["publish"], "all its bars")
    assert page.run("return lanes.model.barsOf(lanes.state.chosen).map((bar) => bar.step).filter((step, i, all) => all.indexOf(step) === i)") == ["queued", "begin", "ask", "finish", "publish"]
    page.click("#close")
    assert page.run("return document.querySelector('#job').hidden")
    assert SECRET not in page.run("return document.documentElement.outerHTML + JSON.stringify(lanes.model.lanes)")


def test_paused_it_stands_still_and_asks_nothing(stage, page_of):
    sim = stage.simulator()
    page = page_of(worker_of(stage, sim, 4))
    page.click("#pause")
    wait_until(lambda: not page.run("return lanes.state.asks"), "its last question")
    end, now = page.run("return [lanes.state.end, lanes.model.now]")
    page.topics.send({"id": "unseen", "message": SECRET}, key="s")
    page.topics.reply_of("unseen")
    page.frames(20)
    assert page.run("return [lanes.state.end, lanes.model.now]") == [end, now] and page.text_of("#state").startswith("paused")
    page.click("#pause")
    wait_until(lambda: page.run("return lanes.state.end > arguments[0] && lanes.model.now > arguments[1]", end, now), "time that goes on")


def test_a_worker_that_was_started_again_is_seen_anew(stage, page_of):
    """Its bars have numbers that the page knows of the one before."""
    sim, listen = stage.simulator(), f"127.0.0.1:{free_port()}"
    before = worker_of(stage, sim, 1, **{"admin.listen": listen})
    page = page_of(before)
    for n in range(10):
        page.topics.send({"id": f"before-{n}", "message": "hi"}, key="s")
    page.topics.replies(10)
    wait_until(lambda: page.bar("before-9", "ask"), "its bars")
    before.signal(signal.SIGTERM)
    assert before.wait() == 0
    wait_until(lambda: page.text_of("#state").startswith("no answer"), "a page that says so")
    topics = Topics(worker_of(stage, sim, 1, name="after", **{"admin.listen": listen}).bootstrap)
    wait_until(lambda: page.text_of("#state").startswith("live"), "an answer")
    topics.send({"id": "after", "message": "hi"}, key="s")
    topics.reply_of("after")
    wait_until(lambda: page.bar("after", "ask"), "the bar of its first job")
    assert page.bar("before-9", "ask") is None


def test_zoom_keeps_what_is_in_the_middle(stage, page_of):
    page = page_of(worker_of(stage, stage.simulator(), 4))
    page.click("#pause")
    end, span = page.run("return [lanes.state.end, lanes.state.span]")
    page.click("#in")
    assert page.run("return lanes.state.span") == span / 2
    assert abs(page.run("return lanes.state.end - lanes.state.span / 2") - (end - span / 2)) < 1
    page.click("#out")
    page.click("#out")
    assert page.run("return lanes.state.span") == 2 * span
    for _ in range(30):
        page.click("#in")
    assert page.run("return lanes.state.span") == 1000, "a millisecond, at the least"


def test_by_start_the_oldest_job_is_above_and_rows_keep_their_order(stage, page_of):
    sim = stage.simulator()
    page = page_of(worker_of(stage, sim, 6))
    hold(page, sim, "first", "second", "third", "fourth")
    page.browser.choose("#sort", "start")
    jobs = "return lanes.state.order.map(({ on }) => on?.job.id ?? null)"
    wait_until(lambda: page.run(jobs) == ["first", "second", "third", "fourth", None, None], "the oldest above")
    before = page.order()
    assert before[4:] == sorted(before[4:]), "idle ones by their number"
    sim.release("second")
    wait_until(lambda: page.run(jobs) == ["first", "third", "fourth", None, None, None], "one less")
    assert page.order()[:3] == [before[0], before[2], before[3]]
    hold(page, sim, "fifth")
    wait_until(lambda: page.run(jobs) == ["first", "third", "fourth", "fifth", None, None], "the newest below")
    page.browser.choose("#sort", "lane")
    wait_until(lambda: page.order() == list(range(6)), "by lane again")


def test_of_5000_lanes_it_draws_those_in_view(stage, page_of):
    """What a frame costs is what is in view, however many lanes there are: counted, not timed."""
    sim = stage.simulator()
    page = page_of(worker_of(stage, sim, 5000, **{"worker.buffered_jobs_max": "10000"}))
    wait_until(lambda: page.sums()["idle"] == 5000, "5,000 lanes")
    for n in range(5000):
        page.topics.producer.produce(page.topics.jobs, value=f'{{"id":"j{n}","message":"[[fault:hold]] hi"}}', key=f"s{n}")
    page.topics.flush()
    wait_until(lambda: page.sums()["waiting"] == 5000, "5,000 jobs at the model", limit_s=300)
    page.frames(10)
    height, tall = page.run("return [lanes.state.height, document.querySelector('#scroll').clientHeight]")
    assert page.run("return document.querySelector('#scroll').scrollHeight") >= 5000 * height
    assert 0 < page.run("return lanes.drawing.rows") <= tall / height + 2
    assert page.run("return lanes.drawing.bars") <= 20 * (tall / height + 2)
    page.run("document.querySelector('#scroll').scrollTop = 1e9")
    page.frames(2)
    wait_until(lambda: page.run("return lanes.drawing.x(lanes.state.order[4999].on.from) < lanes.drawing.width - 40"), "the last lane's bar in view")
    at = page.run("const last = lanes.state.order[4999]; return { ...lanes.drawing.middleOf(4999, last.on), job: last.on.job.id }")
    page.click("#canvas", at["x"], at["y"])
    assert page.text_of("#job_id") == at["job"]
    page.browser.choose("#height", "3")
    page.frames(2)
    assert 0 < page.run("return lanes.drawing.rows") <= tall / 3 + 2
    sim.release()
    wait_until(lambda: page.sums()["idle"] == 5000, "their ends", limit_s=300)
    assert page.run("return lanes.model.lanes.length") == 5000 and page.run("return document.querySelectorAll('*').length") < 200, "no element a lane"


def test_its_policy_lets_nothing_else_run(stage, page_of):
    page = page_of(worker_of(stage, stage.simulator(), 2))
    assert page.browser.said() == [], "nothing of the page itself is blocked, and no script fails"
    page.run("""
        const script = document.createElement("script");
        script.textContent = "window.foreign = true";
        document.body.append(script);
        const style = document.createElement("div");
        style.innerHTML = '<p style="color: red" onclick="window.foreign = true">x</p>';
        document.body.append(style);
        style.firstChild.click();""")
    assert page.run("return window.foreign") is None
    blocked = [entry["message"] for entry in page.browser.said()]
    assert any("script" in message for message in blocked) and any("style" in message for message in blocked), blocked
    fetched = page.browser.run_async("""
        const done = arguments[arguments.length - 1];
        fetch("http://127.0.0.2:9/", { mode: "no-cors" }).then(() => done("fetched"), (failed) => done(String(failed)));""")
    assert fetched != "fetched" and any("connect-src" in entry["message"] for entry in page.browser.said())
