"""What a provider sends, byte by byte: the corpus in transcripts/*.http, a file for each family.

    ### name
    like: what it shows
    form: documented URL | reported URL | by memory
    [ends: crlf | cr]       the body's line ends; LF unless said

    200                     the status, then the answer's headers
    content-type: text/event-stream

    data: {"choices":…}     the body, as far as the next ###

In a body ⟦EF BB BF⟧ stands for these bytes, ⟦cut⟧ ends it and the connection with it, ⟦end⟧ ends it without a last line end, and
⟦gzip⟧ in front of it has it packed. A body that is to be read as a stream is one whose content-type says so, or whose head says
`asked: stream`; `asked: whole` likewise."""
from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path

FOLDER = Path(__file__).parent / "transcripts"
MARK = re.compile(r"⟦(?:([0-9A-F]{2}(?: [0-9A-F]{2})*)|cut|end)⟧")


@dataclass(frozen=True)
class Transcript:
    name: str
    like: str
    form: str
    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    stream: bool        # how the client asks for it
    cut: bool = False   # the connection ends before HTTP says so
    packed: bool = False # it goes out packed by gzip
    mutation: tuple[str, ...] = field(default=())

    def as_mutated(self, number: int, mutation: str, **changes) -> Transcript:
        base = self.name.partition("~")[0]
        return replace(self, name=f"{base}~{number}", mutation=(*self.mutation, mutation), **changes)

    def shown(self) -> str:
        """As a report shows it."""
        head = "".join(f"{name}: {value}\n" for name, value in self.headers)
        return f"{self.name} {' '.join(self.mutation)}\n{self.status}\n{head}\n{self.body!r}{' (cut)' if self.cut else ''}{' (packed)' if self.packed else ''}"


def corpus() -> list[Transcript]:
    found = [t for file in sorted(FOLDER.glob("*.http")) for t in read(file)]
    names = [t.name for t in found]
    assert len(set(names)) == len(names), f"two transcripts of one name: {sorted(n for n in set(names) if names.count(n) > 1)}"
    return found


def read(file: Path) -> list[Transcript]:
    parts = re.split(r"^### +(\S+)\n", file.read_text(encoding="utf-8"), flags=re.M)
    return [_one(file, f"{file.stem}/{name}", text) for name, text in zip(parts[1::2], parts[2::2], strict=True)]


def _one(file: Path, name: str, text: str) -> Transcript:
    about, _, rest = text.partition("\n\n")
    head, _, body = rest.partition("\n\n")
    told = dict(line.split(": ", 1) for line in about.splitlines())
    status, *lines = head.splitlines()
    headers = tuple(tuple(line.split(": ", 1)) for line in lines)
    unknown = set(told) - {"like", "form", "ends", "asked"}
    assert told.get("like") and told.get("form") and not unknown, f"{file.name}: {name}: the head wants like and form, and knows no {unknown}"
    assert re.match(r"(documented|reported) https://|by memory", told["form"]), f"{file.name}: {name}: form: {told['form']}"
    # The blank lines between two transcripts are the file's, but for the one that ends an event.
    body = body.rstrip("\n") + ("\n\n" if "data:" in body or "event:" in body else "\n") if body.strip("\n") else ""
    packed = body.startswith("⟦gzip⟧")
    data, cut = _bytes(body.removeprefix("⟦gzip⟧"), {"crlf": "\r\n", "cr": "\r"}.get(told.get("ends"), "\n"))
    asked = told.get("asked") or ("stream" if "event-stream" in dict(headers).get("content-type", "") else "whole")
    return Transcript(name, told["like"], told["form"], int(status), headers, data, asked == "stream", cut, packed)


def _bytes(body: str, line_end: str) -> tuple[bytes, bool]:
    data, at = b"", 0
    for mark in MARK.finditer(body):
        data += body[at:mark.start()].replace("\n", line_end).encode()
        at = mark.end()
        if mark.group(1) is None:
            return data, mark.group(0) == "⟦cut⟧"
        data += bytes.fromhex(mark.group(1))
    return data + body[at:].replace("\n", line_end).encode(), False
