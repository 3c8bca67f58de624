"""Kinds of differences between the readers that are accepted: each predicate is a name in differences.toml, which says why. Pure.

A case has the transcript, the mode the worker was asked in, and both readings."""
from __future__ import annotations

import json
import re
from dataclasses import dataclass

from transcript import Transcript

KINDS: dict = {}
BROKEN = ("error", "abort", "insufficient", "malformed", "unexpected")  # what a broken generation's finish_reason has in it


@dataclass(frozen=True)
class Case:
    transcript: Transcript
    mode: str
    client: dict
    worker: dict


def kind(predicate):
    KINDS[predicate.__name__] = predicate
    return predicate


# ---- what a body holds ----

def roots(transcript: Transcript) -> list[dict]:
    """The objects that it consists of: the body, or its events' data."""
    text = transcript.body.decode("utf-8", "replace").lstrip("\ufeff")
    lines = re.split(r"\r\n|\r|\n", text)
    found = []
    for one in [line[5:] for line in lines if line.startswith("data:")] or [text]:
        try:
            found.append(json.loads(one))
        except ValueError:
            pass
    return [root for root in found if isinstance(root, dict)]


def first_choices(transcript: Transcript) -> list[dict]:
    """Of each object what counts for the first choice."""
    lists = [root.get("choices") for root in roots(transcript)]
    return [choice for choices in lists if isinstance(choices, list) for choice in choices if isinstance(choice, dict)]


def says_done(transcript: Transcript) -> bool:
    return re.search(rb"(^|[\r\n])data: *\[DONE\]", transcript.body) is not None


def is_filled(value) -> bool:
    return any(v is not None for v in value.values()) if isinstance(value, dict) else value is True or (bool(value) and isinstance(value, (str, list)))


# ---- the kinds ----

@kind
def generation_broke(case: Case) -> bool:
    return any(word in str(case.client.get("finish_reason")) for word in BROKEN)


@kind
def an_error_was_said(case: Case) -> bool:
    found = roots(case.transcript)
    said = [root.get("error") for root in found] + [choice.get("error") for choice in first_choices(case.transcript)]
    named = re.search(rb"(^|[\r\n])(event: ?error|error:)", case.transcript.body) is not None
    bare = any(not root.get("choices") and (is_filled(root.get("detail")) or is_filled(root.get("errors")) or ("message" in root and {"code", "status"} & root.keys())) for root in found)
    return named or bare or any(map(is_filled, said)) or any(root.get("object") == "error" for root in found)


@kind
def nobody_said_that_it_is_whole(case: Case) -> bool:
    reason = case.client.get("finish_reason")
    return case.transcript.stream and not (isinstance(reason, str) and reason) and not says_done(case.transcript)


@kind
def the_last_event_has_no_blank_line(case: Case) -> bool:
    return case.transcript.stream and re.search(rb"(\n\n|\r\r|\r\n\r\n)$", case.transcript.body) is None


@kind
def two_pieces_to_begin_with(case: Case) -> bool:
    """The first chunk with choices holds several of one index."""
    first = next((root["choices"] for root in roots(case.transcript) if isinstance(root.get("choices"), list) and root["choices"]), [])
    return case.transcript.stream and len(first) > len({str(choice.get("index")) for choice in first if isinstance(choice, dict)})


@kind
def a_message_in_the_place_of_a_delta(case: Case) -> bool:
    return case.transcript.stream and any(not choice.get("delta") and isinstance(choice.get("message"), dict) for choice in first_choices(case.transcript))


@kind
def a_filter_left_no_message(case: Case) -> bool:
    return str(case.client.get("finish_reason")).startswith("content_filter") and case.worker.get("refused") == "content_filter" and not case.client.get("content")


@kind
def half_a_surrogate(case: Case) -> bool:
    return re.search("[\ud800-\udfff]", json.dumps(case.client, ensure_ascii=False)) is not None


