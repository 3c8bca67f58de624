"""Transcripts changed by a seed: bytes, lines of a stream, members of its JSON. Pure.

One change or two each. What a changed transcript *should* mean nobody says; the two readers are to agree on it."""
from __future__ import annotations

import json
import random
import re
from dataclasses import replace

from transcript import Transcript

BOM = b"\xef\xbb\xbf"
RAW = {"18446744073709551616": "huge", "1e400": "infinite", "NaN": "nan", "-Infinity": "infinite", "1.5": "fraction", '"\\ud83d"': "half a surrogate"}
OTHERS = [None, True, 0, 7, "", "text", [], ["x"], {}, {"x": 1}, [{"type": "text", "text": "part"}]]


class Raw:
    """A value as it is to be written, whether that is JSON or not."""

    def __init__(self, text: str):
        self.text = text


def dump(value, draw: random.Random) -> bytes:
    raws: list[str] = []

    def default(raw):
        raws.append(raw.text)
        return f"\x00{len(raws) - 1}\x00"

    text = json.dumps(value, default=default, ensure_ascii=draw.random() < 0.3)
    for number, raw in enumerate(raws):
        text = text.replace(json.dumps(f"\x00{number}\x00"), raw)
    return text.encode("utf-8", "surrogatepass")


# ---- the JSON within ----

def places(value, path=()) -> list[tuple]:
    """(container, key) of all there is in it."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, child in list(items) for place in [(value, key), *places(child, (*path, key))]]


def change_tree(root, draw: random.Random) -> str:
    """In place. What was done."""
    what = draw.choice(["drop", "null", "other", "raw", "unknown", "surrogate", "error", "twice"])
    objects = [root, *(c[k] for c, k in places(root) if isinstance(c[k], dict))] if isinstance(root, dict) else []
    if what == "unknown" and objects:
        draw.choice(objects)[draw.choice(["unknown", "x_vendor", "extra"])] = draw.choice([*OTHERS, Raw(draw.choice(list(RAW)))])
        return "an unknown member"
    if what == "error" and objects:
        objects[0]["error"] = draw.choice([None, "", {}, [], False, "it failed", {"message": "it failed", "code": 500}])
        return f"error {objects[0]['error']!r}"
    spots = places(root)
    if not spots:
        return "nothing"
    container, key = draw.choice(spots)
    said = f"{what} of {key}"
    if what == "drop":
        del container[key]
    elif what == "null":
        container[key] = None
    elif what == "raw":
        raw = draw.choice(list(RAW))
        container[key] = Raw(raw)
        said = f"{RAW[raw]} for {key}"
    elif what == "surrogate" and isinstance(container[key], str):
        text = container[key]
        at = draw.randrange(len(text) + 1)
        container[key] = text[:at] + draw.choice(["\ud83d", "\ude00", "😀"]) + text[at:]
        container[key] = Raw(json.dumps(container[key]))
    elif what == "twice" and isinstance(container, list):
        container.insert(key, container[key])
    else:
        container[key] = draw.choice(OTHERS)
        said = f"another type for {key}"
    return said


def load(data: bytes):
    try:
        return json.loads(data)
    except ValueError:  # the transcript's point, then
        return None


# ---- a stream's events ----

def lines_of(body: bytes) -> tuple[list[bytes], bytes]:
    end = b"\r\n" if b"\r\n" in body else b"\r" if b"\r" in body and b"\n" not in body else b"\n"
    return body.split(end), end


def change_stream(body: bytes, draw: random.Random) -> tuple[bytes, str]:
    lines, end = lines_of(body)
    data = [n for n, line in enumerate(lines) if line.startswith(b"data:") and load(line[5:]) is not None]
    what = draw.choice(["tree", "tree", "tree", "tree", "again", "lost", "ends", "comment", "fields", "space", "mark", "more", "no done"])
    if what in ("tree", "again", "lost") and data:
        at = draw.choice(data)
        if what == "again":
            lines[at:at] = [lines[at], b""]
            said = "a chunk again"
        elif what == "lost":
            del lines[at:at + 2]
            said = "a chunk lost"
        else:
            root = load(lines[at][5:])
            said = change_tree(root, draw)
            lines[at] = b"data: " + dump(root, draw)
    elif what == "ends":
        end = draw.choice([b"\r\n", b"\r", b"\n"])
        said = f"lines end in {end!r}"
    elif what == "comment":
        lines[draw.randrange(len(lines)):0] = [draw.choice([b": ping", b":", b": data: {}", b""])]
        said = "a comment"
    elif what == "fields":
        at = draw.choice(data or [0])
        lines[at:at] = [draw.choice([b"event: message", b"id: 7", b"retry: 1000", b"event: completion", b"unknown: x", b"event"])]
        said = f"a field {lines[at].decode()}"
    elif what == "space":
        lines = [re.sub(rb"^data: ?", draw.choice([b"data:", b"data:  "]), line) for line in lines]
        said = "other spaces"
    elif what == "mark":
        return BOM + body, "a byte order mark"
    elif what == "more":
        said = "an event behind the last"
        lines += [draw.choice([b"data: {}", b'data: {"choices":[]}', b'data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}', b": bye", b"data:"]), b"", b""]
    else:
        lines = [line for line in lines if b"[DONE]" not in line]
        said = "no [DONE]"
    return end.join(lines), said


def change_whole(body: bytes, draw: random.Random) -> tuple[bytes, str]:
    root = load(body)
    what = draw.choice(["tree"] * 6 + ["mark", "white", "done", "same again"])
    if what == "tree" and root is not None:
        said = change_tree(root, draw)
        return dump(root, draw), said
    if what == "mark":
        return BOM + body, "a byte order mark"
    if what == "white":
        return draw.choice([b"\n\n", b" ", b"\r\n\t"]) + body + draw.choice([b"\n\n", b" \r\n", b""]), "white space"
    if what == "done":
        return body + draw.choice([b"data: [DONE]\n\n", b"\n[DONE]"]), "[DONE] behind it"
    return body + draw.choice([body, b"{}", b"x"]), "more behind it"


def change_bytes(body: bytes, draw: random.Random) -> tuple[bytes, str]:
    if not body:
        return b"{", "a byte where there was none"
    at = draw.randrange(len(body))
    what = draw.choice(["end", "lost", "other"])
    if what == "end":
        return body[:at], "it ends early, in order"
    if what == "lost":
        return body[:at] + body[at + draw.randrange(1, 5):], "bytes lost"
    return body[:at] + draw.choice([b"\xc3", b"\xff", b"\x00", b"\xed\xa0\xbd", b"}", b'"', b"\\", b"\n"]) + body[at + 1:], "another byte"


def mutated(transcript: Transcript, number: int, draw: random.Random) -> Transcript:
    made = transcript
    for _ in range(draw.choice([1, 1, 1, 2])):
        way = draw.random()
        if way < 0.06:
            made = replace(made.as_mutated(number, "cut"), body=made.body[:draw.randrange(len(made.body) + 1)], cut=True)
        elif way < 0.18:
            body, said = change_bytes(made.body, draw)
            made = made.as_mutated(number, said, body=body)
        else:
            body, said = (change_stream if made.stream else change_whole)(made.body, draw)
            made = made.as_mutated(number, said, body=body)
    return made
