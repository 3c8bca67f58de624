"""A page's code blocks, in their order, and what it shows compared with what there was.

    ```sh                      commands
    ```text                    what the commands before it print
    ```log                     lines of the program's log
    ```yaml, ```properties     a file, whose name stands in its first line: # NAME

What is shown is compared in kind: a word with a digit in it stands for any such word of the same name (`threads=64` for `threads=8`), … for anything within a line, a line of … alone
for any lines. All else is word for word, but for how many blanks are between words."""
from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
KINDS = {"sh", "text", "log", "yaml", "properties"}


@dataclass(frozen=True)
class Block:
    kind: str
    text: str
    line: int

    @property
    def file(self) -> str:
        return re.match(r"# (\S+\.\w+)\n", self.text)[1]


def sections(page: Path) -> dict[str, list[Block]]:
    """By heading of the second rank, with those below it, in the page's order; what stands before the first is in ""."""
    text, found = page.read_text(), {"": []}
    marks = [(match.start(), match[1]) for match in re.finditer(r"^## (.+)$", text, re.M)]
    for _, heading in marks:
        assert heading not in found, f"two sections are called {heading}"
        found[heading] = []
    for match in BLOCK.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        assert match[1] in KINDS, f"{page.name}:{line}: nobody knows what a block of {match[1] or 'no kind'} is for"
        heading = next((name for at, name in reversed(marks) if at < match.start()), "")
        found[heading].append(Block(match[1], match[2], line))
    assert len(re.findall(r"^\s*```", text, re.M)) == 2 * sum(map(len, found.values())), f"{page.name}: a block that isn't closed, or is set in"
    assert not re.search(r"\n\n {4,}\S", BLOCK.sub("", text)), f"{page.name}: a block by its margin alone"
    return found


def _word(word: str) -> str:
    """A regular expression for what it may stand for."""
    if "…" in word:
        return ".*".join(_word(part) if part else "" for part in word.split("…"))
    name, equals, value = word.partition("=")
    if equals and any(c.isdigit() for c in value):
        return re.escape(name) + "=" + r"\S*\d\S*"
    return r"\S*\d\S*" if any(c.isdigit() for c in word) else re.escape(word)


def pattern(shown: str) -> re.Pattern:
    lines = []
    for line in shown.splitlines():
        if line.strip() == "…":
            lines.append(r"(?:.*\n)*?")
        else:
            lines.append(r"[ \t]*" + r"[ \t]+".join(map(_word, line.split())) + r"[ \t]*\n")
    return re.compile("".join(lines))


def alike(shown: str, said: str) -> bool:
    """All of it."""
    return pattern(shown).fullmatch(said if said.endswith("\n") or not said else said + "\n") is not None


def missing(shown: str, log: str) -> list[str]:
    """The shown lines that the log doesn't have, in their order; others may stand between them."""
    lines = iter(log.splitlines())
    return [line for line in shown.splitlines() if not any(alike(line, each) for each in lines)]
