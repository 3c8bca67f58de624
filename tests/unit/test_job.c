/* Decoding of jobs: accepted values, the error of each bad value, and which members are kept after a refusal. */
#include "wire/job.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "wire/job_scan.h"
#include "wire/json_writer.h"

#define BYTES_MAX 4096
#define TOKENS_MAX 1000

static const char *const models[] = {"small", "large", NULL};
static const struct job_limits limits = {.bytes_max = BYTES_MAX, .depth_max = JOB_DEPTH_MAX, .models_allowed = models, .max_tokens_max = TOKENS_MAX};

struct decoded {
    struct job job;
    struct error err;
    enum status status;
};

static struct decoded decode(const void *value, size_t size, const void *key, size_t key_size)
{
    struct record record = {.topic = xstrdup("jobs"), .partition = 3, .offset = 17, .timestamp_ms = 1000};
    /* Exact copies: AddressSanitizer sees a read beyond the end. */
    record.value = value == NULL ? NULL : memcpy(xcalloc(1, size), value, size);
    record.value_size = size;
    record.key = key == NULL ? NULL : memcpy(xcalloc(1, key_size), key, key_size);
    record.key_size = key_size;
    struct decoded got = {0};
    got.status = job_decode(&record, &limits, &got.job, &got.err);
    record_finish(&record);
    cr_assert_not_null(got.job.id);
    cr_assert_eq(strlen(got.job.fingerprint), 32);
    if (got.status == STATUS_FAILED) {
        cr_assert_eq(got.err.class, ERROR_PERMANENT);
        cr_assert_gt(strlen(got.err.message), 0);
    } else {
        cr_assert_eq(got.job.messages[0], '[');
    }
    return got;
}

static struct decoded decode_text(const char *json)
{
    return decode(json, strlen(json), "the-key", 7);
}

static void assert_text(const char *value, const char *expected, const char *what)
{
    if (strcmp(expected, "absent") == 0)
        cr_assert_null(value, "%s", what);
    else
        cr_assert_str_eq(value, expected, "%s", what);
}

Test(job, every_member_is_read)
{
    struct decoded got = decode_text("{\"id\":\"01JD\",\"session\":\"s-17\",\"message\":\"Hello\",\"params\":{\"temperature\":2,"
                                     "\"model\":\"large\"},\"deadline_ms\":30000,\"metadata\":{\"tenant\":\"a\"},\"new\":1}");
    cr_assert_eq(got.status, STATUS_OK, "%s", got.err.message);
    cr_assert_str_eq(got.job.id, "01JD");
    cr_assert_not(got.job.id_is_auto);
    cr_assert_str_eq(got.job.session, "s-17");
    cr_assert_eq(got.job.deadline_ms, 30000);
    assert_text(got.job.messages, "[{\"role\":\"user\",\"content\":\"Hello\"}]", "messages");
    assert_text(got.job.params, "{\"temperature\":2,\"model\":\"large\"}", "params");
    assert_text(got.job.metadata, "{\"tenant\":\"a\"}", "metadata");
    job_finish(&got.job);
}

static void assert_meant(const char *json, const char *meant)
{
    struct decoded got = decode_text(json);
    if (meant == NULL) {
        cr_expect_eq(got.status, STATUS_OK, "%s: %s", json, got.err.message);
    } else {
        AUTO_FREE char *question = xasprintf("do you mean %s?", meant);
        cr_expect_eq(got.status, STATUS_FAILED, "%s", json);
        cr_expect(strcmp(got.err.code, "invalid_member") == 0 && strstr(got.err.message, question), "%s: %s %s", json, got.err.code, got.err.message);
    }
    job_finish(&got.job);
}

/* Each known member, missing, with a letter inserted, deleted, replaced, two swapped, and in other case. */
Test(job, a_member_a_letter_away_from_an_absent_one_of_ours_is_refused)
{
    static const char *const ours[] = {"id", "session", "messages", "message", "params", "deadline_ms", "metadata", "stream"};
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++) {
        const char *rest = strcmp(ours[i], "messages") == 0 || strcmp(ours[i], "message") == 0 ? "" : ",\"message\":\"m\"";
        size_t size = strlen(ours[i]);
        for (size_t at = 0; at < size; at++) {
            AUTO_FREE char *more = xasprintf("{\"%.*sz%s\":1%s}", (int)at, ours[i], ours[i] + at, rest);
            AUTO_FREE char *fewer = xasprintf("{\"%.*s%s\":1%s}", (int)at, ours[i], ours[i] + at + 1, rest);
            AUTO_FREE char *other = xasprintf("{\"%.*sz%s\":1%s}", (int)at, ours[i], at < size ? ours[i] + at + 1 : "", rest);
            assert_meant(more, ours[i]);
            if (at + 1 < size || strcmp(ours[i], "messages") != 0) /* another known member */
                assert_meant(fewer, strcmp(ours[i], "messages") == 0 && at == 6 ? "message" : ours[i]);
            assert_meant(other, ours[i]);
        }
        for (size_t at = 0; at + 1 < size; at++) {
            AUTO_FREE char *swapped = xasprintf("{\"%.*s%c%c%s\":1%s}", (int)at, ours[i], ours[i][at + 1], ours[i][at], ours[i] + at + 2, rest);
            if (ours[i][at] != ours[i][at + 1])
                assert_meant(swapped, ours[i]);
        }
        AUTO_FREE char *shouted = xasprintf("{\"%c%s\":1%s}", ours[i][0] - 'a' + 'A', ours[i] + 1, rest);
        assert_meant(shouted, ours[i]);
    }
}

