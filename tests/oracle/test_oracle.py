"""The official `openai` Python client reads the same bytes as the worker: transcripts/*.http, and mutations of them by a seed.

CHAT_ORACLE_SEED, CHAT_ORACLE_COUNT: other mutations, more of them. What a failure prints of a mutation is what a transcript needs to be
added to the corpus. Which differences are accepted, and why: differences.toml."""
import json
import os
import random

import pytest
from compare import FIELDS, accepted, differences, promised, stale, unlisted
from kinds import Case, says_done
from mutate import mutated
from player import Player
from readings import MODES, ByWorker, by_client
from transcript import corpus

SEED, COUNT = int(os.environ.get("CHAT_ORACLE_SEED", "1")), int(os.environ.get("CHAT_ORACLE_COUNT", "400"))
CORPUS = corpus()


@pytest.fixture(scope="session")
def player(stage):
    return stage._add(Player(SEED))


@pytest.fixture(scope="session")
def worker(stage, player):
    return ByWorker(stage, player)


@pytest.fixture(scope="session")
def cases(player, worker) -> list[Case]:
    """Each transcript as the client reads it, and as the worker does, with deltas wanted and without."""
    player.add(CORPUS)
    client, read = by_client(player, CORPUS), worker.read([(t, mode) for t in CORPUS for mode in MODES])
    return [Case(t, mode, client[t.name], read[t.name, mode]) for t in CORPUS for mode in MODES]


def show(case: Case, found: dict) -> str:
    lines = [f"{field}: the client says {client!r}, the worker {worker!r}" for field, (client, worker) in found.items()]
    return "\n".join([case.transcript.shown(), f"job with{'' if MODES[case.mode] else 'out'} deltas", *lines])


def test_the_corpus_is_large_and_of_both_forms():
    streams = sum(t.stream for t in CORPUS)
    assert len(CORPUS) >= 150 and streams >= 60 and sum(t.status >= 400 for t in CORPUS) >= 25 and len(CORPUS) - streams >= 60


@pytest.mark.parametrize("name", [t.name for t in CORPUS])
def test_the_worker_reads_what_the_official_client_reads(cases, name):
    rules = accepted()
    for case in (case for case in cases if case.transcript.name == name):
        found = unlisted(case, differences(case.client, case.worker), rules, by_name=True)
        assert not found, show(case, found)


def test_all_differences_that_are_listed_are_there(cases):
    seen: dict[str, set[str]] = {}
    for case in cases:
        seen.setdefault(case.transcript.name, set()).update(differences(case.client, case.worker))
    gone = stale(accepted(), seen, {t.name for t in CORPUS})
    assert not gone, "\n".join(gone)


def test_a_refusal_is_one_for_both(cases):
    refusals = [case for case in cases if case.transcript.status >= 400]
    assert all("refused" in case.client and "refused" in case.worker for case in refusals) and refusals


def test_the_deltas_are_the_text(cases, worker):
    answered = {f"{case.transcript.name}@asked": case.worker["content"] for case in cases
                if case.mode == "asked" and isinstance(case.worker.get("content"), str) and case.worker["content"]}
    texts = worker.texts(set(answered))
    assert len(answered) > 50 and {name: texts[name] for name in answered} == answered


@pytest.fixture(scope="session")
def changed(player, worker) -> list[Case]:
    """Mutations, each in one mode."""
    draw = random.Random(SEED)
    made = [(mutated(draw.choice(CORPUS), number, draw), draw.choice(list(MODES))) for number in range(COUNT)]
    player.add(t for t, _ in made)
    client, read = by_client(player, [t for t, _ in made]), worker.read(made)
    return [Case(t, mode, client[t.name], read[t.name, mode]) for t, mode in made]


def test_mutations_are_read_alike(changed):
    rules = accepted()
    found = [(case, unlisted(case, promised(case.client, case.worker), rules, by_name=False)) for case in changed]
    told = [show(case, differing) for case, differing in found if differing]
    taken = sum("refused" not in case.client for case in changed)
    assert taken > COUNT // 4, f"the client takes {taken} of {COUNT}: these mutations show little"
    assert not told, f"CHAT_ORACLE_SEED={SEED} CHAT_ORACLE_COUNT={COUNT}: {len(told)} of {COUNT} mutations are read otherwise\n\n" + "\n\n".join(told[:10])


def test_what_is_cut_is_no_answer(cases, changed):
    """Unless a stream had said by [DONE] that it is whole."""
    cut = [case for case in (*cases, *changed) if case.transcript.cut and not (case.transcript.stream and says_done(case.transcript))]
    taken = [show(case, {}) for case in cut if "refused" not in case.worker]
    assert len(cut) > 5 and not taken, "\n\n".join(taken)


# ---- the judge ----

ANSWER = {"by": "whole", "typed": True, "content": "A", "refusal": None, "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "{}"}}], "function_call": None,
          "finish_reason": "stop", "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}, "others": {"x": 1}}
OTHERWISE = {"content": "B", "refusal": "no", "tool_calls": [], "function_call": {"name": "f"}, "finish_reason": "length", "others": {}, "usage": {"prompt_tokens": 1}}


@pytest.mark.parametrize("field", [field for field in FIELDS if field != "accepted"])
def test_the_judge_sees_each_field(field):
    assert differences(ANSWER, json.loads(json.dumps(ANSWER))) == {}
    assert list(differences(ANSWER, {**ANSWER, field: OTHERWISE[field]})) == [field]
    assert bool(promised(ANSWER, {**ANSWER, field: OTHERWISE[field]})) == (field != "others")


def test_the_judge_sees_who_refuses():
    refused = {"refused": "no"}
    assert list(differences(ANSWER, refused)) == list(differences(refused, ANSWER)) == list(promised(ANSWER, refused)) == ["accepted"]
    assert differences(refused, refused) == promised(refused, ANSWER) == {}


def test_a_list_that_is_out_of_date_is_told():
    (rule, *_) = rules = accepted()
    case = Case(CORPUS[0], "asked", ANSWER, {"refused": "no"})
    assert unlisted(case, {"accepted": ("taken", "no")}, [], by_name=True)
    assert stale(rules, {}, set()) and len(stale([rule], {}, {t.name for t in CORPUS})) == len(rule.transcripts) + len(rule.fields)
    assert stale([rule], {name: set(rule.fields) for name in rule.transcripts}, set()) == []
