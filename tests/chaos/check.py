#!/usr/bin/env python3
"""Judges a chaos run from what it left behind: topics, Redis, the simulator's journal, the workers' logs and ends.

  tests/chaos/check.py FOLDER      judges a folder that tests/chaos/run kept, once more

A broker with KAFKA-20734 leaves a partition's transaction open, and what was acknowledged isn't seen. What a partition that it left out has
to do with is a violation all the same, named as the broker's.

It shares no code with the worker. `collect` reads topics and Redis into the folder's files, `load` reads the files, `judge` is pure:
test_check.py shows for each kind of violation that it is seen. A violation is a kind, a job id (or another name), and the evidence."""
from __future__ import annotations

import itertools
import json
import re
import sys
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path

SOON_MS = 1000   # from a whole answer to its place in Redis, while Redis is there; a busy machine may take a while
CLOSE_MS = 300   # between an answer's last byte at the simulator and its arrival
START_FAILED, CUT_SHORT, FENCED = 69, 75, 78
LEFT_WAITING_MS = 150000  # from a fault of Kafka until a worker ends whose client waits for ever (worker/telemetry/watchdog.c, and its drain)
FENCED_AFTER_MS = 30000  # what a static member had sent before it joined anew may fence it so long after


@dataclass
class Record:
    """One record of a topic."""
    partition: int
    offset: int
    key: str | None
    value: str
    headers: dict = field(default_factory=dict)

    @cached_property
    def json(self) -> dict:
        try:
            found = json.loads(self.value)
            return found if isinstance(found, dict) else {}
        except ValueError:
            return {}


@dataclass
class Call:
    """One request the simulator saw."""
    job: str | None
    user: str      # the worker's life
    status: int
    end: str       # answered, broken, aborted
    start_ms: int
    end_ms: int

    @property
    def paid(self) -> bool:
        return self.status == 200 and self.end == "answered"


@dataclass
class Life:
    """One worker process."""
    name: str
    slot: int
    started_ms: int
    ended_ms: int | None = None
    status: int | None = None  # as subprocess says it: -9 for KILL
    signals: list = field(default_factory=list)  # [ms, name]: what the run sent

    def sent(self, name: str) -> list[int]:
        return [at for at, sent in self.signals if sent == name]


@dataclass
class Fault:
    do: str
    from_ms: int
    to_ms: int
    slot: int | str | None = None

    def hits(self, what: str, slot: int) -> bool:
        return self.do.startswith(what + "_") and self.slot in (None, "all", slot)

    def meets(self, from_ms: int, to_ms: int) -> bool:
        return self.from_ms <= to_ms and self.to_ms >= from_ms

    def __str__(self) -> str:
        return f"{self.do}{'' if self.slot is None else f' of {self.slot}'} {self.from_ms}..{self.to_ms}"


@dataclass
class Evidence:
    delivery: str = "at-least-once"
    lease_ms: int = 3000
    secrets: list = field(default_factory=list)   # what no log may hold
    expected: dict = field(default_factory=dict)  # job id: "ok" or "error"
    jobs: list = field(default_factory=list)      # Records, as are the next two; in order within a partition
    replies: list = field(default_factory=list)
    dead: list = field(default_factory=list)
    histories: dict = field(default_factory=dict)  # session: turns (objects), oldest first
    states: dict = field(default_factory=dict)     # job id: its hash in Redis
    committed: dict = field(default_factory=dict)  # partition: offset
    ends: dict = field(default_factory=dict)
    commits: list = field(default_factory=list)    # (partition, offset, Unix ms) as the broker took them, in order within a partition
    calls: list = field(default_factory=list)
    lives: list = field(default_factory=list)
    faults: list = field(default_factory=list)
    logs: dict = field(default_factory=dict)       # life: text
    harness: list = field(default_factory=list)    # what the run itself found wrong: [kind, subject, words]
    left_open: list = field(default_factory=list)  # transactions that nobody ended: [topic, partition, first offset, words]
    skipped: list = field(default_factory=list)    # whose markers the broker left out: [topic, partition, its line]
    rolled_back: list = field(default_factory=list)  # by the broker, for their time was up: [transactional id, ms of the day]
    places: dict = field(default_factory=dict)     # job id: [[topic, partition], ...]: of all its ends, also those that no reader sees


@dataclass
class Report:
    violations: list = field(default_factory=list)  # (kind, job or other name, evidence)
    totals: dict = field(default_factory=dict)
    paid_twice: list = field(default_factory=list)  # (job, cause, evidence)
    of_the_broker: list = field(default_factory=list)  # of the violations: (kind, job or other name, the broker's line)

    def add(self, kind: str, subject: str, words: str) -> None:
        self.violations.append((kind, subject, words))