Test(job, what_is_no_slip_passes_and_is_counted)
{
    static const struct {
        const char *json, *meant;
        size_t unknown;
    } rows[] = {{"{\"message\":\"m\",\"mesage\":1}", NULL, 1}, /* the known member is there */
                {"{\"message\":\"m\",\"massages\":1}", "messages", 1},
                {"{\"messages\":[{\"role\":\"user\",\"content\":\"m\"}],\"mesage\":\"m\"}", "message", 1},
                {"{\"message\":\"m\",\"priority\":1,\"user\":2,\"\":3}", NULL, 3},
                {"{\"message\":\"m\",\"msg\":1,\"text\":1,\"context\":1,\"model\":1}", NULL, 4},
                {"{\"message\":\"m\",\"deadlin\\u005fms\":1}", "deadline_ms", 1}, /* unescaped names are compared */
                {"{\"message\":\"m\",\"deadline\\u005fms\":1}", NULL, 0},
                {"{\"message\":\"m\",\"deadlineMs\":1}", "deadline_ms", 1},
                {"{\"message\":\"m\",\"STREAM\":true}", "stream", 1},
                {"{\"message\":\"m\",\"dead_line_ms\":1}", "deadline_ms", 1},
                {"{\"message\":\"m\",\"dedlin_ms\":1}", NULL, 1}, /* two letters */
                {"{\"message\":\"m\",\"params\":{\"temprature\":1,\"strem\":1}}", NULL, 0}, /* the provider's */
                {"{\"message\":\"m\",\"metadata\":{\"sesion\":1}}", NULL, 0}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_meant(rows[i].json, rows[i].meant);
        struct decoded got = decode_text(rows[i].json);
        cr_expect_eq(got.job.unknown_count, rows[i].unknown, "%s: %zu", rows[i].json, got.job.unknown_count);
        job_finish(&got.job);
    }
}

Test(job, a_refusal_of_a_slip_keeps_what_a_reply_needs)
{
    struct decoded got = decode_text("{\"id\":\"j\",\"session\":\"s\",\"mesage\":\"never quoted\",\"metadata\":[1]}");
    cr_assert_eq(got.status, STATUS_FAILED);
    cr_assert_null(strstr(got.err.message, "never"), "%s", got.err.message);
    assert_text(got.job.id, "j", "id");
    assert_text(got.job.session, "s", "session");
    assert_text(got.job.metadata, "[1]", "metadata");
    job_finish(&got.job);
}

/* Each of 20,000 names is a letter away from metadata, which is there: a search of the whole object for each would take minutes. */
Test(job, many_names_that_are_near_one_cost_a_walk_and_not_one_each, .timeout = 60)
{
    static const char known[] = "metadata";
    struct json_writer value = {0};
    json_write_open(&value, NULL);
    json_write_text(&value, "message", "m");
    json_write_raw(&value, known, "{}");
    for (unsigned letters = 0; letters < 1u << 8; letters++) {
        for (int at = 0; at < 80; at++) {
            char name[16];
            for (size_t i = 0; i < sizeof known; i++)
                name[i] = (char)(letters >> i & 1 && i < 8 ? known[i] - 'a' + 'A' : known[i]);
            memmove(name + at / 10 + 1, name + at / 10, sizeof known - (size_t)at / 10);
            name[at / 10] = (char)('0' + at % 10);
            json_write_raw(&value, name, "1");
        }
    }
    json_write_close(&value);
    struct job_limits wide = limits;
    wide.bytes_max = value.size;
    struct record record = {.topic = (char[]){"jobs"}, .timestamp_ms = -1, .value = value.text, .value_size = value.size};
    struct job job;
    struct error err = {0};
    cr_expect_eq(job_decode(&record, &wide, &job, &err), STATUS_OK, "%s", err.message);
    cr_expect_eq(job.unknown_count, 256 * 80);
    job_finish(&job);
    free(value.text);
}

