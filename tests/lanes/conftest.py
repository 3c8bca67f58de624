"""A worker whose lanes are looked at, and the browser that looks."""
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "lib"))
from browser import Browser
from parts import Topics, wait_until


class Page:
    """The page /lanes of a worker."""

    def __init__(self, stage, worker, **browser):
        self.worker, self.topics = worker, Topics(worker.bootstrap)
        self.browser = stage._add(Browser(stage.folder, **browser))
        self.browser.open(f"http://127.0.0.1:{worker.port_file.read_text().strip()}/lanes")
        self.run, self.click, self.text_of = self.browser.run, self.browser.click, self.browser.text_of
        wait_until(lambda: self.run("return window.lanes !== undefined && lanes.model.now > 0"), "the page's first answer")

    def sums(self) -> dict[str, int]:
        return {name: int(self.text_of(f"#{name}").replace(",", "")) for name in ("busy", "waiting", "idle", "elsewhere")}

    def bar(self, job: str, step: str):
        """Where on the canvas this bar of a job is now: its middle, as far as it is in view. None: the page doesn't know it."""
        return self.run("""
            const [job, step] = arguments;
            const order = lanes.state.order ?? [];
            for (let i = 0; i < order.length; i++)
                for (const bar of [...order[i].own, ...(order[i].on ? [order[i].on] : [])])
                    if (bar.job.id === job && bar.step === step && bar.wait !== null) return lanes.drawing.middleOf(i, bar);
            return null;""", job, step)

    def order(self) -> list[int]:
        return self.run("return lanes.state.order.map(({ lane }) => lane)")

    def frames(self, count: int) -> None:
        """So many more are drawn."""
        begun = self.run("return lanes.state.frames")
        wait_until(lambda: self.run("return lanes.state.frames") >= begun + count, f"{count} frames")


@pytest.fixture
def page_of(stage):
    return lambda worker, **browser: Page(stage, worker, **browser)
