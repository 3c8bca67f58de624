"""What tests/bench/contrast takes for right: each fault is seen, and only faults are."""
import json

from echoes import answer, faults, job_record, question, turn_faults

EXPECTED = {"j1": answer(1, 0), "j2": answer(2, 1)}


def reply(number, earlier, status="ok"):
    return {"job": f"j{number}", "status": status, "message": {"role": "assistant", "content": answer(number, earlier)}}


def turn(number, earlier, **more):
    return json.dumps({**more, "job": f"j{number}", "messages": [{"role": "user", "content": question(number)}, {"role": "assistant", "content": answer(number, earlier)}]})


def test_one_reply_a_job_with_its_text_is_right():
    assert faults([reply(2, 1), reply(1, 0)], EXPECTED) == {"losses": 0, "duplicates": 0, "wrong": 0}


def test_a_job_without_a_reply_is_lost():
    assert faults([reply(2, 1)], EXPECTED)["losses"] == 1


def test_a_second_reply_and_one_to_no_job_are_one_too_many():
    assert faults([reply(1, 0), reply(2, 1), reply(2, 1)], EXPECTED)["duplicates"] == 1
    assert faults([reply(1, 0), reply(2, 1), reply(3, 0)], EXPECTED)["duplicates"] == 1


def test_an_answer_without_its_history_is_wrong():
    assert faults([reply(1, 0), reply(2, 0)], EXPECTED)["wrong"] == 1


def test_an_error_is_wrong():
    assert faults([reply(1, 0), reply(2, 1, "error")], EXPECTED)["wrong"] == 1


def test_turns_are_right_in_their_order_whatever_else_stands_in_them():
    assert turn_faults([turn(1, 0, xxh3="f"), turn(2, 1)], [1, 2]) == 0


def test_turns_that_are_missing_too_many_or_in_another_order_are_seen():
    assert turn_faults([turn(1, 0)], [1, 2]) == 1
    assert turn_faults([turn(1, 0), turn(2, 1), turn(2, 2)], [1, 2]) == 1
    assert turn_faults([turn(2, 0), turn(1, 1)], [1, 2]) == 2


def test_a_job_is_what_the_worker_reads():
    assert json.loads(job_record(7, "s")) == {"id": "j7", "session": "s", "message": question(7)}