Test(job, of_metadata_what_the_worker_reads_may_not_be_misspelt)
{
    static const char *const read[] = {"tenant", "user", NULL};
    static const struct {
        const char *metadata, *meant;
    } rows[] = {{"{\"tenat\":\"a\"}", "metadata.tenant"}, {"{\"Tenant\":\"a\"}", "metadata.tenant"}, {"{\"tenant\":\"a\",\"tenat\":1}", NULL}, {"{\"users\":1}", "metadata.user"},
                {"{\"tier\":1}", NULL},            {"[\"tenat\"]", NULL},                 {"\"tenat\"", NULL},                       {"{\"a\":{\"tenat\":1}}", NULL}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        AUTO_FREE char *json = xasprintf("{\"message\":\"m\",\"metadata\":%s}", rows[i].metadata);
        struct record record = {.topic = (char *)(uintptr_t)"t", .value = json, .value_size = strlen(json)};
        struct job_limits reading = limits;
        reading.metadata_members = read;
        struct job job;
        struct error err = {0};
        enum status status = job_decode(&record, &reading, &job, &err);
        cr_expect_eq(status == STATUS_FAILED, rows[i].meant != NULL, "%s: %s", json, err.message);
        cr_expect(rows[i].meant == NULL || strstr(err.message, rows[i].meant), "%s: %s", json, err.message);
        job_finish(&job);
    }
}

static void collect(const char *name, void *arg)
{
    char *all = arg;
    snprintf(all + strlen(all), 100 - strlen(all), "[%s]", name);
}

Test(job, unknown_members_are_told_by_name)
{
    static const char json[] = "\xef\xbb\xbf{\"a\":1,\"message\":\"m\",\"b\\u0063\":{\"id\":2},\"\":3}";
    struct record record = {.value = (char *)(uintptr_t)json, .value_size = sizeof json - 1};
    char all[100] = "";
    job_unknown_members(&record, collect, all);
    cr_assert_str_eq(all, "[a][bc][]");
}

Test(job, what_is_absent_has_a_stand_in)
{
    struct decoded got = decode_text("{\"message\":\"\"}");
    cr_assert_eq(got.status, STATUS_OK);
    cr_assert_str_eq(got.job.id, "jobs-3-17");
    cr_assert(got.job.id_is_auto);
    cr_assert_str_eq(got.job.session, "the-key");
    cr_assert_eq(got.job.deadline_ms, 0);
    cr_assert_null(got.job.params);
    cr_assert_null(got.job.metadata);
    job_finish(&got.job);

    const char *keys[] = {NULL, ""};
    for (int i = 0; i < 2; i++) {
        got = decode("{\"message\":\"\"}", 14, keys[i], 0);
        cr_assert_eq(got.status, STATUS_OK);
        cr_assert_null(got.job.session, "no session and no key: no history");
        job_finish(&got.job);
    }
}

Test(job, good_values_are_accepted)
{
    static const char *const good[] = {
        " {\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}\r\n",
        "{\"messages\":[{\"role\":\"system\",\"content\":\"x\"},{\"role\":\"developer\",\"content\":[{\"type\":\"text\"}]}]}",
        "{\"messages\":[{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{}]},{\"role\":\"tool\",\"content\":\"4\"}]}",
        "{\"messages\":[{\"role\":\"assistant\",\"tool_calls\":[{}]}]}",
        "{\"message\":\"\\ud83d\\ude00 \xF0\x9F\x98\x80 \\\\ud800 \\\" [[[[\"}",
        "{\"message\":\"x\",\"metadata\":9007199254740992,\"deadline_ms\":0}",
        "{\"message\":\"x\",\"metadata\":[-9007199254740992,0.1234567890123456789,1e300,null]}",
        "{\"message\":\"x\",\"metadata\":\"9007199254740993\"}",
        "{\"message\":\"\\\\u0000\"}",
        "{\"message\":\"x\",\"params\":{}}",
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct decoded got = decode_text(good[i]);
        cr_expect_eq(got.status, STATUS_OK, "%s: %s", good[i], got.err.message);
        job_finish(&got.job);
    }
}

