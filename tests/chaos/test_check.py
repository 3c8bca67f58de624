"""The checker finds each kind of violation, and nothing in a good run; a seed's schedule is always the same."""
import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import check
import pytest
import schedule
import world
from check import Call, Evidence, Fault, Life, Record

START = 1_800_000_000_000  # Unix ms


def stamp(ms):
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def line(ms, event, **fields):
    return f"ts={stamp(ms)} level={fields.pop('level', 'info')} event={event} " + " ".join(f"{k}={v}" for k, v in fields.items()) + "\n"


def job(n, session, partition, offset):
    value = {"id": f"j{n}", "message": f"ZEBU job=j{n}; session={session}; what?", "metadata": {"n": n}} | ({"session": session} if session else {})
    return Record(partition, offset, session, json.dumps(value))


def reply_to(asked, offset, turns_before=0, error=False):
    said = {"job": asked.json["id"], "session": asked.json.get("session"), "status": "error" if error else "ok"}
    if error:
        said["error"] = {"code": "http_400"}
    else:
        said["message"] = {"role": "assistant", "content": f"echo: {asked.json['message']} [messages={2 * turns_before + 1}]"}
    return Record(asked.partition, offset, asked.key, json.dumps(said | {"metadata": asked.json["metadata"]}))


def turn_of(asked, reply):
    return {"job": asked.json["id"], "messages": [{"role": "user", "content": asked.json["message"]}, reply.json["message"]]}


def dead_letter_of(asked, offset):
    return Record(0, offset, asked.key, asked.value, {"__dlq.errors.partition": str(asked.partition), "__dlq.errors.offset": str(asked.offset)})


@pytest.fixture
def run():
    """A good one: session a with j0, j1 (refused), j2, j3; session b with j4; j5 without a session. Worker w0-1 asked all
    but j4, which w1-1 asked; both drained. j2's reply stands twice: that is allowed at least once."""
    jobs = [job(0, "a", 0, 0), job(1, "a", 0, 1), job(2, "a", 0, 2), job(3, "a", 0, 3), job(4, "b", 1, 0), job(5, None, 1, 1)]
    replies = [reply_to(jobs[0], 0), reply_to(jobs[1], 1, error=True), reply_to(jobs[2], 2, 1), reply_to(jobs[3], 3, 2), reply_to(jobs[2], 4, 1),
               reply_to(jobs[4], 0), reply_to(jobs[5], 1)]
    of_job = {r.json["job"]: r for r in replies}
    return Evidence(
        secrets=["ZEBU", "pw-1"], expected={f"j{n}": "error" if n == 1 else "ok" for n in range(6)}, jobs=jobs, replies=replies, dead=[dead_letter_of(jobs[1], 0)],
        histories={"a": [turn_of(jobs[n], of_job[f"j{n}"]) for n in (0, 2, 3)], "b": [turn_of(jobs[4], of_job["j4"])]},
        states={f"j{n}": {"state": "dead" if n == 1 else "ok", "reply": of_job[f"j{n}"].value} for n in range(6)}, committed={0: 4, 1: 2}, ends={0: 4, 1: 2},
        calls=[Call(f"j{n}", "w1-1" if n == 4 else "w0-1", 400 if n == 1 else 200, "answered", START + 10000 * n, START + 10000 * n + 100) for n in range(6)],
        lives=[Life("w0-1", 0, START - 5000, START + 90000, 0, [[START + 89000, "TERM"]]), Life("w1-1", 1, START - 5000, START + 90000, 0, [[START + 89000, "TERM"]])],
        logs={"w0-1": line(START - 4000, "worker_started"), "w1-1": line(START - 4000, "worker_started")})


def kinds(evidence):
    return {kind for kind, *_ in check.judge(evidence).violations}