def judge(evidence: Evidence) -> Report:
    report = Report()
    for kind, subject, words in evidence.harness:
        report.add(kind, subject, words)
    jobs = {record.json["id"]: record for record in evidence.jobs}
    check_sent(evidence, jobs, report)
    replies = check_replies(evidence, jobs, report)
    check_dead_letters(evidence, jobs, replies, report)
    check_histories(evidence, jobs, replies, report)
    check_reply_order(evidence, jobs, report)
    check_states(evidence, jobs, replies, report)
    check_commits(evidence, report)
    check_calls(evidence, jobs, report)
    check_lives(evidence, report)
    check_logs(evidence, report)
    check_transactions(evidence, report)
    blame_the_broker(evidence, report)
    dead_letters = Counter(place_of(dead_letter) for dead_letter in evidence.dead)
    report.totals = {
        "jobs": len(jobs), "answered_ok": sum(first.json.get("status") == "ok" for first in replies.values()),
        "answered_error": sum(first.json.get("status") == "error" for first in replies.values()),
        "replies": len(evidence.replies), "duplicates": len(evidence.replies) - len({r.json.get("job") for r in evidence.replies}),
        "dead_letters": len(evidence.dead), "dead_letters_repeated": len(evidence.dead) - len(dead_letters),
        "commits": len(evidence.commits), "calls": len(evidence.calls), "answers_paid": sum(call.paid for call in evidence.calls),
        "paid_twice": dict(Counter(cause for _, cause, _ in report.paid_twice)),
        "faults": dict(Counter(fault.do for fault in evidence.faults)), "lives": len(evidence.lives),
        "exits": dict(Counter(str(life.status) for life in evidence.lives)), "violations": len(report.violations), "of_the_broker": len(report.of_the_broker)}
    return report


def place_of(dead_letter: Record) -> tuple[str | None, str | None]:
    return dead_letter.headers.get("__dlq.errors.partition"), dead_letter.headers.get("__dlq.errors.offset")


def at(record: Record) -> str:
    return f"partition {record.partition} offset {record.offset}"


# ---- transactions ----

OFFSETS = "__consumer_offsets"
# What an end or an offset that is acknowledged and then hidden, dropped or shown twice looks like from outside.
OF_AN_END = {"unanswered", "answered_twice", "no_dead_letter", "dead_letter_twice", "turn_of_nobody", "order_broken", "prompt_wrong"}
OF_AN_OFFSET = {"not_committed", "lag_stays", "commit_went_back", "answered_twice", "dead_letter_twice"}


def check_transactions(evidence: Evidence, report: Report) -> None:
    """None is open long after all that could hold one has ended."""
    for topic, partition, offset, words in evidence.left_open:
        report.add("transaction_left_open", f"{topic} {partition}", f"from offset {offset}: {words}")


def blame_the_broker(evidence: Evidence, report: Report) -> None:
    """Which violations stand where the broker left a marker out, by its own word."""
    lines = {(topic, partition): line for topic, partition, line in evidence.skipped}
    offsets = next((line for (topic, _), line in lines.items() if topic == OFFSETS), None)
    for kind, subject, _ in report.violations:
        if kind == "transaction_left_open":
            topic, _, partition = subject.rpartition(" ")
            line = lines.get((topic, int(partition)))
        else:
            own = next((lines[tuple(place)] for place in evidence.places.get(subject, []) if tuple(place) in lines), None)
            line = (own if kind in OF_AN_END else None) or (offsets if kind in OF_AN_OFFSET else None)
        if line is not None:
            report.of_the_broker.append((kind, subject, line))


def rolled_back_in(log: str) -> list:
    """The transactions whose time was up, by the coordinator's own word."""
    found = re.findall(r"^(\d\d):(\d\d):(\d\d)\.(\d\d\d) .*Completed rollback of ongoing transaction for transactionalId (\S+) due to timeout", log, re.M)
    return [[name, ((int(h) * 60 + int(m)) * 60 + int(s)) * 1000 + int(ms)] for h, m, s, ms, name in found]


def skipped_in(log: str) -> list:
    """Of a broker's log: [topic, partition, line] for each partition whose transaction it leaves open (KAFKA-20734)."""
    found = []
    for line in log.splitlines():
        said = re.search(r"Couldn't find leader endpoint for partitions \w+\(([^)]*)\) while trying to send transaction markers", line)
        for place in said.group(1).split(", ") if said else []:
            topic, _, partition = place.rpartition("-")
            found.append([topic, int(partition), line])
    return found


# ---- topics ----

def check_sent(evidence: Evidence, jobs: dict, report: Report) -> None:
    """The run's own work: every job is on the topic once."""
    for job, count in Counter(record.json["id"] for record in evidence.jobs).items():
        if count > 1:
            report.add("harness", job, f"the job stands {count} times on the topic")
    for job in evidence.expected.keys() - jobs.keys():
        report.add("harness", job, "the job isn't on the topic")