static const struct {
    const char *value, *code, *message; /* message: how it begins */
} bad[] = {
    {"", "empty_value", "the value: empty"},
    {" ", "invalid_json", "the value: "},
    {"hello", "invalid_json", "the value: not JSON at byte 5"},
    {"{\"message\":\"x\"", "invalid_json", "the value: the JSON text ends too early"},
    {"{\"message\":\"x\"} {}", "invalid_json", "the value: more text after the JSON"},
    {"{\"message\":\"x\",}", "invalid_json", "the value: not JSON"},
    {"{\"message\":\"tab\there\"}", "invalid_json", "message: not JSON"},
    {"{\"message\":\"x\",\"metadata\":\"\\q\"}", "invalid_json", "metadata: not JSON"},
    {"{\"message\":\"x\",\"metadata\":{\"a\\u0000\":1}}", "invalid_json", "metadata: a member's name holds a NUL"},
    {"[1]", "invalid_member", "the value: must be a JSON object, not an array"},
    {"\"text\"", "invalid_member", "the value: must be a JSON object, not a string"},
    {"null", "invalid_member", "the value: must be a JSON object, not null"},
    /* text */
    {"{\"message\":\"\xFF\"}", "invalid_utf8", "message: not UTF-8 at byte 12"},
    {"{\"message\":\"\xC0\xAF\"}", "invalid_utf8", "message: not UTF-8"},
    {"{\"message\":\"\xE0\x80\xAF\"}", "invalid_utf8", "message: not UTF-8"},
    {"{\"message\":\"\xED\xA0\x80\"}", "invalid_utf8", "message: not UTF-8"},
    {"{\"message\":\"\xF4\x90\x80\x80\"}", "invalid_utf8", "message: not UTF-8"},
    {"{\"message\":\"\xE2\x82\"}", "invalid_utf8", "message: not UTF-8"},
    {"{\"message\":\"x\"} \x80", "invalid_utf8", "the value: not UTF-8"},
    {"{\"message\":\"\\ud800\"}", "invalid_utf8", "message: half a surrogate pair"},
    {"{\"message\":\"\\uDC00\"}", "invalid_utf8", "message: half a surrogate pair"},
    {"{\"message\":\"\\ud800\\ud800\"}", "invalid_utf8", "message: half a surrogate pair"},
    {"{\"metadata\":{\"k\\udfff\":1}}", "invalid_utf8", "metadata: half a surrogate pair"},
    {"{\"message\":\"a\\u0000b\"}", "invalid_member", "message: holds a NUL character"},
    {"{\"id\":\"a\\u0000b\"}", "invalid_member", "id: holds a NUL character"},
    {"{\"message\":\"x\",\"metadata\":[{\"k\":\"\\u0000\"}]}", "invalid_member", "metadata[0].k: holds a NUL"},
    /* duplicates and numbers */
    {"{\"message\":\"x\",\"message\":\"y\"}", "duplicate_member", "message: the member \"message\" is there twice"},
    {"{\"message\":\"x\",\"params\":{\"top_p\":1,\"top_p\":0}}", "duplicate_member", "params: the member \"top_p\" is"},
    {"{\"message\":\"x\",\"metadata\":[{\"a\":1,\"a\" :1}]}", "duplicate_member", "metadata: the member \"a\" is"},
    {"{\"message\":\"x\",\"metadata\":9007199254740993}", "integer_out_of_range", "metadata: an integer beyond 2^53"},
    {"{\"message\":\"x\",\"params\":{\"seed\":-9007199254740993}}", "integer_out_of_range", "params.seed: an integer"},
    {"{\"message\":\"x\",\"other\":{\"a\":[1,{\"b\":9223372036854775807}]}}", "integer_out_of_range", "other.a[1].b: an"},
    {"{\"message\":\"x\",\"metadata\":9223372036854775808}", "integer_out_of_range", "metadata: the number at byte"},
    {"{\"message\":\"x\",\"deadline_ms\":-99999999999999999999}", "integer_out_of_range", "deadline_ms: the number at"},
    {"{\"message\":\"x\",\"metadata\":1e999}", "integer_out_of_range", "metadata: the number at byte"},
    {"9007199254740993", "integer_out_of_range", "the value: an integer"},
    /* members */
    {"{}", "invalid_member", "message: missing"},
    {"{\"message\":\"x\",\"messages\":[]}", "invalid_member", "message, messages: a job has one of them"},
    {"{\"message\":null}", "invalid_member", "message: must be a string, not null"},
    {"{\"message\":{}}", "invalid_member", "message: must be a string, not an object"},
    {"{\"id\":17,\"message\":\"x\"}", "invalid_member", "id: must be a string, not an integer"},
    {"{\"id\":\"\",\"message\":\"x\"}", "invalid_member", "id: must not be empty"},
    {"{\"session\":\"\",\"message\":\"x\"}", "invalid_member", "session: must not be empty"},
    {"{\"session\":true,\"message\":\"x\"}", "invalid_member", "session: must be a string, not a boolean"},
    {"{\"session\":null,\"message\":\"x\"}", "invalid_member", "session: must be a string, not null"},
    {"{\"message\":\"x\",\"deadline_ms\":-1}", "invalid_member", "deadline_ms: must not be negative"},
    {"{\"message\":\"x\",\"deadline_ms\":1.5}", "invalid_member", "deadline_ms: must be a whole number"},
    {"{\"message\":\"x\",\"deadline_ms\":\"1\"}", "invalid_member", "deadline_ms: must be a whole number"},
    {"{\"messages\":{}}", "invalid_member", "messages: must be an array, not an object"},
    {"{\"messages\":[]}", "invalid_member", "messages: must not be empty"},
    {"{\"messages\":[\"x\"]}", "invalid_member", "messages[0]: must be an object, not a string"},
    {"{\"messages\":[{\"content\":\"x\"}]}", "invalid_member", "messages[0].role: missing"},
    {"{\"messages\":[{\"role\":1,\"content\":\"x\"}]}", "invalid_member", "messages[0].role: must be a string"},
    {"{\"messages\":[{\"role\":\"user\",\"content\":\"x\"},{\"role\":\"User\",\"content\":\"x\"}]}", "invalid_member",
     "messages[1].role: must be system, developer, user, assistant or tool"},
    {"{\"messages\":[{\"role\":\"user\"}]}", "invalid_member", "messages[0].content: missing"},
    {"{\"messages\":[{\"role\":\"user\",\"content\":null}]}", "invalid_member", "messages[0].content: must not be null"},
    {"{\"messages\":[{\"role\":\"user\",\"content\":null,\"tool_calls\":[{}]}]}", "invalid_member", "messages[0].content"},
    {"{\"messages\":[{\"role\":\"assistant\",\"tool_calls\":[]}]}", "invalid_member", "messages[0].content: missing"},
    {"{\"messages\":[{\"role\":\"user\",\"content\":7}]}", "invalid_member", "messages[0].content: must be a string, an"},
    {"{\"messages\":[{\"role\":\"user\",\"content\":[{},\"x\"]}]}", "invalid_member", "messages[0].content[1]: must be"},
    {"{\"message\":\"x\",\"params\":[]}", "invalid_member", "params: must be an object, not an array"},
    {"{\"message\":\"x\",\"params\":{\"n\":1}}", "invalid_member", "params.n: not allowed in a job; remove it"},
    {"{\"message\":\"x\",\"params\":{\"messages\":[]}}", "invalid_member", "params.messages: not allowed"},
    {"{\"message\":\"x\",\"params\":{\"stream\":false}}", "invalid_member", "params.stream: not allowed"},
    {"{\"message\":\"x\",\"params\":{\"stream_options\":{}}}", "invalid_member", "params.stream_options: not allowed"},
    {"{\"message\":\"x\",\"params\":{\"model\":\"other\"}}", "invalid_member", "params.model: not one of"},
    {"{\"message\":\"x\",\"params\":{\"model\":1}}", "invalid_member", "params.model: must be a string"},
    {"{\"message\":\"x\",\"params\":{\"max_tokens\":1001}}", "invalid_member", "params.max_tokens: is above the 1000 that llm.max_tokens_max allows"},
    {"{\"message\":\"x\",\"params\":{\"max_completion_tokens\":-1}}", "invalid_member", "params.max_completion_tokens: must be a whole number"},
};