def test_a_good_run_has_no_violation(run):
    report = check.judge(run)
    assert report.violations == [] and report.paid_twice == []
    assert {key: report.totals[key] for key in ("jobs", "answered_ok", "answered_error", "replies", "duplicates", "dead_letters", "calls", "answers_paid")} == {
        "jobs": 6, "answered_ok": 5, "answered_error": 1, "replies": 7, "duplicates": 1, "dead_letters": 1, "calls": 6, "answers_paid": 5}


def changed(record, **members):
    return replace(record, value=json.dumps(record.json | members))


CASES = {}  # name: (kind that must be found, what is done to a good run)


def case(kind):
    def note(harm):
        CASES[harm.__name__] = (kind, harm)
        return harm
    return note


@case("unanswered")
def a_job_without_a_reply(run):
    run.replies = [r for r in run.replies if r.json["job"] != "j4"]


@case("answered_twice")
def two_visible_replies_in_exactly_once(run):
    run.delivery = "exactly-once"


@case("dead_letter_twice")
def two_visible_dead_letters_in_exactly_once(run):
    run.delivery, run.dead = "exactly-once", run.dead * 2


@case("replies_differ")
def a_repeated_reply_in_other_words(run):
    run.replies[4] = changed(run.replies[4], attempts=7)


@case("reply_to_nobody")
def a_reply_to_a_job_that_wasn_t_sent(run):
    run.replies.append(changed(run.replies[0], job="j77"))


@case("wrong_answer")
def another_job_s_answer(run):
    run.replies[5] = changed(run.replies[5], message=run.replies[0].json["message"])


@case("wrong_session")
def a_reply_under_another_key(run):
    run.replies[5].key = "a"


@case("wrong_session")
def a_reply_that_names_another_session(run):
    run.replies[5] = changed(run.replies[5], session="a")


@case("wrong_metadata")
def metadata_of_another(run):
    run.replies[5] = changed(run.replies[5], metadata={"n": 0})


@case("unexpected_end")
def an_error_where_an_answer_was_due(run):
    run.expected["j1"] = "ok"


@case("unexpected_end")
def an_answer_where_an_error_was_due(run):
    run.expected["j0"] = "error"


@case("no_dead_letter")
def an_error_without_its_dead_letter(run):
    run.dead = []


@case("dead_letter_of_nobody")
def a_dead_letter_from_elsewhere(run):
    run.dead[0].headers["__dlq.errors.offset"] = "99"


@case("dead_letter_differs")
def a_dead_letter_with_another_value(run):
    run.dead[0] = changed(run.dead[0], message="?")


@case("dead_letter_of_an_answered_job")
def a_dead_letter_of_a_job_answered_ok(run):
    run.dead.append(dead_letter_of(run.jobs[0], 1))


@case("turn_twice")
def a_turn_twice(run):
    run.histories["a"].append(run.histories["a"][2])


@case("turn_missing")
def a_turn_missing(run):
    del run.histories["a"][1]


@case("turn_missing")
def a_history_missing(run):
    del run.histories["b"]


@case("turn_of_nobody")
def a_turn_of_a_failed_job(run):
    run.histories["a"].insert(1, {"job": "j1", "messages": []})


@case("turn_of_nobody")
def a_turn_in_another_session(run):
    run.histories["b"].append(run.histories["a"][0])


@case("history_order")
def turns_in_another_order(run):
    run.histories["a"][1:] = run.histories["a"][:0:-1]


@case("turn_differs")
def a_turn_with_another_answer(run):
    run.histories["a"][1]["messages"][1] = {"role": "assistant", "content": "no"}


@case("prompt_wrong")
def an_answer_that_didn_t_see_the_turn_before(run):
    content = run.replies[3].json["message"]["content"].replace("[messages=5]", "[messages=3]")
    run.replies[3] = changed(run.replies[3], message={"role": "assistant", "content": content})


@case("order_broken")
def a_session_s_replies_in_another_order(run):
    run.replies[2:4] = [replace(run.replies[3], offset=2), replace(run.replies[2], offset=3)]


@case("state_differs")
def a_claim_that_never_ended(run):
    run.states["j4"] = {"state": "run"}