def check_replies(evidence: Evidence, jobs: dict, report: Report) -> dict[str, Record]:
    """Each job is answered, with its own answer, and always the same. Returns the first reply of each."""
    of_job = defaultdict(list)
    for reply in evidence.replies:
        of_job[reply.json.get("job")].append(reply)
    for job, found in of_job.items():
        if job not in jobs:
            report.add("reply_to_nobody", str(job), f"{at(found[0])}: no such job: {found[0].value[:200]}")
    for job, record in jobs.items():
        if job not in of_job:
            report.add("unanswered", job, f"no reply; the job is at {at(record)}")
            continue
        found = of_job[job]
        if evidence.delivery == "exactly-once" and len(found) > 1:
            report.add("answered_twice", job, "visible replies: " + ", ".join(at(r) for r in found))
        for other in found[1:]:
            if other.value != found[0].value:
                report.add("replies_differ", job, f"{at(found[0])}: {found[0].value[:300]} | {at(other)}: {other.value[:300]}")
        check_one_reply(evidence, record, found[0], report)
    return {job: found[0] for job, found in of_job.items() if job in jobs}


def check_one_reply(evidence: Evidence, job: Record, reply: Record, report: Report) -> None:
    name, said, asked = job.json["id"], reply.json, job.json
    if reply.key != job.key or said.get("session") != asked.get("session"):
        report.add("wrong_session", name, f"asked under key {job.key} session {asked.get('session')}, answered under key {reply.key} session {said.get('session')}: {at(reply)}")
    if said.get("metadata") != asked.get("metadata"):
        report.add("wrong_metadata", name, f"{asked.get('metadata')} came back as {said.get('metadata')}")
    expected = evidence.expected.get(name)
    if expected is not None and said.get("status") != expected:
        report.add("unexpected_end", name, f"expected {expected}: {reply.value[:400]}")
    if said.get("status") == "ok":
        content = (said.get("message") or {}).get("content") or ""
        if asked["message"] not in content:
            report.add("wrong_answer", name, f"the answer doesn't echo the question: {content[:300]}")


def check_reply_order(evidence: Evidence, jobs: dict, report: Report) -> None:
    """A session's replies, each at its first appearance, come in the order of their jobs."""
    last: dict = {}
    seen = set()
    for reply in evidence.replies:
        job = jobs.get(reply.json.get("job"))
        if job is None or job.key is None or reply.json["job"] in seen:
            continue
        seen.add(reply.json["job"])
        before = last.get(job.key)
        if before is not None and before.offset > job.offset:
            report.add("order_broken", reply.json["job"], f"session {job.key}: first answered at {at(reply)}, after {before.json['id']}, which is later on the jobs topic ({at(before)} and {at(job)})")
        else:
            last[job.key] = job


def check_dead_letters(evidence: Evidence, jobs: dict, replies: dict, report: Report) -> None:
    """An error reply has its dead letter, and the reverse."""
    by_place = {(str(r.partition), str(r.offset)): job for job, r in jobs.items()}
    of_job = defaultdict(list)
    for dead_letter in evidence.dead:
        job = by_place.get(place_of(dead_letter))
        if job is None:
            report.add("dead_letter_of_nobody", str(dead_letter.json.get("id")), f"{at(dead_letter)}: its headers name {place_of(dead_letter)}")
            continue
        of_job[job].append(dead_letter)
        if (dead_letter.key, dead_letter.value) != (jobs[job].key, jobs[job].value):
            report.add("dead_letter_differs", job, f"{at(dead_letter)}: key or value isn't the job's")
    for job, reply in replies.items():
        if reply.json.get("status") == "error" and job not in of_job:
            report.add("no_dead_letter", job, f"an error reply at {at(reply)} has none: {reply.value[:300]}")
    for job, dead_letters in of_job.items():
        if job in replies and replies[job].json.get("status") == "ok":
            report.add("dead_letter_of_an_answered_job", job, f"{at(dead_letters[0])}: {dead_letters[0].headers}")
        if evidence.delivery == "exactly-once" and len(dead_letters) > 1:
            report.add("dead_letter_twice", job, ", ".join(at(dead_letter) for dead_letter in dead_letters))


# ---- Redis ----

def check_histories(evidence: Evidence, jobs: dict, replies: dict, report: Report) -> None:
    """A session's history: a turn for each job answered ok, once, in order, with its question and answer; and each
    answer saw just the turns before it."""
    wanted = defaultdict(list)
    for job, record in sorted(jobs.items(), key=lambda item: (item[1].partition, item[1].offset)):
        session = record.json.get("session")
        if session is not None and job in replies and replies[job].json.get("status") == "ok":
            wanted[session].append(job)
    for session in wanted.keys() | evidence.histories.keys():
        turns = evidence.histories.get(session, [])
        have, want = [turn.get("job") for turn in turns], wanted[session]
        for job, count in Counter(have).items():
            if count > 1:
                report.add("turn_twice", job, f"session {session}: {count} turns in {around(have, job)}")
        for job in [job for job in want if job not in have]:
            report.add("turn_missing", job, f"session {session}: answered ok, but not in the history of {len(have)} turns")
        for job in [job for job in dict.fromkeys(have) if job not in want]:
            report.add("turn_of_nobody", str(job), f"session {session}: a turn, but no job of it was answered ok")
        known = [job for job in dict.fromkeys(have) if job in want]
        in_order = sorted(known, key=want.index)
        if known != in_order:
            first = next(a for a, b in zip(known, in_order, strict=True) if a != b)
            report.add("history_order", first, f"session {session}: {around(known, first)}, not {around(in_order, first)}")
        for turn in turns:
            if turn.get("job") in want:
                check_turn(session, turn, jobs[turn["job"]], replies[turn["job"]], report)
        for place, job in enumerate(want):
            content = (replies[job].json.get("message") or {}).get("content") or ""
            saw = re.search(r"\[messages=(\d+)\]$", content)
            if saw is None or int(saw.group(1)) != 2 * place + 1:
                report.add("prompt_wrong", job, f"session {session}: {place} turns stood before it, its prompt had {saw.group(1) if saw else '?'} messages, not {2 * place + 1}")


