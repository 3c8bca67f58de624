"""docs/jobs.md says all there is to say, and nothing that isn't so: its tables against the sources and against what a worker sends and
takes. That its examples run: tests/integration/test_jobs_examples.py."""
import json
import re

import jobs_page
import pytest
from jobs_page import SOURCES, names, rows
from parts import Topics, wait_until

CODE_TABLES = ["The job's own", "Time, rates and outages", "The operator's"]

# What a call doesn't tell by itself: passed on from another call, a function's own argument, or librdkafka's name of its error.
PASSED_ON = {"why->code", "err.code", "fold->why.code", "(code)", "code", "const char *code", "by_kind[sign->kind].code", "refusal->code"}
LIBRDKAFKA = re.compile(r"rd_kafka_\w+\(.*\)")

# Codes that no reply and no dead letter can hold, and where they are seen.
ELSEWHERE = {
    "at the start": "stopped file_limit admin_listen admin_port_file thread_start crash_file trace_file redis_url redis_check redis_version redis_command ca_file curl_failed bad_proxy bad_api_key "
                    "kafka_conf kafka_property kafka_embedded kafka_refused kafka_unreachable topic_missing topic_forbidden intake_start transactions_unavailable transactions_refused settings "
                    "no_embedded_cluster folder_not_private embedded_address",
    "of a job that goes on": "revoked claim_busy suspect claim_ran_out in_flight_limit too_slow",
    "of what is committed": "no_member another_member completed_set_full closing foreign damaged beyond_log",
    "of a control record": "too_large",
    "of a process that ends": "transactions_stuck",
}


def codes_of_the_sources():
    known, other = jobs_page.codes()
    refusal = SOURCES["worker/llm/refusal.c"]
    known |= set(jobs_page.DEFINED.values()) | set(re.findall(r'\bcode = "(\w+)"', refusal)) | set(re.findall(r'case FAILURE_\w+: return "(\w+)"', refusal))
    return known, sorted(f"{path}: {argument}" for path, argument in other if argument not in PASSED_ON and not LIBRDKAFKA.fullmatch(argument))


def test_every_error_code_is_there_and_no_other():
    known, unclear = codes_of_the_sources()
    assert unclear == [], "calls whose code this test can't read"
    elsewhere = {code for words in ELSEWHERE.values() for code in words.split()}
    page = [name for table in CODE_TABLES for name in names(table)]
    assert sorted(page) == sorted(set(page)), "one is there twice"
    assert set(page) & elsewhere == set()
    assert known - set(page) - elsewhere == set(), "codes of the sources that the page doesn't have"
    assert (set(page) | elsewhere) - known == set(), "codes that the sources don't have"


def test_every_member_of_a_job_is_there():
    (found,) = re.findall(r"job_names\[JOB_NAMES(?: \+ 1)?\] = \{([^}]*)\}", SOURCES["worker/wire/job_names.c"])
    assert names("A job") == [name for name in names("A job") if f'"{name}"' in found] and set(names("A job")) == set(re.findall(r'"(\w+)"', found))


def written(path):
    """The paths of the members that a file writes, by the order of its calls: an object's name stands before its members."""
    found, within = set(), []
    for call, name in re.findall(r'\b(json_write_\w+|write_count|write_text)\([^,;]*(?:, (NULL|"\w+"))?', SOURCES[path]):
        if call == "json_write_open":
            within = within + [name.strip('"')] if name not in ("", "NULL") else []
        elif call == "json_write_close":
            within = within[:-1]
        if name not in ("", "NULL"):
            found.add(".".join(within if call == "json_write_open" else [*within, name.strip('"')]))
    return found


def test_every_member_of_a_reply_is_there():
    assert set(names("A reply")) == written("worker/wire/reply.c")


def test_every_member_of_a_delta_is_there():
    assert set(names("A delta")) == written("worker/wire/delta.c")


def test_every_member_of_a_control_record_is_there():
    found = re.findall(r'json_(?:object_get|view_member)\([^"]*"(\w+)"\)', SOURCES["worker/wire/control.c"])
    assert set(names("Cancelling")) == set(found)


def test_every_header_is_there():
    topics = {"chat.jobs", "chat.replies", "chat.dead", "chat.control", "chat.deltas", "chat.reply"}
    pattern = r'"(kafka_(?:reply|correlation)\w*|chat\.[a-z.]+|__dlq\.[a-z.]+|ce_\w+|traceparent|tracestate|content-type)"'
    of_records = [path for path in SOURCES if path.startswith(("worker/wire/", "worker/completion/", "worker/intake/", "producer/"))]
    found = {name for path in of_records for name in re.findall(pattern, SOURCES[path])} - topics
    dead_letter = set(re.findall(pattern, SOURCES["worker/wire/dead_letter.c"]))
    assert set(names("A dead letter")) == dead_letter
    assert set(names("Headers")) | dead_letter == found
    assert len(re.findall(r"headers_find\(&record->headers, copied\[i\]\)", SOURCES["worker/wire/reply_route.c"])) == 1