@case("state_differs")
def a_record_that_is_gone(run):
    del run.states["j4"]


@case("stored_reply_differs")
def a_stored_reply_that_isn_t_the_published(run):
    run.states["j4"]["reply"] = "{}"


@case("not_committed")
def a_commit_that_lags(run):
    run.committed[1] = 1


@case("commit_went_back")
def a_commit_below_an_earlier_one(run):
    run.commits += [(0, 2, START + 1000), (1, 1, START + 1000), (0, 1, START + 2000)]


@case("call_for_nobody")
def a_call_with_no_job_in_it(run):
    run.calls[4].job = None
    run.calls.append(Call("j4", "w1-1", 200, "answered", START + 40000, START + 40100))


@case("answer_from_nowhere")
def an_answer_that_was_never_given(run):
    run.calls[4].end = "aborted"


@case("paid_twice")
def paid_twice_without_a_cause(run):
    run.calls.append(Call("j4", "w0-1", 200, "answered", START + 50000, START + 50100))


@case("paid_twice")
def paid_twice_though_the_kill_came_much_later(run):
    run.calls.append(Call("j4", "w0-1", 200, "answered", START + 60000, START + 60100))
    end_life(run, "w1-1", START + 55000, -9, "KILL")


@case("paid_twice")
def paid_twice_though_the_cut_was_another_worker_s(run):
    run.calls.append(Call("j4", "w1-1", 200, "answered", START + 40500, START + 40600))
    run.faults.append(Fault("llm_cut", START + 40050, START + 40400, 0))


@case("paid_twice")
def paid_twice_though_the_answer_had_arrived_before_the_cut(run):
    run.calls.append(Call("j4", "w1-1", 200, "answered", START + 40500, START + 40600))
    run.faults.append(Fault("llm_cut", START + 40150, START + 40400, 1))
    run.logs["w1-1"] += line(START + 40120, "reply_enqueued", job="j4", partition=1)


@case("paid_twice")
def paid_twice_though_redis_was_away_less_than_the_lease(run):
    run.calls.append(Call("j4", "w0-1", 200, "answered", START + 44000, START + 44100))
    run.faults.append(Fault("redis_cut", START + 40050, START + 40550, 1))
    run.logs["w1-1"] += line(START + 44500, "claim_lost", job="j4", partition=1)


@case("paid_twice")
def paid_twice_though_it_said_nothing_of_a_lost_claim(run):
    run.calls.append(Call("j4", "w0-1", 200, "answered", START + 44000, START + 44100))
    run.faults.append(Fault("redis_cut", START + 40050, START + 43550, 1))


@case("paid_twice")
def paid_twice_though_redis_was_back_before_it_ended(run):
    run.calls.append(Call("j4", "w0-1", 200, "answered", START + 44000, START + 44100))
    run.faults.append(Fault("redis_silent", START + 40050, START + 43550, 1))
    end_life(run, "w1-1", START + 44400, -9, "KILL")


@case("paid_twice")
def paid_twice_though_the_stall_was_over_long_before(run):
    run.calls.append(Call("j4", "w0-1", 200, "answered", START + 46000, START + 46100))
    run.lives[0].signals[:0] = [[START + 34000, "STOP"], [START + 41950, "CONT"]]


@case("paid_twice")
def paid_twice_though_the_drain_was_clean(run):
    run.calls.append(Call("j4", "w0-1", 200, "answered", START + 50000, START + 50100))
    end_life(run, "w1-1", START + 40300, 0, "TERM")


@case("paid_twice")
def paid_twice_though_the_drain_ran_out_long_after(run):
    run.calls.append(Call("j4", "w0-1", 200, "answered", START + 50000, START + 50100))
    end_life(run, "w1-1", START + 48000, 0, "TERM")
    run.logs["w1-1"] += line(START + 47000, "drain_ran_out", level="warn", cut_short=1)