def around(names: list, name: str) -> list:
    place = names.index(name)
    return names[max(place - 3, 0):place + 4]


def check_turn(session: str, turn: dict, job: Record, reply: Record, report: Report) -> None:
    said = [(message.get("role"), message.get("content")) for message in turn.get("messages", [])]
    want = [("user", job.json["message"]), ("assistant", (reply.json.get("message") or {}).get("content"))]
    if said != want:
        report.add("turn_differs", turn["job"], f"session {session}: {said} is not {want}")


def check_states(evidence: Evidence, jobs: dict, replies: dict, report: Report) -> None:
    """Every job's record in Redis has ended, as its reply says."""
    for job in jobs:
        state = evidence.states.get(job, {})
        reply = replies.get(job)
        want = None if reply is None else {"ok": "ok", "error": "dead"}.get(reply.json.get("status"))
        if want is None:
            continue
        if state.get("state") != want:
            report.add("state_differs", job, f"the reply says {reply.json['status']}, Redis says {state.get('state')}: {state}")
        elif state.get("reply") != reply.value:
            report.add("stored_reply_differs", job, f"stored: {str(state.get('reply'))[:300]} | published: {reply.value[:300]}")


def check_commits(evidence: Evidence, report: Report) -> None:
    """All is committed in the end, and no commit ever set a partition back: that would be a worker that speaks for what is another's."""
    last: dict = {}
    for partition, offset, when in evidence.commits:
        before = last.get(partition, (0, 0))
        if offset < before[0]:
            report.add("commit_went_back", f"partition {partition}", f"{before[0]} was committed at {before[1]}, then {offset} at {when}")
        last[partition] = (offset, when)
    for partition, end in evidence.ends.items():
        if max(evidence.committed.get(partition, 0), 0) != end:  # below 0: nothing was committed, of a partition that is empty
            report.add("not_committed", f"partition {partition}", f"committed {evidence.committed.get(partition)}, the log ends at {end}")


# ---- what was paid ----

def check_calls(evidence: Evidence, jobs: dict, report: Report) -> None:
    of_job = defaultdict(list)
    for call in evidence.calls:
        of_job[call.job].append(call)
    lives = {life.name: life for life in evidence.lives}
    explain = Explanations(evidence, lives)
    for job, calls in of_job.items():
        if job not in jobs:
            report.add("call_for_nobody", str(job), f"{calls[0]}")
            continue
        if calls[0].user not in lives:
            report.add("harness", job, f"a call of an unknown worker: {calls[0]}")
            continue
        calls.sort(key=lambda call: call.start_ms)
        for call, again in itertools.pairwise(calls):
            check_one_at_a_time(job, call, again, explain, report)
        paid = [call for call in calls if call.paid]
        for call, again in itertools.pairwise(paid):
            cause, words = explain.why_again(job, call, again)
            report.paid_twice.append((job, cause or "unexplained", words))
            if cause is None:
                report.add("paid_twice", job, words)
    for job, reply in {r.json.get("job"): r for r in evidence.replies}.items():
        if job in jobs and reply.json.get("status") == "ok" and not any(call.paid for call in of_job.get(job, [])):
            report.add("answer_from_nowhere", job, f"answered ok at {at(reply)}, but the simulator gave no whole answer")


def check_one_at_a_time(job: str, call: Call, again: Call, explain: Explanations, report: Report) -> None:
    """A claim keeps others from asking: two workers at once on one job need as good a cause as an answer paid twice."""
    if again.user == call.user or again.user not in explain.lives or call.user not in explain.lives or again.start_ms > call.end_ms - CLOSE_MS:
        return
    cause, words = explain.why_again(job, call, again)
    if cause is None:
        report.add("asked_side_by_side", job, f"under way {call.start_ms}..{call.end_ms} ({call.end}): {words}")