@kind
def names_said_again(case: Case) -> bool:
    """A stream that says a call's id or name more than once."""
    seen: set = set()
    for choice in first_choices(case.transcript):
        delta = choice.get("delta") if isinstance(choice.get("delta"), dict) else {}
        calls = delta.get("tool_calls") if isinstance(delta.get("tool_calls"), list) else []
        for call in [call for call in (*calls, {"index": "old", "function": delta.get("function_call")}) if isinstance(call, dict)]:
            function = call.get("function") if isinstance(call.get("function"), dict) else {}
            said = {(str(call.get("index")), name) for name, value in (*call.items(), *function.items()) if name in ("id", "name") and value}
            if said & seen:
                return True
            seen |= said
    return False


@kind
def arguments_that_are_no_text(case: Case) -> bool:
    for choice in first_choices(case.transcript):
        for message in [choice[name] for name in ("message", "delta") if isinstance(choice.get(name), dict)]:
            calls = message.get("tool_calls") if isinstance(message.get("tool_calls"), list) else []
            functions = [call.get("function") for call in calls if isinstance(call, dict)] + [message.get("function_call")]
            if any(isinstance(f, dict) and "arguments" in f and not isinstance(f["arguments"], str) for f in functions):
                return True
    return False


@kind
def usage_of_other_types(case: Case) -> bool:
    """In the place of a number a text, a fraction, a truth, or a number beyond 64 bits."""
    usages = [root["usage"] for root in roots(case.transcript) if isinstance(root.get("usage"), dict)]
    values = [usage.get(name) for usage in usages for name in ("prompt_tokens", "completion_tokens", "total_tokens")]
    return any(value is not None and (type(value) is not int or value >= 2**63) for value in values)


@kind
def usage_forgotten(case: Case) -> bool:
    usage = case.client.get("usage")
    return case.transcript.stream and not (isinstance(usage, dict) and any(usage.values())) and any(root.get("usage") for root in roots(case.transcript))


@kind
def a_mark_before_a_stream(case: Case) -> bool:
    return case.transcript.stream and case.transcript.body.lstrip().startswith(b"\xef\xbb\xbf")


@kind
def usage_in_the_choice(case: Case) -> bool:
    return case.transcript.stream and any(isinstance(choice.get("usage"), dict) for choice in first_choices(case.transcript))


@kind
def nothing_was_said(case: Case) -> bool:
    return case.client.get("content") is None and case.worker.get("content") == ""


@kind
def an_empty_reason(case: Case) -> bool:
    return case.transcript.stream and case.client.get("finish_reason") == "" and case.worker.get("finish_reason") is None


def leaves(path: tuple, value):
    """All values in it, those of an array under one path."""
    yield path, value
    for name, child in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from leaves((*path, name if isinstance(value, dict) else "[]"), child)


@kind
def members_of_several_types(case: Case) -> bool:
    """A member of the deltas is a text here, and a number or an object there."""
    seen: dict = {}
    for choice in first_choices(case.transcript):
        for path, value in leaves((), choice.get("delta")):
            if value is not None:
                seen.setdefault(path, set()).add("text" if isinstance(value, str) else "object" if isinstance(value, dict) else "array" if isinstance(value, list) else "scalar")
    return case.transcript.stream and any(len(kinds) > 1 for kinds in seen.values())


@kind
def numbers_of_several_kinds(case: Case) -> bool:
    """The same member of the deltas is a number that every reader can hold here, and one beyond it there."""
    kinds: dict = {}
    for choice in first_choices(case.transcript):
        delta = choice.get("delta") if isinstance(choice.get("delta"), dict) else {}
        for path, value in leaves((), delta):
            if type(value) in (int, float):
                kinds.setdefault(path, set()).add(abs(value) >= 2**63 and value == value)
    return case.transcript.stream and any(len(found) > 1 for found in kinds.values())


@kind
def a_stream_that_says_it_is_json(case: Case) -> bool:
    """Neither its type nor its first line says that it is a stream."""
    first = re.split(rb"[\r\n]", case.transcript.body.removeprefix(b"\xef\xbb\xbf").lstrip())[0]
    typed = "event-stream" in dict(case.transcript.headers).get("content-type", "")
    return case.transcript.stream and not typed and not re.match(rb"(data|event|id|retry|error)?(:|$)", first)