@case("asked_side_by_side")
def two_workers_ask_at_once(run):
    run.calls[4] = Call("j4", "w1-1", 200, "aborted", START + 40000, START + 42000)
    run.calls.append(Call("j4", "w0-1", 200, "answered", START + 41000, START + 41100))


@case("worker_ended")
def a_crash(run):
    run.lives[0].status = -11


@case("worker_ended")
def a_kill_that_the_run_didn_t_send(run):
    run.lives[0].status = -9


@case("worker_ended")
def an_end_without_being_told(run):
    run.lives[0].signals = []


@case("worker_ended")
def an_end_at_once_after_one_term(run):
    run.lives[0].status = 75


@case("worker_ended")
def a_failed_start_after_it_had_started(run):
    run.lives[0].status = 69


@case("worker_ended")
def fenced_though_nothing_happened_to_kafka(run):
    run.lives[0].status, run.lives[0].signals = 78, []
    run.logs["w0-1"] += line(START, "intake_failed", level="error", code="FENCED_INSTANCE_ID")


@case("worker_ended")
def transactions_that_failed_though_nothing_happened(run):
    run.lives[0].status, run.lives[0].signals = 75, []
    run.logs["w0-1"] += line(START, "transactions_failed", level="error", code="_FENCED")


@case("worker_ended")
def transactions_that_failed_though_another_s_was_rolled_back(run):
    transactions_that_failed_though_nothing_happened(run)
    run.logs["w0-1"] += line(START, "transactions_ready", transactional_id="own")
    run.rolled_back = [["another", (run.lives[0].ended_ms - 5000) % check.DAY_MS], ["own", (run.lives[0].ended_ms - 60000) % check.DAY_MS]]


@case("worker_ended")
def a_producer_that_lost_count_though_nothing_happened_to_kafka(run):
    run.lives[0].status, run.lives[0].signals = 75, []
    run.logs["w0-1"] += "chat-worker: the Kafka producer has failed for good (OUT_OF_ORDER_SEQUENCE_NUMBER: …)\n"


@case("worker_ended")
def transactions_that_are_stuck_though_nothing_happened_to_kafka(run):
    run.lives[0].status, run.lives[0].signals = 75, []
    run.logs["w0-1"] += line(START, "transactions_failed", level="error", code="transactions_stuck")


@case("error_logged")
def a_stuck_thread_though_nothing_happened_to_kafka(run):
    run.logs["w0-1"] += line(START, "thread_stuck", level="error", thread="chat-txn")


@case("worker_ended")
def an_end_that_was_overdue_by_itself(run):
    run.lives[0].status = 75
    run.logs["w0-1"] += "event=end_overdue\n"


@case("worker_ended")
def a_completion_that_was_left_though_nobody_stopped_the_worker(run):
    run.lives[0].status = 75
    run.logs["w0-1"] += line(START, "completion_left", level="warn")


@case("worker_lives_on")
def a_worker_that_doesn_t_end(run):
    run.lives[0].status = run.lives[0].ended_ms = None


@case("said_in_the_log")
def message_text_in_a_log(run):
    run.logs["w0-1"] += line(START, "oops", text="ZEBU")


@case("said_in_the_log")
def a_password_in_a_log(run):
    run.logs["w0-1"] += line(START, "oops", url="redis://:pw-1@127.0.0.1")


@case("sanitizer")
def a_sanitizer_s_word(run):
    run.logs["w0-1"] += "==1==ERROR: AddressSanitizer: heap-use-after-free on address\n"


@case("error_logged")
def an_error_in_a_log(run):
    run.logs["w0-1"] += line(START, "publish_refused", level="error", job="j0")


@case("harness")
def a_job_sent_twice(run):
    run.jobs.append(replace(run.jobs[4], offset=2))
    run.ends[1] = run.committed[1] = 3


@case("harness")
def a_job_not_sent(run):
    run.expected["j9"] = "ok"


@case("harness")
def a_call_of_an_unknown_worker(run):
    run.calls[4].user = "w9-9"