class Explanations:
    """Why an answer that was whole at the provider was asked for again: matched against what was done to the worker that
    had asked, and what it logged."""

    def __init__(self, evidence: Evidence, lives: dict):
        self.evidence, self.lives = evidence, lives
        self.lines = {name: LogLines(text) for name, text in evidence.logs.items()}

    def why_again(self, job: str, call: Call, again: Call) -> tuple[str | None, str]:
        life = self.lives[call.user]
        log = self.lines.get(call.user, LogLines(""))
        facts = f"answered {call.end_ms} to {call.user}, asked again {again.start_ms} by {again.user}"
        # Redis as this worker saw it, from the last renewal on that may have gone well.
        store = [fault for fault in self.evidence.faults if fault.hits("redis", life.slot) and fault.meets(call.start_ms - self.evidence.lease_ms, again.start_ms)]
        # What it says of a claim that it lost it says when Redis is back.
        lines = log.of_job(job, call.start_ms, max([again.start_ms, *(fault.to_ms for fault in store)]) + SOON_MS)
        for cause, words in (self.cut(life, call, log.of_job(job, call.start_ms, again.start_ms)), self.ended(life, call, again, store), self.stalled(life, call, again),
                             self.away_then_stalled(life, call, again, store), self.lease_ran_out(life, call, again, lines, store)):
            if cause is not None:
                return cause, f"{facts}; {words}"
        near = [str(fault) for fault in self.evidence.faults if fault.meets(call.start_ms - 1000, again.start_ms)]
        return None, f"{facts}; nothing explains it. Signals {life.signals}, ended {life.ended_ms} with {life.status}; faults near: {near}; {call.user} logged: {lines}"

    def cut(self, life: Life, call: Call, lines: list) -> tuple[str | None, str]:
        """The way to the provider was cut or stalled while the answer was on it; or while the question was: then the time-out
        ends it, and what reached the provider late (libcurl asks anew where a connection died unanswered) was in vain."""
        waits = [(when_ms(line), int(found.group(1))) for line in lines if (found := re.search(r"no answer within (\d+) ms", line))]
        began = min([call.start_ms, *(when - wait for when, wait in waits)])
        for fault in self.evidence.faults:
            if fault.hits("llm", life.slot) and fault.do != "llm_outage" and fault.meets(began, call.end_ms + CLOSE_MS):
                if any(f"event={event} " in line for line in lines for event in ("reply_enqueued", "claim_lost")):
                    break  # it did get its answer
                said = next((line for line in lines if "event=job_retry " in line or "event=job_waits " in line), "")
                return "connection cut while answering", f"{fault}; {said}"
        return None, ""

    def ended(self, life: Life, call: Call, again: Call, store: list) -> tuple[str | None, str]:
        """The worker ended, or its drain did, between the answer and its place in Redis."""
        for ran_out in re.findall(r"^ts=.* event=drain_ran_out .*$", self.evidence.logs.get(life.name, ""), re.M):
            # What is cut then may have been answered already. The process may take long to end: say, Kafka has its last transaction.
            if -CLOSE_MS <= when_ms(ran_out) - call.end_ms <= SOON_MS:
                return "drain ran out between answer and finish", ran_out
        if life.ended_ms is None or not call.start_ms <= life.ended_ms <= again.start_ms + CLOSE_MS:
            return None, ""
        # Once it was told: what a drain or a KILL cut short is the last thing it did.
        how = {-9: "killed", 75: "ended at once by a second TERM", 0: "drain ran out"}.get(life.status)
        if how is None or (life.status == 0 and "event=drain_ran_out" not in self.evidence.logs.get(life.name, "")):
            return None, ""
        if life.ended_ms - call.end_ms <= SOON_MS:
            return f"{how} between answer and finish", f"ended {life.ended_ms} with {life.status}"
        away = [fault for fault in store if fault.meets(call.end_ms - SOON_MS, call.end_ms + SOON_MS)]
        if away:
            return f"{how} while Redis was away", f"ended {life.ended_ms} with {life.status}; {away[0]}"
        return None, ""

    def stalled(self, life: Life, call: Call, again: Call) -> tuple[str | None, str]:
        for stop, go_on in stalls(life):
            # Until CLOSE_MS before its call: it can be stopped between its last look at the claim and the call.
            if stop <= call.end_ms + SOON_MS and go_on >= call.start_ms - CLOSE_MS and go_on - stop >= self.evidence.lease_ms // 2 and again.start_ms >= stop:
                return "stalled beyond the lease", f"{life.name} stopped {stop}..{go_on}"
        # Or the other way round: stopped between begin and asking, it goes on and asks for what another has answered meanwhile.
        for stop, go_on in stalls(self.lives[again.user]):
            if stop <= call.end_ms and go_on - stop >= self.evidence.lease_ms and -CLOSE_MS <= again.start_ms - go_on <= SOON_MS:
                return "stalled beyond the lease", f"{again.user} stopped {stop}..{go_on}"
        return None, ""

    def away_then_stalled(self, life: Life, call: Call, again: Call, store: list) -> tuple[str | None, str]:
        """Redis was away when the answer came, and the worker was stopped before it could be told."""
        for fault in store:
            for stop, go_on in stalls(life):
                if fault.meets(call.end_ms - SOON_MS, call.end_ms + SOON_MS) and fault.from_ms <= stop <= fault.to_ms + SOON_MS and stop <= again.start_ms \
                        and min(go_on, again.start_ms) - fault.from_ms >= self.evidence.lease_ms * 2 // 3 - CLOSE_MS:
                    return "Redis away, then stalled", f"{fault}; {life.name} stopped {stop}..{go_on}"
        return None, ""

    def lease_ran_out(self, life: Life, call: Call, again: Call, lines: list, store: list) -> tuple[str | None, str]:
        """It couldn't renew its claim, another took it, and it said so; or it ended before Redis could tell it."""
        said = next((line for line in lines if "event=claim_lost " in line), None)
        if said is None and life.ended_ms is not None and any(fault.meets(life.ended_ms, life.ended_ms) for fault in store):
            said = f"ended {life.ended_ms} with {life.status}, while Redis was away"
        # Renewed every third of the lease: away for two thirds is enough.
        away = sum(min(fault.to_ms, again.start_ms) - fault.from_ms for fault in store)
        if store and said and away >= self.evidence.lease_ms * 2 // 3 - CLOSE_MS:
            return "Redis away beyond the lease", f"{', '.join(map(str, store))}; {said}"
        return None, ""


