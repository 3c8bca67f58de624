"""What goes wrong and when, and which jobs are sent: made from the seed alone, so that a seed is played again by its number.

Pure: no clock, no files. Times are seconds from the start of the load."""
from __future__ import annotations

import json
from random import Random

SLOTS = 5          # places for workers, each with its own ways to Redis and the LLM
AT_START = (0, 1, 2)
SESSIONS = 200
PARTITIONS = 6
ZIPF = 0.8         # the first session has about a tenth of the jobs
ZIPF_LONG, LONG_MINUTES = 0.6, 3  # a twentieth: with its failures the first session has more to do than one job after
                                  # another allows, which a short load leaves as a backlog and a long one never works off
JOBS_A_SECOND = 30
CALM_START_S, CALM_END_S = 4.0, 8.0  # before the first fault, and after the last begins: something to compare with

# kind: (how often it stands in the bag, lasts from, to, what it keeps busy)
FAULTS = {
    "kill_worker": (3, 0.2, 1.5, "worker"),
    "stop_worker": (2, 7.5, 9.5, "worker"),    # past the session time-out, 6 s, and the lease, 3 s
    "term_worker": (2, 0.5, 3.0, "worker"),
    "hasty_term_worker": (1, 0.5, 2.0, "worker"),
    "add_worker": (1, 10.0, 20.0, "spare"),
    "broker_term": (1, 0.1, 1.0, "kafka"),
    "broker_kill": (1, 0.1, 1.0, "kafka"),
    "redis_term": (1, 0.1, 2.0, "redis"),
    "redis_kill": (1, 0.1, 4.0, "redis"),      # at times past the lease
    "kafka_cut": (1, 0.3, 3.0, "kafka"),
    "kafka_stall": (1, 1.0, 4.0, "kafka"),
    "kafka_stall_some": (2, 2.0, 5.0, "kafka"),  # half of the connections: say, replies are held up while commits go through
    "kafka_slow": (1, 2.0, 5.0, "kafka"),
    "kafka_reset": (1, 0.1, 0.5, "kafka"),
    "redis_cut": (1, 0.3, 5.0, "redis"),
    "redis_stall": (1, 1.0, 5.0, "redis"),
    "redis_slow": (1, 2.0, 5.0, "redis"),
    "redis_reset": (1, 0.1, 0.8, "redis"),
    "llm_cut": (2, 0.3, 4.0, "llm"),
    "llm_stall": (1, 1.0, 4.0, "llm"),
    "llm_slow": (1, 2.0, 5.0, "llm"),
    "llm_reset": (1, 0.1, 0.8, "llm"),
    "llm_clip": (1, 1.0, 3.0, "llm"),          # connections end after some bytes: in the middle of an answer
    "llm_outage": (1, 2.0, 6.0, "provider"),   # 503 to all
    # A peer whose machine is gone: it answers nothing for longer than sessions, transactions and calls last, and says no goodbye. Then
    # another is there, which knows none of the old connections.
    "kafka_silent": (1, 7.0, 12.0, "kafka"),
    "redis_silent": (1, 4.0, 8.0, "redis"),
    "llm_silent": (1, 5.0, 9.0, "llm"),
}
# Where each part of Kafka has a broker of its own: one is silent, or away, while the others answer.
OF_COORDINATORS = {
    "kafka_group_silent": (1, 5.0, 12.0, "kafka"),
    "kafka_group_cut": (1, 1.0, 8.0, "kafka"),
    "kafka_transactions_silent": (1, 5.0, 12.0, "kafka"),
    "kafka_transactions_cut": (1, 1.0, 8.0, "kafka"),
    "kafka_data_silent": (1, 5.0, 10.0, "kafka"),
}
NODES = {"data": 1, "group": 2, "transactions": 3}  # the broker that has the jobs and their ends, the groups' coordinator, that of transactions
EVERYWHERE = "all"  # instead of one worker's slot


def shape(seed: int) -> dict:
    """What a seed is played on; partitions: of the jobs. Any five in a row have each kind at least once."""
    return {"nodes": 3 if seed % 2 == 0 else 1, "partitions": 200 if seed % 4 == 3 else PARTITIONS, "limited": 0.05 if seed % 3 == 1 else 0}


