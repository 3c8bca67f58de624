"""What the official `openai` client makes of what is played: one line of JSON for each line NAME MODE of standard input.

Runs in an environment of its own (need openai). A whole answer is read by chat.completions.create. A streamed one is read by
create(stream=True), chunk by chunk, and joined by the client's own ChatCompletionStreamState, of which the snapshot is taken: its
final completion raises at `length`, which is no matter of reading. Where the state raises, though the chunks could be read, they are joined as
the client's README shows it: the text of the first choice's delta.content ("by": "loop")."""
from __future__ import annotations

import json
import sys
import warnings

import openai
import pydantic
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletionMessage

# What a message holds by the client's own types, which it doesn't check while it reads.
TYPED = pydantic.TypeAdapter(ChatCompletionMessage)


def read(client: openai.OpenAI, name: str, mode: str) -> dict:
    asked = {"model": "played", "messages": [{"role": "user", "content": f"play {name}"}]}
    try:
        if mode == "whole":
            got = client.chat.completions.create(**asked)
            return of_answer(got, "whole") if isinstance(got, openai.BaseModel) else {"refused": "no JSON: a text"}
        with client.chat.completions.create(**asked, stream=True) as stream:
            return of_chunks(list(stream))
    except Exception as refused:  # noqa: BLE001  whatever it is, this client has no answer
        return {"refused": f"{type(refused).__name__}: {refused}"[:300]}


def of_chunks(chunks: list) -> dict:
    state = ChatCompletionStreamState()
    try:
        for chunk in chunks:
            state.handle_chunk(chunk)
        found = of_answer(state.current_completion_snapshot, "state")
    except Exception as unjoined:  # noqa: BLE001
        found = {**of_loop(chunks), "unjoined": f"{type(unjoined).__name__}: {unjoined}"[:300]}
    typed = found.get("typed", True) and all(is_typed(choice) for chunk in chunks for choice in chunk.choices or [])
    return {**found, "typed": typed} if "refused" not in found else found


def is_typed(choice) -> bool:
    """True is 1 to Python, and a number in a text's or a call's place goes unnoticed."""
    index, delta = choice.index, choice.delta
    texts, calls = [getattr(delta, name, None) for name in ("content", "refusal")], getattr(delta, "tool_calls", None) or []
    return not isinstance(index, bool) and not (isinstance(index, int) and index >= 2**63) and all(isinstance(text, (str, type(None))) for text in texts) and \
        isinstance(calls, list) and all(isinstance(call, openai.BaseModel) for call in calls)


def of_loop(chunks: list) -> dict:
    text, reason, usage, choices = "", None, None, 0
    for chunk in chunks:
        usage = chunk.usage or usage
        for at, choice in enumerate(chunk.choices or []):
            if (choice.index == 0) if isinstance(choice.index, int) else at == 0:
                choices += 1
                text += choice.delta.content or ""
                reason = choice.finish_reason or reason
    return {"by": "loop", "content": text, "finish_reason": reason, "usage": usage_of(usage)} if choices else {"refused": "no choices"}


def of_answer(answer, by: str) -> dict:
    if not answer.choices:
        return {"refused": "no choices"}
    choice = answer.choices[0]
    message = choice.message.to_dict()
    message.pop("parsed", None)
    for call in message.get("tool_calls") or []:
        if by == "state":
            call.pop("index", None)
            call.get("function", {}).pop("parsed_arguments", None)
    typed = True
    try:
        TYPED.validate_python({**message, "role": "assistant"})  # some leave the role out
    except pydantic.ValidationError:
        typed = False
    return {"by": by, "typed": typed, "finish_reason": choice.finish_reason, "usage": usage_of(answer.usage), "content": message.pop("content", None),
            "refusal": message.pop("refusal", None), "tool_calls": message.pop("tool_calls", None), "function_call": message.pop("function_call", None), "others": message}


def usage_of(usage) -> dict | None:
    return usage.to_dict() if isinstance(usage, openai.BaseModel) else usage


def main() -> None:
    warnings.simplefilter("ignore")  # of what isn't typed as it says
    client = openai.OpenAI(base_url=sys.argv[1], api_key="none", max_retries=0, timeout=60)
    for line in sys.stdin:
        name, mode = line.split()
        print(json.dumps({"name": name, **read(client, f"{name}@client", mode)}, default=str), flush=True)


main()