def stalls(life: Life) -> list[tuple[int, int]]:
    """From each STOP to its CONT, or the end."""
    found = []
    for stop in life.sent("STOP"):
        ends = [at for at in life.sent("CONT") + ([life.ended_ms] if life.ended_ms else []) if at >= stop]
        found.append((stop, min(ends) if ends else sys.maxsize))
    return found


def when_ms(line: str) -> float:
    """Of a log line."""
    return datetime.fromisoformat(line[len("ts="):].split(" ", 1)[0].replace("Z", "+00:00")).timestamp() * 1000


class LogLines:
    """A worker's log, by job."""

    def __init__(self, text: str):
        self.by_job = defaultdict(list)
        for line in text.splitlines():
            job = re.search(r" job=(\S+)", line)
            if job and line.startswith("ts="):
                self.by_job[job.group(1)].append((when_ms(line), line))

    def of_job(self, job: str, from_ms: float, to_ms: float) -> list[str]:
        return [line for when, line in self.by_job.get(job, []) if from_ms <= when <= to_ms]


# ---- the workers ----

DAY_MS = 24 * 60 * 60 * 1000


def was_rolled_back(evidence: Evidence, life: Life, text: str) -> bool:
    own = set(re.findall(r"event=transactions_ready transactional_id=(\S+)", text))
    return life.ended_ms is not None and any(name in own and (life.ended_ms - at) % DAY_MS <= FENCED_AFTER_MS for name, at in evidence.rolled_back)


def is_left_waiting(evidence: Evidence, life: Life, text: str) -> bool:
    """A call of its client waits for ever for a coordinator that went, and the worker says so and ends."""
    return life.ended_ms is not None and "event=transactions_failed code=transactions_stuck" in text and any(
        fault.do.startswith(("kafka_", "broker_")) and fault.meets(life.ended_ms - LEFT_WAITING_MS, life.ended_ms) for fault in evidence.faults)


def is_late_for_having_been_stopped(life: Life) -> bool:
    """Its time to end ran out while it was stopped, or had hardly begun when it went on."""
    return life.ended_ms is not None and any(stop <= life.ended_ms and go >= term for term in life.sent("TERM")[:1] for stop, go in stalls(life))


def check_lives(evidence: Evidence, report: Report) -> None:
    """A worker ends only as it was told to, or with 69 before it had started. A static member may be fenced by its own join
    or commit, under the membership it had before: that is its client's, and fatal. With exactly-once one that was stopped or
    cut off for longer than its transaction may last is fenced, and says that it is to be started again; so is one on a machine
    too slow for that, if the coordinator says that it rolled the transaction back; and one whose client waits for ever for a coordinator
    that went. One that was stopped while it had to end is late, and says end_overdue, or what it left. At least once, librdkafka's idempotent producer may
    lose count of its records while a broker goes and comes."""
    for life in evidence.lives:
        text = evidence.logs.get(life.name, "")
        terms = len(life.sent("TERM"))
        of_kafka = life.ended_ms is not None and any(
            fault.do.startswith(("kafka_", "broker_")) and fault.meets(life.ended_ms - FENCED_AFTER_MS, life.ended_ms) for fault in evidence.faults)
        stopped = any(stop <= life.ended_ms and go >= life.ended_ms - FENCED_AFTER_MS for stop, go in stalls(life)) if life.ended_ms is not None else False
        fenced = "event=intake_failed code=FENCED_INSTANCE_ID" in text and of_kafka
        timed_out = "event=transactions_failed" in text and (of_kafka or stopped or was_rolled_back(evidence, life, text))
        lost_count = "the Kafka producer has failed for good (OUT_OF_ORDER_SEQUENCE_NUMBER" in text and of_kafka
        late = any(event in text for event in ("event=end_overdue", "event=completion_left")) and is_late_for_having_been_stopped(life)
        cut_short = terms > 1 or timed_out or lost_count or late or is_left_waiting(evidence, life, text)
        allowed = {FENCED: fenced, -9: bool(life.sent("KILL")), 0: terms > 0, CUT_SHORT: cut_short, START_FAILED: "event=worker_started" not in text}
        if life.status is None:
            report.add("worker_lives_on", life.name, "it didn't end")
        elif not allowed.get(life.status, False):
            report.add("worker_ended", life.name, f"status {life.status} at {life.ended_ms}, signals {life.signals}: {text[-1500:]}")