Test(job, each_bad_value_is_refused_by_name)
{
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct decoded got = decode_text(bad[i].value);
        cr_expect_eq(got.status, STATUS_FAILED, "accepted: %s", bad[i].value);
        cr_expect_str_eq(got.err.code, bad[i].code, "%s: %s, %s", bad[i].value, got.err.code, got.err.message);
        cr_expect_eq(strncmp(got.err.message, bad[i].message, strlen(bad[i].message)), 0, "%s: %s", bad[i].value,
                     got.err.message);
        job_finish(&got.job);
    }
}

/* As editors and tools of Windows write UTF-8. */
Test(job, a_byte_order_mark_before_it_is_no_part_of_it)
{
    struct decoded plain = decode_text("{\"id\":\"a\",\"message\":\"hi\"}");
    struct decoded marked = decode_text("\xef\xbb\xbf{\"id\":\"a\",\"message\":\"hi\"}");
    cr_assert_eq(marked.status, STATUS_OK, "%s", marked.err.message);
    cr_expect_str_eq(marked.job.messages, plain.job.messages);
    cr_expect_str_eq(marked.job.fingerprint, plain.job.fingerprint, "the same job");
    struct decoded broken = decode_text("\xef\xbb\xbf{\"id\":\"a\",\"metadata\":{\"k\":1},\"message\"");
    cr_expect_str_eq(broken.job.id, "a", "what an error reply needs is found behind it, too");
    struct decoded alone = decode_text("\xef\xbb\xbf");
    cr_expect_str_eq(alone.err.code, "empty_value");
    struct decoded twice = decode_text("\xef\xbb\xbf\xef\xbb\xbf{}");
    cr_expect_str_eq(twice.err.code, "invalid_json");
    job_finish(&plain.job);
    job_finish(&marked.job);
    job_finish(&broken.job);
    job_finish(&alone.job);
    job_finish(&twice.job);
}

Test(job, a_tombstone_is_refused)
{
    struct decoded got = decode(NULL, 0, "s", 1);
    cr_assert_str_eq(got.err.code, "tombstone");
    cr_assert_str_eq(got.job.session, "s");
    cr_assert_str_eq(got.job.id, "jobs-3-17");
    job_finish(&got.job);
}

Test(job, raw_nul_bytes_are_refused)
{
    static const char value[] = "{\"message\":\"a\0b\"}";
    struct decoded got = decode(value, sizeof value - 1, NULL, 0);
    cr_assert_str_eq(got.err.code, "invalid_json");
    cr_assert_str_eq(got.err.message, "message: a NUL byte at byte 13");
    job_finish(&got.job);
}

