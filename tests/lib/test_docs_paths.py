"""Each file and folder that a page names is there: `worker/…`, `tests/…`, `docs/…`, `wire/job.c` (of worker/), a lone `publisher_plain.c`,
and what links lead to, headings too. NAME and TOPIC stand for any name."""
import re
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md")), *sorted(ROOT.glob("charts/*/README.md")), *sorted(ROOT.glob("tests/*/README.md"))]
SOURCES = r"\.(?:c|h|lua|py|md|sh|cmake|ini|toml|tsv)"
IN_CODE = re.compile(r"^```\w*\n(.*?)^```|`([^`\n]+)`", re.M | re.S)
TOP = re.compile(rf"(?<![\w./{{-])(?:\./)?((?:worker|producer|tests|docs|charts|\.ci)/[\w./*-]*[\w*/]|(?:\w+/)+\w+{SOURCES}|\w+\.[ch])(?![\w/*{{…])")
LINK = re.compile(r"\]\(([^)\s]+)\)")
NAMES = {path.name for folder in ("worker", "producer", "tests") for path in (ROOT / folder).rglob("*.[ch]")}


def is_there(name):
    name = re.sub("NAME|TOPIC", "*", name)
    if "/" not in name:
        return any(fnmatch(known, name) for known in NAMES)
    return any(any(base.glob(name.rstrip("/"))) for base in (ROOT, ROOT / "worker"))


def anchors(page):
    """As they are made of headings: small letters, no punctuation, blanks as hyphens."""
    return {re.sub(r"[^\w\- ]", "", line.lstrip("#").strip().lower()).replace(" ", "-") for line in page.read_text().splitlines() if line.startswith("#")}


def named(text):
    return {found for block, words in IN_CODE.findall(text) for found in TOP.findall(block + words)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_names_is_there(page):
    text = page.read_text()
    assert sorted(name for name in named(text) if not is_there(name)) == []
    gone = []
    for link in LINK.findall(text):
        target, _, anchor = link.partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        file = page.parent / target if target else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            gone.append(link)
    assert gone == []


def test_a_path_that_is_gone_is_seen():
    text = "```\n$ tests/bench/gone --all\n```\n`worker/llm/nowhere.c` `tests/run unit` `wire/job.c` `intake/gone.h` `question.c` `lost.c` tests/none and `./worker/quickstart`"
    assert named(text) == {"tests/bench/gone", "worker/llm/nowhere.c", "tests/run", "wire/job.c", "intake/gone.h", "question.c", "lost.c", "worker/quickstart"}
    assert sorted(name for name in named(text) if not is_there(name)) == ["intake/gone.h", "lost.c", "tests/bench/gone", "worker/llm/nowhere.c"]