def check_logs(evidence: Evidence, report: Report) -> None:
    lives = {life.name: life for life in evidence.lives}
    for name, text in evidence.logs.items():
        life = lives[name]
        expected = ["event=intake_failed code=FENCED_INSTANCE_ID", "event=transactions_failed"]  # see check_lives
        if is_left_waiting(evidence, life, text):
            expected.append("event=thread_stuck thread=chat-txn")
        if is_late_for_having_been_stopped(life):
            expected.append("event=end_overdue")
        for secret in evidence.secrets:
            if secret in text:
                line = next(line for line in text.splitlines() if secret in line)
                report.add("said_in_the_log", name, f"{secret!r}: {line[:300]}")
        found = re.search(r"(ERROR: (Address|Leak)Sanitizer|WARNING: ThreadSanitizer|runtime error:|Assertion ).*", text)
        if found:
            report.add("sanitizer", name, text[found.start():][:1500])
        for line in text.splitlines():
            if " level=error " in line and not any(what in line for what in expected):
                report.add("error_logged", name, line[:500])


# ---- reading ----

def collect(folder: Path, config: dict) -> None:
    """Reads topics, offsets and Redis into the folder's files."""
    import redis
    from confluent_kafka import Consumer, KafkaException, TopicPartition
    from parts import wait_until

    common = {"bootstrap.servers": config["bootstrap"], "enable.auto.commit": False, "log_level": 0}

    def open_records(consumer, topic: str, partition: int, first: int, end: int) -> list[str]:
        """Whose transaction it is: the keys from the first record that isn't decided."""
        consumer.assign([TopicPartition(topic, partition, first)])
        keys = []
        while (record := consumer.poll(5)) is not None and record.offset() < end:
            keys.append(f"{record.offset()}: {record.key()!r}")
        return keys[:20]

    left_open = []

    def wait_for_open_transactions(topic: str, limit_s: float = 180) -> None:
        """What a transaction that nobody ended hides is shown, or gone, once the broker has ended it. One that stays is noted, and what it
        hides isn't read."""
        consumers = [Consumer({**common, "group.id": "chaos-check", "isolation.level": level}) for level in ("read_committed", "read_uncommitted")]

        def is_decided(place) -> bool:
            try:
                return len({consumer.get_watermark_offsets(place, 30)[1] for consumer in consumers}) == 1
            except KafkaException:  # a client that doesn't know the partition's leader yet
                return False

        try:
            for partition in consumers[0].list_topics(topic, 30).topics[topic].partitions:
                place = TopicPartition(topic, partition)
                try:  # those that stay open do so side by side
                    wait_until(lambda place=place: is_decided(place), f"the end of the transaction that is open in {topic} {partition}", 5 if left_open else limit_s, 0.2)
                except AssertionError:
                    ends = [consumer.get_watermark_offsets(place, 30)[1] for consumer in consumers]
                    left_open.append([topic, partition, ends[0], f"the log ends at {ends[1]}: {open_records(consumers[1], topic, partition, *ends)}"])
        finally:
            for consumer in consumers:
                consumer.close()

    def read(topic: str, row_of, isolation: str = "read_committed") -> list[dict]:
        if isolation == "read_committed":
            wait_for_open_transactions(topic)
        consumer = Consumer({**common, "group.id": "chaos-check", "auto.offset.reset": "earliest", "enable.partition.eof": True, "isolation.level": isolation})
        try:
            partitions = list(consumer.list_topics(topic, 30).topics[topic].partitions)
            consumer.assign([TopicPartition(topic, p, 0) for p in partitions])
            found, open_ends = [], set(partitions)
            while open_ends:
                record = consumer.poll(30)
                assert record is not None, f"{topic}: nothing for 30 s, and no end of {open_ends}"
                if record.error():
                    assert record.error().name() == "_PARTITION_EOF", record.error()
                    open_ends.discard(record.partition())
                    continue
                row = row_of(record)
                if row is not None:
                    found.append(row)
            return found
        finally:
            consumer.close()

    def as_row(record) -> dict:
        return {"partition": record.partition(), "offset": record.offset(), "key": record.key().decode() if record.key() is not None else None,
                "value": (record.value() or b"").decode(), "headers": {k: (v or b"").decode(errors="replace") for k, v in record.headers() or []}}

    for name in ("jobs", "replies", "dead"):
        write(folder / f"{name}.ndjson", read(config[f"{name}_topic"], as_row))
    write(folder / "commits.ndjson", read(OFFSETS, lambda record: commit_of(record.key(), record.value(), config["group"], config["jobs_topic"])))

    skipped = [found for log in sorted(folder.glob("kafka*.log")) for found in skipped_in(log.read_text(errors="replace"))]
    rolled_back = [found for log in sorted(folder.glob("kafka*.log")) for found in rolled_back_in(log.read_text(errors="replace"))]
    ends_of = defaultdict(list)
    for name in ("replies", "dead") if skipped or left_open else ():
        for row in read(config[f"{name}_topic"], as_row, "read_uncommitted"):
            job = json.loads(row["value"]).get("job" if name == "replies" else "id")
            ends_of[job].append([config[f"{name}_topic"], row["partition"]])

    consumer = Consumer({**common, "group.id": config["group"]})
    try:
        topic = config["jobs_topic"]
        places = consumer.committed([TopicPartition(topic, p) for p in consumer.list_topics(topic, 30).topics[topic].partitions], 30)
        ends = {p.partition: consumer.get_watermark_offsets(p, 30)[1] for p in places}
    finally:
        consumer.close()
    client = redis.Redis.from_url(config["redis"], decode_responses=True)
    histories, states, prefix = {}, {}, config["prefix"]
    for key in client.scan_iter(f"{prefix}:*", count=1000):
        match = re.fullmatch(re.escape(prefix) + r":\{([^}]*)\}:(history|job:(.*))", key)
        if match and match.group(2) == "history":
            histories[match.group(1)] = [json.loads(turn) for turn in client.lrange(key, 0, -1)]
        elif match:
            states[match.group(3)] = client.hgetall(key)
    (folder / "stores.json").write_text(json.dumps({"committed": {p.partition: p.offset for p in places}, "ends": ends, "histories": histories, "states": states,
                                                    "left_open": left_open, "skipped": skipped, "rolled_back": rolled_back, "places": ends_of}))