def test_every_topic_is_there():
    defaults = re.findall(r'"worker", "(?:jobs|replies|dead|control|deltas)_topic", IN\([^)]*\), "([\w.]+)"', SOURCES["worker/settings/settings_table.c"])
    assert sorted(names("Topics")) == sorted(defaults)


def test_the_headers_of_the_sources_point_at_it():
    for path in ("job", "reply", "delta", "control", "dead_letter", "reply_route"):
        (section,) = re.findall(r'docs/jobs\.md,\s+(?:\* )?"([^"]+)"', SOURCES[f"worker/wire/{path}.h"])
        assert section in jobs_page.SECTIONS


# ---- limits ----

def number_of(what):
    (limit,) = [row[1] for row in rows("Limits") if row[0].strip("`") == what]
    return [int(number) for number in re.findall(r"-?\d+", limit)]


def nested(levels):
    """A job of so many levels, its own object among them."""
    return '{"message":"m","metadata":' + "[" * (levels - 1) + "]" * (levels - 1) + "}"


def of_bytes(size):
    frame = '{"message":"m","padding":""}'
    return frame[:-2] + "x" * (size - len(frame)) + frame[-2:]


def limits():
    (value, *_), (ident,), (levels,) = number_of("the value"), number_of("id"), number_of("nesting of arrays and objects, the job's own included")
    least, most, *_ = number_of("whole numbers, anywhere")
    job = lambda **members: json.dumps({"message": "m", **members})  # noqa: E731
    return [("a value of so many bytes", of_bytes(value), of_bytes(value + 1), "value_too_large"),
            ("an id of so many bytes", job(id="i" * ident), job(id="i" * (ident + 1)), "invalid_member"),
            ("an id of so many bytes in UTF-8", job(id="é" * (ident // 2)).encode().decode("unicode_escape"), job(id="é" * (ident // 2 + 1)), "invalid_member"),
            ("so many levels", nested(levels), nested(levels + 1), "nested_too_deep"),
            ("the largest number", job(metadata=most), job(metadata=most + 1), "integer_out_of_range"),
            ("the smallest number", job(metadata=least), job(metadata=least - 1), "integer_out_of_range")]


@pytest.mark.xdist_group("jobs page")
def test_what_is_at_a_limit_is_taken_and_what_is_beyond_it_refused(stage):
    worker = stage.worker(stage.redis(), stage.simulator())
    topics = Topics(worker.bootstrap)
    for n, (_, at, beyond, _) in enumerate(limits()):
        topics.send(at, key=f"at-{n}")
        topics.send(beyond, key=f"beyond-{n}")
    for n, (what, _, _, code) in enumerate(limits()):
        (good,) = topics.read("chat.replies", 1, key=f"at-{n}")
        (bad,) = topics.read("chat.replies", 1, key=f"beyond-{n}")
        assert json.loads(good.value())["status"] == "ok", (what, good.value()[:300])
        assert json.loads(bad.value())["error"]["code"] == code, (what, bad.value()[:300])


@pytest.mark.xdist_group("jobs page")
def test_what_comes_back_may_be_too_large_for_a_reply_and_nobody_waits_behind_it(stage):
    """Good or bad, the reply would be larger than its topic takes for what it brings back; the next job of the lane is answered."""
    worker = stage.worker(stage.redis(), stage.simulator())
    topics = Topics(worker.bootstrap)
    (value, *_) = number_of("the value")
    big = "x" * (value - 100)
    topics.send({"id": "good", "message": "m", "metadata": big}, key="s")
    topics.send({"id": "bad", "mesage": "m", "metadata": big}, key="s")
    topics.send({"id": "after", "message": "m"}, key="s")
    replies = topics.replies(3)
    assert [replies[job].get("error", {}).get("code") for job in ("good", "bad", "after")] == ["reply_refused", "invalid_member", None], replies
    assert "metadata" not in replies["good"] and replies["good"]["session"] is None
    wait_until(lambda: worker.metric("jobs_alive") == 0, "all acknowledged")


@pytest.mark.xdist_group("jobs page")
def test_members_may_be_left_out_and_null_is_a_wrong_type(stage):
    worker = stage.worker(stage.redis(), stage.simulator())
    topics = Topics(worker.bootstrap)
    topics.send({"message": "m"}, key="bare")
    topics.send({"message": "m", "metadata": None}, key="metadata")
    for member in names("A job"):
        if member != "metadata":
            topics.send({**({} if member.startswith("message") else {"message": "m"}), member: None}, key=member)
    (bare,), (metadata,) = (topics.read("chat.replies", 1, key=key) for key in ("bare", "metadata"))
    bare, metadata = json.loads(bare.value()), json.loads(metadata.value())
    assert bare["status"] == "ok" and re.fullmatch(r"chat\.jobs-\d+-\d+", bare["job"]) and bare["session"] == "bare" and "metadata" not in bare
    assert metadata["status"] == "ok" and metadata["metadata"] is None
    for member in names("A job"):
        if member != "metadata":
            (reply,) = topics.read("chat.replies", 1, key=member)
            error = json.loads(reply.value())["error"]
            assert error["code"] == "invalid_member" and error["message"].startswith(member), error