Test(job, a_value_over_the_limit_still_says_whose_it_is)
{
    char value[BYTES_MAX + 2];
    int begin = snprintf(value, sizeof value, "{\"id\":\"big\",\"metadata\":7,\"session\":\"s\",\"message\":\"");
    memset(value + begin, 'x', sizeof value - (size_t)begin);
    memcpy(value + BYTES_MAX - 2, "\"}", 2);
    struct decoded got = decode(value, BYTES_MAX, NULL, 0);
    cr_assert_eq(got.status, STATUS_OK, "the limit itself is allowed: %s", got.err.message);
    job_finish(&got.job);

    memcpy(value + BYTES_MAX - 2, "xx\"}", 4 - 1);
    got = decode(value, BYTES_MAX + 1, NULL, 0);
    cr_assert_str_eq(got.err.code, "value_too_large");
    cr_assert_str_eq(got.job.id, "big");
    cr_assert_str_eq(got.job.session, "s");
    assert_text(got.job.metadata, "7", "metadata");
    job_finish(&got.job);
}

static char *nested(size_t levels, const char *before, const char *after)
{
    size_t lead = strlen(before);
    char *text = xcalloc(1, lead + 2 * levels + strlen(after) + 1);
    memcpy(text, before, lead);
    memset(text + lead, '[', levels);
    memset(text + lead + levels, ']', levels);
    return strcat(text, after);
}

Test(job, depth_has_a_limit_that_costs_no_stack)
{
    static const struct {
        size_t levels;
        bool fine;
    } rows[] = {{JOB_DEPTH_MAX - 1, true}, {JOB_DEPTH_MAX, false}, {1000, false}, {2000, false}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        AUTO_FREE char *json = nested(rows[i].levels, "{\"id\":\"deep\",\"message\":\"x\",\"metadata\":", "}");
        struct decoded got = decode_text(json);
        cr_expect_eq(got.status == STATUS_OK, rows[i].fine, "%zu levels: %s", rows[i].levels, got.err.message);
        if (!rows[i].fine) {
            cr_expect_str_eq(got.err.code, "nested_too_deep");
            cr_expect_eq(strncmp(got.err.message, "metadata: nested deeper than 64 levels", 38), 0, "%s", got.err.message);
            cr_expect_null(got.job.metadata, "would go back into a reply");
        }
        cr_expect_str_eq(got.job.id, "deep");
        job_finish(&got.job);
    }
}