@case("lag_stays")
def what_the_run_found_itself(run):
    run.harness.append(["lag_stays", "chaos.jobs", "3 records"])


@case("transaction_left_open")
def a_transaction_that_nobody_ended(run):
    run.left_open.append(["chaos.replies", 1, 2, "the log ends at 4"])


@pytest.mark.parametrize("name", CASES)
def test_it_is_found(run, name):
    kind, harm = CASES[name]
    harm(run)
    assert kind in kinds(run)


def test_of_an_empty_partition_nothing_need_be_committed(run):
    run.ends[2], run.committed[2] = 0, -1001
    assert kinds(run) == set()


def test_each_kind_has_its_case():
    written = set(re.findall(r'report\.add\("(\w+)"', Path(check.__file__).read_text()))
    assert written <= {kind for kind, _ in CASES.values()}


SKIPPED = ("12:00:01.000 [data-plane] INFO kafka.coordinator.transaction.TransactionMarkerChannelManager - [Transaction Marker Channel Manager 1]: "
           "Couldn't find leader endpoint for partitions Set(chaos.replies-1, __consumer_offsets-2) while trying to send transaction markers for chaos-1, "
           "these partitions are likely deleted already and hence can be skipped")


def test_the_partitions_that_the_broker_left_out_are_read_from_its_log():
    assert check.skipped_in(f"12:00:00.000 INFO something else\n{SKIPPED}\n") == [["chaos.replies", 1, SKIPPED], ["__consumer_offsets", 2, SKIPPED]]
    assert len(check.skipped_in(SKIPPED.replace("Set(", "ListBuffer("))) == 2, "as Scala may name it, too"


@pytest.mark.parametrize("harm, skipped, blamed", [
    (a_transaction_that_nobody_ended, ["chaos.replies", 1], True), (a_transaction_that_nobody_ended, ["chaos.replies", 0], False),
    (a_transaction_that_nobody_ended, ["chaos.dead", 1], False), (a_job_without_a_reply, ["chaos.replies", 1], True),
    (a_job_without_a_reply, ["chaos.replies", 0], False), (a_job_without_a_reply, ["__consumer_offsets", 1], False),
    (a_commit_that_lags, ["__consumer_offsets", 3], True), (a_commit_that_lags, ["chaos.replies", 1], False),
    (what_the_run_found_itself, ["__consumer_offsets", 0], True), (a_reply_that_names_another_session, ["chaos.replies", 1], False),
    (a_password_in_a_log, ["chaos.replies", 1], False)])
def test_whose_fault_it_was_is_the_broker_s_where_it_left_that_partition_out_and_it_fails_all_the_same(run, harm, skipped, blamed):
    harm(run)
    run.places = {"j4": [["chaos.replies", 1]], "j5": [["chaos.replies", 1]]}
    run.skipped = [[*skipped, SKIPPED]]
    report = check.judge(run)
    assert report.violations and {kind for kind, *_ in report.of_the_broker} == ({kind for kind, *_ in report.violations} if blamed else set())


def test_a_violation_of_the_broker_s_fails_and_is_named(run, capsys):
    a_transaction_that_nobody_ended(run)
    run.skipped = check.skipped_in(SKIPPED)
    assert check.say(check.judge(run)) is False
    said = capsys.readouterr().out
    assert "OF THE BROKER (KAFKA-20734) transaction_left_open: chaos.replies 1: " in said and said.splitlines()[-1].startswith("FAIL 1 violations, 0 of them not by KAFKA-20734")


def test_one_whose_transaction_the_coordinator_rolled_back_may_fail(run):
    transactions_that_failed_though_another_s_was_rolled_back(run)
    run.rolled_back.append(["own", (run.lives[0].ended_ms - 5000) % check.DAY_MS])
    assert kinds(run) == set()