def commit_of(key: bytes | None, value: bytes | None, group: str, topic: str) -> dict | None:
    """A record of __consumer_offsets as Kafka writes it (OffsetCommitKey, OffsetCommitValue): None if it isn't of this group and topic."""
    if key is None or value is None or int.from_bytes(key[:2], "big") > 1:
        return None

    def text(data: bytes, place: int) -> tuple[str, int]:
        size = int.from_bytes(data[place:place + 2], "big")
        return data[place + 2:place + 2 + size].decode(), place + 2 + size

    of_group, place = text(key, 2)
    of_topic, place = text(key, place)
    if (of_group, of_topic) != (group, topic):
        return None
    # Version, offset, from 3 on a leader epoch, metadata (from 4 on with its length + 1 as a varint), time.
    version, place_of_metadata = int.from_bytes(value[:2], "big"), 10
    if version >= 3:
        place_of_metadata += 4
    if version >= 4:
        size, shift, after = 0, 0, place_of_metadata
        while True:
            size |= (value[after] & 127) << shift
            shift, after = shift + 7, after + 1
            if value[after - 1] < 128:
                break
        after += max(size - 1, 0)
    else:
        _, after = text(value, place_of_metadata)
    return {"partition": int.from_bytes(key[place:place + 4], "big"), "offset": int.from_bytes(value[2:10], "big"), "at_ms": int.from_bytes(value[after:after + 8], "big")}


def write(file: Path, rows: list[dict]) -> None:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


def rows(file: Path) -> list[dict]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def call_of(row: dict) -> Call:
    job = re.search(r"\bjob=([^;\s]+);", row["message"])
    return Call(job.group(1) if job else None, row["user"], row["status"], row["end"], row["start_ms"], row["end_ms"])


def load(folder: Path) -> Evidence:
    config = json.loads((folder / "config.json").read_text())
    stores = json.loads((folder / "stores.json").read_text())
    records = {name: [Record(**row) for row in rows(folder / f"{name}.ndjson")] for name in ("jobs", "replies", "dead")}
    lives = [Life(**row) for row in rows(folder / "lives.ndjson")]
    return Evidence(left_open=stores.get("left_open", []), skipped=stores.get("skipped", []), rolled_back=stores.get("rolled_back", []), places=stores.get("places", {}),
                    delivery=config["delivery"], lease_ms=config["lease_ms"], secrets=config["secrets"], expected=config["expected"], **records,
                    histories=stores["histories"], states=stores["states"], committed={int(p): o for p, o in stores["committed"].items()},
                    ends={int(p): o for p, o in stores["ends"].items()}, commits=[(row["partition"], row["offset"], row["at_ms"]) for row in rows(folder / "commits.ndjson")],
                    calls=[call_of(row) for row in rows(folder / "llm.ndjson")], lives=lives,
                    faults=[Fault(**row) for row in rows(folder / "faults.ndjson")], harness=config["harness"],
                    logs={life.name: (folder / f"{life.name}.log").read_text(errors="replace") for life in lives})


def say(report: Report, **about) -> bool:
    """Prints what was found, and PASS or FAIL as the last line's first word."""
    for job, cause, words in report.paid_twice:
        if cause != "unexplained":
            print(f"paid twice: {job}: {cause}: {words}")
    for kind, subject, words in report.violations:
        print(f"VIOLATION {kind}: {subject}: {words}")
    for kind, subject, line in report.of_the_broker:
        print(f"OF THE BROKER (KAFKA-20734) {kind}: {subject}: {line}")
    print(json.dumps(about | report.totals))
    ours = len(report.violations) - len(report.of_the_broker)
    print("PASS" if not report.violations else f"FAIL {len(report.violations)} violations, {ours} of them not by KAFKA-20734: " + ", ".join(sorted({kind for kind, *_ in report.violations})))
    return not report.violations


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(0 if say(judge(load(Path(sys.argv[1])))) else 1)
