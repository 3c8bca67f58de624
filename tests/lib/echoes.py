"""Jobs whose answers are known, and what is wrong with what came of them: pure. The simulator answers with the question and with how many messages
it was sent, so that the text shows the history, too."""
import json
from collections import Counter


def question(number: int) -> str:
    return f"question {number} of a bench, about as long as a short chat line"


def job_record(number: int, session: str, message: str | None = None) -> bytes:
    return json.dumps({"id": f"j{number}", "session": session, "message": message or question(number)}).encode()


def answer(number: int, earlier: int) -> str:
    """To the job with so many earlier ones in its session."""
    return f"echo: {question(number)} [messages={2 * earlier + 1}]"


def faults(replies: list[dict], expected: dict[str, str]) -> dict[str, int]:
    """How many jobs have no reply, how many replies are one too many or to no job, and how many say what they shouldn't."""
    seen = Counter(reply["job"] for reply in replies)
    wrong = sum(reply["status"] != "ok" or reply["message"]["content"] != expected.get(reply["job"], reply["message"]["content"]) for reply in replies)
    return {"losses": len(expected.keys() - seen.keys()), "duplicates": len(replies) - len(seen.keys() & expected.keys()), "wrong": wrong}


def turn_faults(turns: list[str], numbers: list[int]) -> int:
    """How many of a session's stored turns aren't those of these jobs, in this order; missing ones and further ones count."""
    wanted = [(f"j{number}", [("user", question(number)), ("assistant", answer(number, earlier))]) for earlier, number in enumerate(numbers)]
    stored = [(turn["job"], [(message["role"], message["content"]) for message in turn["messages"]]) for turn in map(json.loads, turns)]
    return sum(a != b for a, b in zip(stored, wanted, strict=False)) + abs(len(stored) - len(wanted))