def test_a_producer_may_lose_count_while_its_broker_goes_and_comes(run):
    a_producer_that_lost_count_though_nothing_happened_to_kafka(run)
    run.faults.append(Fault("broker_kill", run.lives[0].ended_ms - 9000, run.lives[0].ended_ms - 5000, None))
    assert kinds(run) == set()


def test_a_worker_whose_client_waits_for_a_coordinator_that_went_ends(run):
    transactions_that_are_stuck_though_nothing_happened_to_kafka(run)
    a_stuck_thread_though_nothing_happened_to_kafka(run)
    run.faults.append(Fault("broker_term", run.lives[0].ended_ms - 99000, run.lives[0].ended_ms - 95000, None))
    assert kinds(run) == set()


@pytest.mark.parametrize(("event", "level"), [("end_overdue", "error"), ("completion_left", "warn")])
def test_whoever_was_stopped_while_it_had_to_end_is_late(run, event, level):
    life = run.lives[0]
    term = next(at for at, name in life.signals if name == "TERM")
    life.status, life.ended_ms = 75, term + 9000
    life.signals = [[term, "TERM"], [term + 100, "STOP"], [term + 8900, "CONT"]]
    run.logs["w0-1"] += line(START, event, level=level)
    assert "worker_ended" not in kinds(run) and "error_logged" not in kinds(run)


def test_of_the_coordinator_s_log_the_time_outs_are_read():
    log = """12:00:00.001 [x] INFO kafka.coordinator.transaction.TransactionCoordinator - [TransactionCoordinator id=1] Completed rollback of ongoing transaction for transactionalId chaos.w due to timeout
12:00:00.002 [x] INFO kafka.coordinator.transaction.TransactionCoordinator - [TransactionCoordinator id=1] Initialized transactionalId chaos.w
"""
    assert check.rolled_back_in(log) == [["chaos.w", 12 * 3600 * 1000 + 1]]


def test_a_static_member_may_be_fenced_by_what_it_had_sent_before(run):
    fenced_though_nothing_happened_to_kafka(run)
    run.faults.append(Fault("kafka_stall_some", run.lives[0].ended_ms - 9000, run.lives[0].ended_ms - 6000))
    assert kinds(run) == set()


def test_transactions_may_fail_for_one_that_was_cut_off(run):
    transactions_that_failed_though_nothing_happened(run)
    run.faults.append(Fault("kafka_stall", run.lives[0].ended_ms - 20000, run.lives[0].ended_ms - 8000))
    assert kinds(run) == set()


def test_transactions_may_fail_for_one_that_was_stopped(run):
    transactions_that_failed_though_nothing_happened(run)
    run.lives[0].signals = [[run.lives[0].ended_ms - 12000, "STOP"], [run.lives[0].ended_ms - 1000, "CONT"]]
    assert kinds(run) == set()


# ---- what was paid twice, and rightly so ----

def end_life(run, name, ms, status, *signals):
    life = next(life for life in run.lives if life.name == name)
    life.ended_ms, life.status, life.signals = ms, status, [[ms, signal] for signal in signals]


def asked_again(run, ms, user="w0-1"):
    """j4, answered to w1-1 at 40100, is asked a second time."""
    run.calls.append(Call("j4", user, 200, "answered", START + ms, START + ms + 100))


def a_kill(run):
    asked_again(run, 44000)
    end_life(run, "w1-1", START + 40110, -9, "KILL")


def a_kill_while_redis_is_away(run):
    asked_again(run, 48000)
    run.faults.append(Fault("redis_kill", START + 39900, START + 44000))
    end_life(run, "w1-1", START + 43000, -9, "KILL")


def a_second_term(run):
    asked_again(run, 44000)
    end_life(run, "w1-1", START + 40110, 75, "TERM", "TERM")


def a_drain_that_ran_out(run):
    asked_again(run, 44000)
    end_life(run, "w1-1", START + 40110, 0, "TERM")
    run.logs["w1-1"] += line(START + 40090, "drain_ran_out", level="warn", cut_short=1)


