"""The two readers of a transcript, as processes: the official client, and the worker.

A reading is a dict: {"refused": WHY}, or content, refusal, tool_calls, function_call, others (the message's further members),
finish_reason and usage. Of the client also `by` (whole, state, loop) and `typed` (client_reads.py)."""
from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from parts import LIMIT_S, Topics, wait_until
from transcript import Transcript

KNOWN = ("content", "refusal", "tool_calls", "function_call")
MODES = {"asked": True, "unasked": False}  # does the job want deltas?


def by_client(player, transcripts: list[Transcript]) -> dict[str, dict]:
    lines = "".join(f"{t.name} {'stream' if t.stream else 'whole'}\n" for t in transcripts)
    done = subprocess.run([os.environ["CHAT_OPENAI_PYTHON"], Path(__file__).parent / "client_reads.py", player.url], input=lines, text=True, stdout=subprocess.PIPE,
                          timeout=LIMIT_S, check=True, env={**os.environ, "NO_PROXY": "*"})
    found = {}
    for line in done.stdout.splitlines():
        reading = json.loads(line)
        found[reading.pop("name")] = reading
    assert len(found) == len(transcripts), f"the client has read {len(found)} of {len(transcripts)}"
    return found


class ByWorker:
    """One worker for all that is read; each transcript is a job of a session of its own."""

    def __init__(self, stage, player):
        self.player = player
        # One attempt: a refusal is a dead letter at once. What waits all the same (503) comes again, and gets AGAIN.
        self.worker = stage.worker(stage.redis(), player, **{"retry.attempts_max": "1", "retry.backoff_max_ms": "50", "provider.main.in_flight": "fixed",
                                                             "worker.threads": "16", "log.level": "info"})
        self.topics, self.sent = Topics(self.worker.bootstrap), 0

    def read(self, jobs: list[tuple[Transcript, str]]) -> dict[tuple[str, str], dict]:
        """jobs: transcripts and modes. By (name, mode)."""
        for transcript, mode in jobs:
            job = {"id": f"{transcript.name}@{mode}", "message": f"play {transcript.name}@{mode}", **({"stream": True} if MODES[mode] else {})}
            self.topics.producer.produce(self.topics.jobs, value=json.dumps(job), key=job["id"])
        self.topics.flush()
        self.sent += len(jobs)
        replies = self.topics.replies(self.sent)
        return {(t.name, mode): self._reading(replies[f"{t.name}@{mode}"]) for t, mode in jobs}

    def _reading(self, reply: dict) -> dict:
        if reply["status"] != "ok":
            return {"refused": reply["error"]["code"], "retriable": reply["error"]["retriable"]}
        asked = self.player.times_asked(reply["job"])
        if asked != 1:
            return {"refused": f"asked {asked} times"}
        message = dict(reply["message"])
        return {**{name: message.pop(name, None) for name in KNOWN}, "others": message, "finish_reason": reply.get("finish_reason"), "usage": reply.get("usage")}

    def texts(self, names: set[str]) -> dict[str, str]:
        """What the deltas of these jobs add up to, when all of them are final."""
        def look():
            streams: dict[str, dict] = {}
            for record in self.topics.all(self.topics.deltas):
                delta = json.loads(record.value())
                streams.setdefault(delta["job"], {}).setdefault((delta["epoch"], delta["try"]), {})[delta["seq"]] = delta
            last = {job: [of[max(of)][seq] for seq in sorted(of[max(of)])] for job, of in streams.items()}
            whole = {job: "".join(d.get("delta", "") for d in deltas) for job, deltas in last.items() if deltas[-1].get("final")}
            return whole if names <= set(whole) else None
        return wait_until(look, f"the last pieces of {len(names)} answers")
