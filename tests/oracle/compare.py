"""Where the worker's reading of a transcript isn't the official client's, and whether that is accepted. Pure.

The promise: what the client accepts, the worker accepts, with equal content, refusal, tool calls, finish reason and usage. `accepted` is
the field of a difference in that itself; `others` are the message's further members.

Differences that are accepted are listed in differences.toml, one by one: of a transcript of the corpus by its name, of a mutation by a kind
(kinds.py). A list that names what is no difference any more is as wrong as one that lacks one."""
from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

from kinds import KINDS, Case

USAGE = ("prompt_tokens", "completion_tokens", "total_tokens")
PROMISED = ("accepted", "content", "refusal", "tool_calls", "function_call", "finish_reason", "usage")
FIELDS = (*PROMISED, "others")


def differences(client: dict, worker: dict) -> dict[str, tuple]:
    """By field: what the client says, what the worker says."""
    if ("refused" in client) != ("refused" in worker):
        return {"accepted": (client.get("refused", "taken"), worker.get("refused", "taken"))}
    if "refused" in client:
        return {}
    fields = {name: (client.get(name), worker.get(name)) for name in ("finish_reason", "content", "refusal", "tool_calls", "function_call")}
    fields["others"] = (said(client.get("others")), said(worker.get("others")))
    if client["by"] == "loop":  # which shows no more than these
        fields = {"finish_reason": fields["finish_reason"], "content": (client["content"], worker["content"] or "")}
    if not isinstance(client["finish_reason"], (str, type(None))):
        del fields["finish_reason"]
    fields["usage"] = usage(client.get("usage"), worker.get("usage"))
    return {name: pair for name, pair in fields.items() if not same(*pair)}


def promised(client: dict, worker: dict) -> dict[str, tuple]:
    """Of these what the promise is about: what the client accepts, where its message is of the types that the client names."""
    if "refused" in client or not client.get("typed", True):
        return {}
    found = differences(client, worker)
    if "tool_calls" in found and same(*map(calls, found["tool_calls"])):
        del found["tool_calls"]
    return {name: pair for name, pair in found.items() if name in PROMISED}


def calls(found):
    """What is promised of them; what else stands in a call is joined by each in its way."""
    if not isinstance(found, list) or not all(isinstance(call, dict) for call in found):
        return found
    return [{"id": call.get("id"), "function": named(call.get("function")), "custom": call.get("custom")} for call in found] or None


def named(function):
    return {name: function.get(name) for name in ("name", "arguments")} if isinstance(function, dict) else function


def said(members: dict | None) -> dict:
    """What is null isn't said, however deep. The role is the worker's to set."""
    return {name: value for name, value in without_nulls(members or {}).items() if name != "role"}


def without_nulls(value):
    if isinstance(value, dict):
        return {name: without_nulls(child) for name, child in value.items() if child is not None}
    return [without_nulls(child) for child in value] if isinstance(value, list) else value


def usage(client, worker) -> tuple:
    """Numbers alone: where the client has another thing in a number's place, nothing is compared."""
    client, worker = client if isinstance(client, dict) else {}, worker or {}
    named = [name for name in USAGE if client.get(name) is None or type(client[name]) is int]
    return {name: client.get(name) for name in named}, {name: worker.get(name) for name in named}


def same(a, b) -> bool:
    """As JSON has it: 1 isn't true, but is 1.0."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b and isinstance(a, bool) == isinstance(b, bool)


# ---- what is accepted ----

@dataclass(frozen=True)
class Accepted:
    name: str
    fields: tuple[str, ...]
    transcripts: tuple[str, ...]
    kind: str | None
    why: str

    def covers(self, case: Case, field: str, by_name: bool) -> bool:
        if field not in self.fields or (by_name and case.transcript.name not in self.transcripts):
            return False
        return KINDS[self.kind](case) if self.kind else by_name


def accepted(file: Path = Path(__file__).parent / "differences.toml") -> list[Accepted]:
    with file.open("rb") as text:
        entries = tomllib.load(text)["difference"]
    for entry in entries:
        assert {"name", "fields", "transcripts", "client", "worker", "why"} <= set(entry) and set(entry["fields"]) <= set(FIELDS), f"{file.name}: {entry}"
    return [Accepted(e["name"], tuple(e["fields"]), tuple(e["transcripts"]), e.get("kind"), e["why"]) for e in entries]


def unlisted(case: Case, found: dict[str, tuple], rules: list[Accepted], by_name: bool) -> dict[str, tuple]:
    return {field: pair for field, pair in found.items() if not any(rule.covers(case, field, by_name) for rule in rules)}


def stale(rules: list[Accepted], seen: dict[str, set[str]], all_names: set[str]) -> list[str]:
    """What is listed and isn't so. seen: by transcript the fields in which the readers differ."""
    lines = []
    for rule in rules:
        lines += [f"{rule.name}: {name} {'shows no such difference' if name in all_names else 'is no transcript'}" for name in rule.transcripts
                  if not seen.get(name, set()) & set(rule.fields)]
        lines += [f"{rule.name}: no transcript shows it in {field}" for field in rule.fields if not any(field in seen.get(name, ()) for name in rule.transcripts)]
    return lines