def a_drain_that_ran_out_before_a_long_end(run):
    asked_again(run, 44000)
    end_life(run, "w1-1", START + 46000, 75, "TERM")
    run.logs["w1-1"] += line(START + 40090, "drain_ran_out", level="warn", cut_short=1)
    run.logs["w1-1"] += line(START + 40200, "transactions_failed", level="error", code="transactions_stuck", error="x")
    run.faults.append(Fault("broker_kill", START + 39000, START + 39500, "kafka"))


def a_stop(run):
    asked_again(run, 48000)
    run.lives[1].signals[:0] = [[START + 40050, "STOP"], [START + 48500, "CONT"]]


def a_stop_before_asking(run):
    asked_again(run, 42000)
    run.lives[0].signals[:0] = [[START + 34000, "STOP"], [START + 41950, "CONT"]]


def a_cut(run):
    asked_again(run, 40500, "w1-1")
    run.faults.append(Fault("llm_reset", START + 40050, START + 40400, "all"))


def a_time_out_that_a_stall_used_up(run):
    asked_again(run, 40500, "w1-1")
    run.faults.append(Fault("llm_stall", START + 36500, START + 39700, "all"))
    run.logs["w1-1"] += line(START + 40150, "job_retry", job="j4", code="timeout", error='"provider main: no answer within 4000 ms"')


def redis_away(run):
    asked_again(run, 44000)
    run.faults.append(Fault("redis_stall", START + 40050, START + 43550, 1))
    run.logs["w1-1"] += line(START + 44500, "claim_lost", job="j4", partition=1)


def redis_away_then_a_stop(run):
    asked_again(run, 47000)
    run.faults.append(Fault("redis_silent", START + 39950, START + 43000, 1))
    life = next(life for life in run.lives if life.name == "w1-1")
    life.signals = sorted([*life.signals, [START + 42500, "STOP"], [START + 48000, "CONT"]])


def redis_away_for_longer_than_the_next_one_waits(run):
    asked_again(run, 44000)
    run.faults.append(Fault("redis_silent", START + 40050, START + 46500, 1))
    run.logs["w1-1"] += line(START + 46700, "claim_lost", job="j4", partition=1)


def redis_away_until_its_end(run):
    asked_again(run, 44000)
    run.faults.append(Fault("redis_silent", START + 40050, START + 46000, 1))
    end_life(run, "w1-1", START + 44400, -9, "KILL")


@pytest.mark.parametrize("harm, cause", [
    (a_kill, "killed between answer and finish"), (a_kill_while_redis_is_away, "killed while Redis was away"),
    (a_second_term, "ended at once by a second TERM between answer and finish"), (a_drain_that_ran_out, "drain ran out between answer and finish"),
    (a_drain_that_ran_out_before_a_long_end, "drain ran out between answer and finish"),
    (a_stop, "stalled beyond the lease"), (a_stop_before_asking, "stalled beyond the lease"), (a_cut, "connection cut while answering"),
    (a_time_out_that_a_stall_used_up, "connection cut while answering"), (redis_away, "Redis away beyond the lease"),
    (redis_away_for_longer_than_the_next_one_waits, "Redis away beyond the lease"), (redis_away_until_its_end, "Redis away beyond the lease"), (redis_away_then_a_stop, "Redis away, then stalled")])
def test_what_is_paid_twice_has_its_cause(run, harm, cause):
    harm(run)
    report = check.judge(run)
    assert report.violations == [] and [(job, why) for job, why, _ in report.paid_twice] == [("j4", cause)]