def faults(seed: int, minutes: float) -> list[dict]:
    """In order of time: {"t", "do", "for_s"} and, where it applies, "slot": a worker's place, or "all"; "node": a broker."""
    rng = Random(f"faults-{seed}")
    nodes = shape(seed)["nodes"]
    kinds = FAULTS if nodes == 1 else FAULTS | OF_COORDINATORS
    last = minutes * 60 - CALM_END_S
    busy: dict = {}
    found, bag, t = [], [], CALM_START_S
    while t < last:
        if not bag:
            bag = [kind for kind, (count, *_) in kinds.items() for _ in range(count)]
            rng.shuffle(bag)
        kind = bag.pop()
        _, shortest, longest, what = kinds[kind]
        event = {"t": round(t, 3), "do": kind, "for_s": round(rng.uniform(shortest, longest), 3)}
        if what == "worker":
            event["slot"] = rng.choice(AT_START)
        elif what == "spare":
            event["slot"] = rng.choice([slot for slot in range(SLOTS) if slot not in AT_START])
        elif what in ("redis", "llm") and kind not in ("redis_term", "redis_kill"):
            event["slot"] = rng.choice([EVERYWHERE, *AT_START])
        if kind.startswith("broker"):
            event["node"] = rng.randint(1, nodes)
        # One at a time of what can't be broken twice; different things break side by side.
        place = f"{what} {event['slot']}" if what in ("worker", "spare") else what
        pause = rng.uniform(0.8, 3.2)
        if busy.get(place, 0) > t:
            bag.insert(rng.randrange(len(bag) + 1), kind)
            t += 0.05
            continue
        busy[place] = t + event["for_s"] + (6.0 if kind.startswith("broker") else 2.0)
        found.append(event)
        t += pause
    return found


# What a message asks of the simulator, and how its job must end.
KINDS = {
    "plain": (780, "", "ok"),
    "slow": (40, "[[fault:slow ms=1000 times=1]]", "ok"),
    "very_slow": (25, "[[fault:slow ms=2500 times=1]]", "ok"),  # under way through a rebalance: its claim is met by the heir
    "fails_once": (40, "[[fault:500 times=1]]", "ok"),
    "lost_once": (25, "[[fault:reset times=1]]", "ok"),
    "cut_once": (15, "[[fault:truncated times=1]]", "ok"),
    "limited_once": (20, "[[fault:429 retry-after-ms=80 times=1]]", "ok"),
    "alone": (25, "", "ok"),                    # neither session nor key: no history
    "refused": (20, "[[fault:400]]", "error"),
    "fails_always": (15, "[[fault:500]]", "error"),
}
MARKER = "QUAGGA-9f41"  # in every message: must not be in a log


def jobs(seed: int, minutes: float) -> list[dict]:
    """In order of their intended send time: {"t", "kind", "key" (None: none), "value": the job}."""
    rng = Random(f"jobs-{seed}")
    weights = [1 / (rank + 1) ** (ZIPF if minutes < LONG_MINUTES else ZIPF_LONG) for rank in range(SESSIONS)]
    kinds, shares = list(KINDS), [KINDS[kind][0] for kind in KINDS]
    found = []
    for n in range(int(minutes * 60 * JOBS_A_SECOND)):
        kind = rng.choices(kinds, shares)[0]
        session = None if kind == "alone" else f"s{rng.choices(range(SESSIONS), weights)[0]}"
        job = f"j{n}"
        message = f"{KINDS[kind][1]} {MARKER} job={job}; session={session}; how many are {rng.randint(2, 99)} and {rng.randint(2, 99)}?".strip()
        value = {"id": job, "message": message, "metadata": {"kind": kind, "n": n}}
        if session is not None:
            value["session"] = session
        found.append({"t": round(n / JOBS_A_SECOND, 3), "kind": kind, "key": session, "value": value})
    return found


def as_ndjson(events: list[dict]) -> str:
    return "".join(json.dumps(event) + "\n" for event in events)
