"""A headless Chromium, led by its own driver over the W3C protocol: plain HTTP, no library beside."""
import base64
import json
import re
import urllib.error
import urllib.request
from pathlib import Path

from parts import LIMIT_S, Process, wait_until

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # what the protocol calls one


class Browser(Process):
    """arguments: of Chromium."""

    def __init__(self, folder: Path, width: int = 1280, height: int = 720, arguments: tuple = ()):
        profile = folder / "chromium"
        super().__init__("chromedriver", folder, ["chromedriver", "--port=0"], env={"HOME": str(folder), "TMPDIR": str(folder)})
        port = wait_until(lambda: re.search(r"started successfully on port (\d+)", self.text()), "chromedriver").group(1)
        self.base = f"http://127.0.0.1:{port}"
        options = {"args": ["--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--hide-scrollbars", f"--user-data-dir={profile}", f"--window-size={width},{height}",
                            *arguments]}
        made = self._call("POST", "/session", {"capabilities": {"alwaysMatch": {"browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}}})
        self.session = f"/session/{made['sessionId']}"

    def _call(self, method: str, path: str, body: dict | None = None):
        request = urllib.request.Request(self.base + path, method=method, data=json.dumps(body).encode() if body is not None else None, headers={"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=LIMIT_S) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as refused:
            raise AssertionError(f"{method} {path}: {refused.read().decode()[:2000]}") from None

    def end(self) -> None:
        try:
            self._call("DELETE", self.session)
        except (AssertionError, OSError):
            pass  # it has gone already
        super().end()

    def open(self, url: str) -> None:
        self._call("POST", f"{self.session}/url", {"url": url})

    def run(self, script: str, *arguments):
        """The value of a function's body; its arguments are `arguments`."""
        return self._call("POST", f"{self.session}/execute/sync", {"script": script, "args": list(arguments)})

    def run_async(self, script: str, *arguments):
        """As run; the last of `arguments` is to be called with the value."""
        return self._call("POST", f"{self.session}/execute/async", {"script": script, "args": list(arguments)})

    def text_of(self, selector: str) -> str:
        return self.run("return document.querySelector(arguments[0]).textContent", selector)

    def find(self, selector: str) -> str:
        return self._call("POST", f"{self.session}/element", {"using": "css selector", "value": selector})[ELEMENT]

    def click(self, selector: str, x: float | None = None, y: float | None = None) -> None:
        """In an element's middle, or at a point from its upper left corner."""
        if x is None:
            self._call("POST", f"{self.session}/element/{self.find(selector)}/click", {})
            return
        box = self.run("const b = document.querySelector(arguments[0]).getBoundingClientRect(); return [b.x, b.y]", selector)
        self.press(*({"type": kind, **({"x": round(box[0] + x), "y": round(box[1] + y)} if kind == "pointerMove" else {"button": 0})} for kind in ("pointerMove", "pointerDown", "pointerUp")))

    def press(self, *actions: dict) -> None:
        """What a mouse does."""
        self._call("POST", f"{self.session}/actions", {"actions": [{"type": "pointer", "id": "mouse", "parameters": {"pointerType": "mouse"}, "actions": list(actions)}]})

    def choose(self, selector: str, value: str) -> None:
        """Of a select."""
        self.run("const s = document.querySelector(arguments[0]); s.value = arguments[1]; s.dispatchEvent(new Event(s.type === 'range' ? 'input' : 'change'))", selector, value)

    def said(self) -> list[dict]:
        """What its console says, since it was last asked: errors of scripts, and what a policy blocked."""
        return self._call("POST", f"{self.session}/se/log", {"type": "browser"})

    def picture(self, file: Path) -> None:
        file.write_bytes(base64.b64decode(self._call("GET", f"{self.session}/screenshot")))