def test_a_commit_is_read_as_kafka_writes_it():
    key = b"\0\1" + b"\0\5chaos" + b"\0\4jobs" + b"\0\0\0\3"
    value = b"\0\3" + (77).to_bytes(8, "big") + b"\xff\xff\xff\xff" + b"\0\2ab" + START.to_bytes(8, "big")
    assert check.commit_of(key, value, "chaos", "jobs") == {"partition": 3, "offset": 77, "at_ms": START}
    fourth = b"\0\4" + value[2:14] + b"\xad\x02" + b"a" * 300 + START.to_bytes(8, "big") + b"\0"
    assert check.commit_of(key, fourth, "chaos", "jobs") == {"partition": 3, "offset": 77, "at_ms": START}
    assert check.commit_of(key, value, "others", "jobs") is check.commit_of(key, None, "chaos", "jobs") is None
    assert check.commit_of(b"\0\2\0\5chaos", b"\0\0", "chaos", "jobs") is None, "a group's own record"


# ---- the schedule ----

def test_a_seed_is_played_again_by_its_number():
    assert schedule.faults(3, 1.5) == schedule.faults(3, 1.5) != schedule.faults(4, 1.5)
    assert schedule.jobs(3, 0.5) == schedule.jobs(3, 0.5) != schedule.jobs(4, 0.5)


EVERY_FAULT = schedule.FAULTS | schedule.OF_COORDINATORS


@pytest.mark.parametrize("seed", range(20))
def test_a_schedule_breaks_no_thing_twice_at_once_and_ends_in_time(seed):
    faults = schedule.faults(seed, 1.5)
    assert [f["t"] for f in faults] == sorted(f["t"] for f in faults) and faults[-1]["t"] < 90
    assert len(faults) >= 28 and len({f["do"] for f in faults}) >= 18
    until = {}
    for fault in faults:
        place = (EVERY_FAULT[fault["do"]][3], fault["slot"] if fault["do"].endswith("worker") else None)
        assert until.get(place, 0) <= fault["t"], fault
        until[place] = fault["t"] + fault["for_s"]
        assert fault.get("node", 1) <= schedule.shape(seed)["nodes"]
    assert schedule.shape(seed)["nodes"] == 3 or not schedule.OF_COORDINATORS.keys() & {f["do"] for f in faults}


def test_seeds_in_a_row_play_every_fault_on_every_shape():
    assert {fault["do"] for seed in range(20) for fault in schedule.faults(seed, 1.5)} == set(EVERY_FAULT)
    for first in range(1, 20):
        shapes = [schedule.shape(seed) for seed in range(first, first + 5)]
        assert {shape["nodes"] for shape in shapes} == {1, 3} and {shape["partitions"] for shape in shapes} == {6, 200} and {shape["limited"] for shape in shapes} == {0, 0.05}


def test_a_silent_peer_is_silent_for_longer_than_what_waits_for_it():
    for fault, longer_s in (("kafka_silent", world.SESSION_TIMEOUT_MS / 1000), ("kafka_group_silent", 0), ("redis_silent", world.LEASE_MS / 1000), ("llm_silent", 4)):
        _, shortest, longest, _ = EVERY_FAULT[fault]
        assert longer_s < shortest < longest


def test_the_first_session_has_about_a_tenth_of_the_jobs():
    keys = [job["key"] for job in schedule.jobs(1, 1.5)]
    assert 0.07 < keys.count("s0") / len(keys) < 0.14 and len(set(keys)) > 150


def test_what_is_being_restarted_isn_t_restarted_by_another_fault(tmp_path):
    """Two of one broker would write into one folder."""
    class Part:
        name, started = "kafka", 0

        @property
        def process(self):
            return self

        def poll(self):
            return None if self.started else -9

        def signal(self, number):
            pass

        def again(self):
            self.started += 1

    part, its_world, back = Part(), world.World(tmp_path, "at-least-once", {}, 1), []
    first = its_world._restart(part, 9, {"for_s": 1}, lambda: back)
    next(first)  # it is away for a second
    with pytest.raises(StopIteration) as other:
        next(its_world._restart(part, 15, {"for_s": 1}, lambda: back))
    assert other.value.value == world.SKIPPED
    next(first)  # it comes back
    back.append(True)
    with pytest.raises(StopIteration):
        next(first)
    assert part.started == 1
    next(its_world._restart(part, 15, {"for_s": 1}, lambda: back))