Test(job, a_refused_job_still_says_whose_it_is)
{
    static const struct {
        const char *value, *id, *session, *metadata;
    } rows[] = {
        {"{\"id\":\"j\",\"session\":\"s\",\"metadata\":{\"a\":0},\"message\":7}", "j", "s", "{\"a\":0}"},
        {"{\"id\":7,\"session\":\"s\",\"metadata\":null,\"message\":7}", "jobs-3-17", "s", "null"},
        {"{\"id\":\"j\",\"session\":7,\"metadata\":1}", "j", NULL, "1"},
        {"{\"id\":\"j\",\"metadata\":1}", "j", "the-key", "1"},
        {"{\"id\":\"j\",\"session\":\"s\",\"metadata\":[\"}\"],\"message\":\"\xFF\"}", "j", "s", "[\"}\"]"},
        {"{\"id\":\"j\",\"session\":\"s\",\"metadata\":\"\xFF\",\"message\":\"x\"}", "j", "s", "absent"},
        {"{\"id\":\"j\",\"session\":\"s\",\"metadata\":9007199254740993,\"message\":\"x\"}", "j", "s", "absent"},
        {"{\"id\":\"j\",\"session\":\"s\",\"message\":\"\\udc00\"}", "j", "s", "absent"},
        {"{\"message\":\"\\u0000\",\"id\":\"j\",\"session\":\"s\"}", "j", "s", "absent"},
        {"{\"params\":{\"a\":1,\"a\":2},\"id\":\"j\",\"session\":\"s\"}", "j", "s", "absent"},
        {"{\"id\":\"j\",\"id\":\"k\",\"session\":\"s\"}", "jobs-3-17", "s", "absent"},
        {"{ \"id\" : \"j\" , \"session\" : \"s\" , \"message\" : \"cut", "j", "s", "absent"},
        {"{\"session\":\"s\",\"id\":\"cut", "jobs-3-17", "s", "absent"},
        {"{\"id\":\"\\ud800\",\"message\":\"x\"}", "jobs-3-17", "the-key", "absent"},
        {"not a job", "jobs-3-17", "the-key", "absent"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct decoded got = decode_text(rows[i].value);
        cr_expect_eq(got.status, STATUS_FAILED, "%s", rows[i].value);
        cr_expect_str_eq(got.job.id, rows[i].id, "%s: %s", rows[i].value, got.job.id);
        cr_expect_eq(got.job.id_is_auto, strcmp(rows[i].id, "jobs-3-17") == 0);
        if (rows[i].session == NULL)
            cr_expect_null(got.job.session, "%s", rows[i].value);
        else
            cr_expect_str_eq(got.job.session, rows[i].session, "%s: %s", rows[i].value, got.job.session);
        assert_text(got.job.metadata, rows[i].metadata, rows[i].value);
        job_finish(&got.job);
    }
}

Test(job, a_key_must_be_text_only_where_it_stands_in)
{
    static const struct {
        const char *key;
        size_t size;
        const char *code;
    } rows[] = {{"\xFF\xFE", 2, "invalid_utf8"}, {"a\0b", 3, "invalid_member"}, {"\xED\xA0\x80", 3, "invalid_utf8"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct decoded got = decode("{\"message\":\"\"}", 14, rows[i].key, rows[i].size);
        cr_expect_eq(got.status, STATUS_FAILED);
        cr_expect_str_eq(got.err.code, rows[i].code);
        cr_expect_not_null(strstr(got.err.message, "key"), "%s", got.err.message);
        cr_expect_null(got.job.session);
        job_finish(&got.job);

        static const char own[] = "{\"message\":\"\",\"session\":\"s\"}";
        got = decode(own, sizeof own - 1, rows[i].key, rows[i].size);
        cr_expect_eq(got.status, STATUS_OK, "%s", got.err.message);
        job_finish(&got.job);
    }
}

Test(job, an_id_has_a_length)
{
    char value[400];
    for (int size = 255; size <= 257; size++) {
        snprintf(value, sizeof value, "{\"message\":\"\",\"id\":\"%0*d\"}", size, 0);
        struct decoded got = decode_text(value);
        cr_expect_eq(got.status == STATUS_OK, size <= 256, "%d: %s", size, got.err.message);
        job_finish(&got.job);
    }
}

Test(job, without_a_list_every_model_is_refused)
{
    static const char *const none[] = {NULL};
    const char *const *lists[] = {NULL, none};
    char value[] = "{\"message\":\"x\",\"params\":{\"model\":\"small\"}}";
    struct record record = {.topic = (char[]){"t"}, .value = value, .value_size = sizeof value - 1};
    for (int i = 0; i < 2; i++) {
        struct job job;
        struct error err;
        cr_expect_eq(job_decode(&record, &(struct job_limits){.bytes_max = 100, .models_allowed = lists[i]}, &job, &err),
                     STATUS_FAILED);
        job_finish(&job);
    }
}

static void fingerprint(const struct record *record, char out[33])
{
    struct job job;
    struct error err;
    enum status status = job_decode(record, &limits, &job, &err);
    cr_assert_eq(status, STATUS_OK);
    memcpy(out, job.fingerprint, 33);
    job_finish(&job);
}

Test(job, a_fingerprint_tells_contents_apart)
{
    char named[] = "{\"message\":\"x\",\"id\":\"j\"}";
    char nameless[] = "{\"message\":\"x\"}";
    char a[33];
    char b[33];
    struct record record = {.topic = (char[]){"t"}, .value = named, .value_size = sizeof named - 1, .timestamp_ms = 5};
    fingerprint(&record, a);
    record.timestamp_ms = 6;
    record.offset = 9;
    fingerprint(&record, b);
    cr_assert_str_eq(a, b, "a named job, sent again, is the same job");
    named[12] = 'y';
    fingerprint(&record, b);
    cr_assert_str_neq(a, b);

    record.value = nameless;
    record.value_size = sizeof nameless - 1;
    fingerprint(&record, a);
    fingerprint(&record, b);
    cr_assert_str_eq(a, b);
    record.timestamp_ms = 7;
    fingerprint(&record, b);
    cr_assert_str_neq(a, b, "the place was used again: another time");
    record.timestamp_ms = 6;
    record.key = (char[]){""};
    fingerprint(&record, b);
    cr_assert_str_neq(a, b, "an empty key is not a null key");
}

Test(job, metadata_is_kept_to_the_letter)
{
    static const struct {
        const char *value, *metadata;
    } rows[] = {
        {"{\"message\":\"x\",\"metadata\":{\"price\": 19.90, \"n\":1e2}}", "{\"price\": 19.90, \"n\":1e2}"},
        {"{\"metadata\" : 0.2 ,\"message\":\"x\"}", "0.2"},
        {"{\"message\":\"x\",\"m\\u0065tadata\":[true]}", "[true]"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct decoded got = decode_text(rows[i].value);
        cr_expect_eq(got.status, STATUS_OK, "%s", got.err.message);
        assert_text(got.job.metadata, rows[i].metadata, rows[i].value);
        job_finish(&got.job);
    }
}

Test(job, encoded_jobs_decode)
{
    struct job_parts parts = {.id = "j", .session = "s", .message = "\xEF\xBB\xBFHi \xE2\x82\xAC \"\n", .params = "{\"temperature\":0.10}",
                              .metadata = "{\"price\": 19.99, \"b\":1e2, \"a\":-0.0}", .stream = true};
    AUTO_FREE char *full = job_encode(&parts);
    struct decoded got = decode_text(full);
    cr_assert_eq(got.status, STATUS_OK);
    cr_assert_str_eq(got.job.id, "j");
    cr_assert_str_eq(got.job.session, "s");
    assert_text(got.job.messages, "[{\"role\":\"user\",\"content\":\"Hi \xE2\x82\xAC \\\"\\n\"}]", "messages");
    assert_text(got.job.metadata, parts.metadata, "metadata, as it came");
    assert_text(got.job.params, parts.params, "params, as they came");
    cr_assert(got.job.stream);
    job_finish(&got.job);

    AUTO_FREE char *bare = job_encode(&(struct job_parts){.id = "j", .message = "x"});
    cr_assert_str_eq(bare, "{\"id\":\"j\",\"message\":\"x\"}");
    cr_assert_null(job_encode(&(struct job_parts){.id = "j", .message = "\xFF"}), "not UTF-8");
    cr_assert_null(job_encode(&(struct job_parts){.id = "\xFF", .message = "x"}), "not UTF-8");
    cr_assert_null(job_encode(&(struct job_parts){.id = "j", .session = "\xC0", .message = "x"}), "not UTF-8");
}

Test(job, new_ids_are_ulids_in_the_order_of_time)
{
    char before[27];
    char after[27];
    job_id_new(before);
    cr_assert_eq(strspn(before, "0123456789ABCDEFGHJKMNPQRSTVWXYZ"), 26);
    cr_assert_eq(strlen(before), 26);
    cr_assert_leq(before[0], '7', "48 bits of time");
    job_id_new(after);
    cr_assert_str_neq(before, after);
    cr_assert_leq(strncmp(before, after, 10), 0);
}

/* splitmix64: seeds in failure messages replay a case. */
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9E3779B97F4A7C15));
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

Test(job, damaged_values_never_break_the_decoder)
{
    static const char seed_value[] =
        "{\"id\":\"j\",\"session\":\"s\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"\\ud83d\\ude00\\n\"}]}],"
        "\"params\":{\"t\":0.2,\"seed\":9007199254740992},\"deadline_ms\":30000,\"metadata\":{\"a\":[1,null,true]}}";
    static const char spice[] = "\"\\{}[]:,0u9\xFF\xE2 ";
    for (uint64_t seed = 1; seed <= 20000; seed++) {
        uint64_t random = seed;
        char value[sizeof seed_value];
        memcpy(value, seed_value, sizeof value);
        size_t size = sizeof value - 1;
        for (uint64_t n = next_random(&random) % 4; n > 0; n--)
            value[next_random(&random) % size] = spice[next_random(&random) % (sizeof spice)];
        if (next_random(&random) % 4 == 0)
            size = 1 + next_random(&random) % size;
        struct decoded got = decode(value, size, NULL, 0);
        /* Whatever the input, the returned members are valid text. */
        cr_assert_eq(utf8_invalid_at(got.job.id, strlen(got.job.id)), SCAN_NOWHERE, "seed %lu", (unsigned long)seed);
        cr_assert_eq(utf8_invalid_at(got.err.message, strlen(got.err.message)), SCAN_NOWHERE, "seed %lu", (unsigned long)seed);
        job_finish(&got.job);
    }
}

Test(job, utf8_agrees_with_jansson)
{
    for (uint64_t seed = 1; seed <= 50000; seed++) {
        static const unsigned char edge[] = {0x41, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC2, 0xDF, 0xE0,
                                             0xE1, 0xEC, 0xED, 0xEE, 0xEF, 0xF0, 0xF1, 0xF3, 0xF4, 0xF5, 0xFF};
        uint64_t random = seed;
        char text[12];
        size_t size = 1 + next_random(&random) % sizeof text;
        for (size_t i = 0; i < size; i++)
            text[i] = (char)edge[next_random(&random) % (i % 3 == 0 ? sizeof edge : 8)];
        AUTO_JSON json_t *theirs = json_stringn(text, size);
        cr_assert_eq(utf8_invalid_at(text, size) == SCAN_NOWHERE, theirs != NULL, "seed %lu", (unsigned long)seed);
    }
}

/* jansson reads it as white space; in a reply it would end the text. Found by the fuzzer. */
Test(job, metadata_with_a_nul_byte_does_not_come_back)
{
    static const char value[] = "{\"id\":\"j\",\"message\":\"x\",\"metadata\":[1\0\n,null]}";
    struct decoded got = decode(value, sizeof value - 1, NULL, 0);
    cr_assert_eq(got.status, STATUS_FAILED);
    cr_expect_str_eq(got.err.code, "invalid_json");
    cr_expect_str_eq(got.job.id, "j");
    cr_expect_null(got.job.metadata);
    job_finish(&got.job);
}
