/* Encoding and decoding of replies, and their topic and partition. */
#include "wire/reply.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "wire/reply_route.h"

static const struct reply_timing timing = {.queued_ms = 3, .context_ms = 0, .llm_ms = 840, .total_ms = 861};

Test(reply, the_good_end_is_as_documented)
{
    char metadata[] = "{\"tenant\":\"a\",\"price\": 0.20}";
    AUTO_JSON json_t *message = json_pack("{s:s, s:s}", "role", "assistant", "content", "Hi");
    struct job job = {.id = (char[]){"01JD"}, .session = (char[]){"s-17"}, .metadata = metadata};
    struct reply_ok ok = {.message = message, .finish_reason = "stop", .model = "m", .provider = "main",
                          .usage = {1, 2, 3}, .attempts = 1, .timing = timing};
    AUTO_FREE char *text = reply_encode_ok(&job, &ok);
    cr_assert_str_eq(text,
                     "{\"job\":\"01JD\",\"session\":\"s-17\",\"status\":\"ok\",\"message\":{\"role\":\"assistant\","
                     "\"content\":\"Hi\"},\"finish_reason\":\"stop\",\"model\":\"m\",\"provider\":\"main\",\"usage\":"
                     "{\"prompt_tokens\":1,\"completion_tokens\":2,\"total_tokens\":3},\"attempts\":1,\"timing_ms\":"
                     "{\"queued\":3,\"context\":0,\"llm\":840,\"total\":861},\"metadata\":{\"tenant\":\"a\",\"price\": 0.20}}");
}

Test(reply, what_is_unknown_is_null)
{
    AUTO_JSON json_t *message = json_pack("{s:s, s:n}", "role", "assistant", "content");
    struct job job = {.id = (char[]){"j"}};
    struct reply_ok ok = {.message = message, .provider = "main", .usage = {-1, 0, -1}, .attempts = 2};
    AUTO_FREE char *text = reply_encode_ok(&job, &ok);
    AUTO_JSON json_t *reply = json_loads(text, 0, NULL);
    const json_t *usage = json_object_get(reply, "usage");
    cr_assert(json_is_null(json_object_get(usage, "prompt_tokens")));
    cr_assert_eq(json_integer_value(json_object_get(usage, "completion_tokens")), 0);
    cr_assert(json_is_integer(json_object_get(usage, "completion_tokens")));
    cr_assert(json_is_null(json_object_get(usage, "total_tokens")));
    cr_assert(json_is_null(json_object_get(reply, "session")));
    cr_assert(json_is_null(json_object_get(reply, "model")));
    cr_assert(json_is_null(json_object_get(reply, "finish_reason")));
    cr_assert_null(json_object_get(reply, "metadata"), "the job had none");
}

Test(reply, the_bad_end_says_why)
{
    char metadata[] = "null";
    struct job job = {.id = (char[]){"j"}, .session = (char[]){"s"}, .metadata = metadata};
    struct error why;
    error_set(&why, ERROR_PERMANENT, "invalid_member", "params.n: not allowed in a job; remove it");
    AUTO_FREE char *text = reply_encode_error(&job, &why, NULL, NULL, 1, &timing);
    cr_assert_str_eq(text,
                     "{\"job\":\"j\",\"session\":\"s\",\"status\":\"error\",\"error\":{\"type\":\"permanent\",\"code\":"
                     "\"invalid_member\",\"message\":\"params.n: not allowed in a job; remove it\",\"provider\":null,"
                     "\"retriable\":false},\"attempts\":1,\"timing_ms\":{\"queued\":3,\"context\":0,\"llm\":840,"
                     "\"total\":861},\"metadata\":null}");
}

Test(reply, the_providers_own_words_stand_in_it_where_it_said_any)
{
    struct job job = {.id = (char[]){"j"}};
    struct error why;
    error_set(&why, ERROR_PERMANENT, "E77", "provider main: HTTP 400, E77 (request): see error.provider_message");
    AUTO_FREE char *text = reply_encode_error(&job, &why, "main", "the flux isn't aligned", 1, &timing);
    struct reply_view view;
    struct error err;
    cr_assert_eq(reply_decode(text, strlen(text), &view, &err), STATUS_OK);
    cr_assert_str_eq(view.provider_message, "the flux isn't aligned");
    json_decref(view.root);
}

Test(reply, classes_tell_the_sender_whether_to_try_again)
{
    static const struct {
        enum error_class class;
        const char *type, *status;
        bool retriable;
    } rows[] = {
        {ERROR_RETRIABLE, "retriable", "error", true},
        {ERROR_UNAVAILABLE, "unavailable", "error", true},
        {ERROR_PERMANENT, "permanent", "error", false},
        {ERROR_CANCELLED, "cancelled", "cancelled", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct job job = {.id = (char[]){"j"}};
        struct error why;
        error_set(&why, rows[i].class, "c", "m");
        AUTO_FREE char *text = reply_encode_error(&job, &why, "main", NULL, 3, &timing);
        AUTO_JSON json_t *reply = json_loads(text, 0, NULL);
        const json_t *error = json_object_get(reply, "error");
        cr_expect_str_eq(json_string_value(json_object_get(reply, "status")), rows[i].status);
        cr_expect_str_eq(json_string_value(json_object_get(error, "type")), rows[i].type);
        cr_expect_str_eq(json_string_value(json_object_get(error, "provider")), "main");
        cr_expect_eq(json_is_true(json_object_get(error, "retriable")), rows[i].retriable);
        cr_expect_eq(json_integer_value(json_object_get(reply, "attempts")), 3);
    }
}

Test(reply, a_damaged_error_message_still_goes_out)
{
    struct job job = {.id = (char[]){"j"}};
    struct error why;
    error_set(&why, ERROR_RETRIABLE, "c", "\xFFprovider said \xE2\x82\xAC\xE2\x82");
    AUTO_FREE char *text = reply_encode_error(&job, &why, NULL, NULL, 1, &timing);
    struct reply_view view;
    struct error err;
    cr_assert_eq(reply_decode(text, strlen(text), &view, &err), STATUS_OK);
    cr_assert_str_eq(view.error_message, "?provider said \xE2\x82\xAC??");
    json_decref(view.root);
}

/* jansson reads back what we write, whatever the bytes. */
Test(reply, any_text_survives_or_is_marked)
{
    for (unsigned seed = 1; seed <= 5000; seed++) {
        unsigned random = seed;
        char text[40] = "";
        bool valid_only = seed % 2 == 0;
        for (size_t i = 0, n = (size_t)rand_r(&random) % sizeof text; i < n; i++)
            text[i] = (char)(1 + rand_r(&random) % (valid_only ? 127 : 255));
        struct job job = {.id = (char[]){"j"}, .session = text};
        struct error why;
        error_set(&why, ERROR_RETRIABLE, "c", "%s", text);
        AUTO_FREE char *reply_text = reply_encode_error(&job, &why, text, text, 1, &timing);
        AUTO_JSON json_t *reply = json_loads(reply_text, JSON_REJECT_DUPLICATES, NULL);
        cr_assert_not_null(reply, "seed %u: %s", seed, reply_text);
        const char *session = json_string_value(json_object_get(reply, "session"));
        if (valid_only)
            cr_assert_str_eq(session, text, "seed %u", seed);
        else
            cr_assert_eq(strlen(session), strlen(text), "seed %u: one mark a bad byte", seed);
    }
}

Test(reply, readers_see_the_parts)
{
    static const char ok[] = "{\"job\":\"j\",\"status\":\"ok\",\"message\":{\"content\":\"Hi\"},\"finish_reason\":\"stop\"}";
    struct reply_view view;
    struct error err;
    cr_assert_eq(reply_decode(ok, sizeof ok - 1, &view, &err), STATUS_OK);
    cr_assert_str_eq(view.job, "j");
    cr_assert_str_eq(view.status, "ok");
    cr_assert_str_eq(view.content, "Hi");
    cr_assert_str_eq(view.finish_reason, "stop");
    cr_assert_null(view.error_code);
    json_decref(view.root);

    static const char error[] = "{\"job\":\"j\",\"status\":\"error\",\"error\":{\"code\":\"c\",\"message\":\"m\"},\"message\":{\"content\":null}}";
    cr_assert_eq(reply_decode(error, sizeof error - 1, &view, &err), STATUS_OK);
    cr_assert_str_eq(view.error_code, "c");
    cr_assert_str_eq(view.error_message, "m");
    cr_assert_null(view.content);
    json_decref(view.root);
}

Test(reply, what_is_no_reply_is_refused)
{
    static const struct {
        const char *value, *code;
    } rows[] = {
        {"", "empty_value"},          {"{", "invalid_json"},  {"[]", "invalid_member"},
        {"{\"status\":\"ok\"}", "invalid_member"}, {"{\"job\":\"j\",\"status\":1}", "invalid_member"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct reply_view view;
        struct error err;
        cr_expect_eq(reply_decode(rows[i].value, strlen(rows[i].value), &view, &err), STATUS_FAILED, "%s", rows[i].value);
        cr_expect_str_eq(err.code, rows[i].code);
    }
}

static void assert_header(const struct headers *headers, const char *name, const char *expected)
{
    const struct header *header = headers_find(headers, name);
    cr_assert_not_null(header, "%s", name);
    cr_assert_eq(header->size, strlen(expected), "%s", name);
    cr_assert_arr_eq(header->value, expected, header->size, "%s", name);
}

Test(reply_route, topics_come_from_the_list)
{
    static const char *const allowed[] = {"replies-a", "replies-b", NULL};
    static const struct {
        const char *wish, *topic;
        const char *const *allowed;
        enum route_ignored ignored;
    } rows[] = {
        {NULL, "replies", allowed, ROUTE_FOLLOWED},    {"replies-b", "replies-b", allowed, ROUTE_FOLLOWED},
        {"replies", "replies", NULL, ROUTE_FOLLOWED},  {"replies-", "replies", allowed, ROUTE_TOPIC},
        {"replies-bb", "replies", allowed, ROUTE_TOPIC}, {"replies-a", "replies", NULL, ROUTE_TOPIC},
        {"", "replies", allowed, ROUTE_TOPIC},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct record record = {0};
        struct job job = {.id = (char[]){"j"}};
        struct reply_route route;
        if (rows[i].wish != NULL)
            headers_set_text(&record.headers, "kafka_replyTopic", rows[i].wish);
        reply_route(&record, &job, "replies", rows[i].allowed, &route);
        cr_expect_str_eq(route.topic, rows[i].topic, "row %zu", i);
        cr_expect_eq(route.ignored, rows[i].ignored, "row %zu", i);
        cr_expect_eq(route.partition, ROUTE_BY_KEY);
        cr_expect_eq(route.headers.count, 0);
        headers_finish(&route.headers);
        record_finish(&record);
    }
}

Test(reply_route, a_partition_goes_with_an_allowed_topic)
{
    static const char *const allowed[] = {"mine", NULL};
    static const struct {
        const char *topic, *partition; /* NULL: no header */
        size_t size;
        int32_t expected;
        enum route_ignored ignored;
    } rows[] = {
        {"mine", "\0\0\0\0", 4, 0, ROUTE_FOLLOWED},
        {"mine", "\0\0\0\5", 4, 5, ROUTE_FOLLOWED},
        {"replies", "\0\0\1\2", 4, 258, ROUTE_FOLLOWED},
        {"mine", "\x7f\xff\xff\xff", 4, INT32_MAX, ROUTE_FOLLOWED},
        {"mine", "\x80\0\0\0", 4, ROUTE_BY_KEY, ROUTE_PARTITION_MALFORMED},
        {"mine", "\xff\xff\xff\xff", 4, ROUTE_BY_KEY, ROUTE_PARTITION_MALFORMED},
        {"mine", "5", 1, ROUTE_BY_KEY, ROUTE_PARTITION_MALFORMED},
        {"mine", "", 0, ROUTE_BY_KEY, ROUTE_PARTITION_MALFORMED},
        {"mine", "\0\0\0\0\0\0\0\5", 8, ROUTE_BY_KEY, ROUTE_PARTITION_MALFORMED},
        {"yours", "\0\0\0\5", 4, ROUTE_BY_KEY, ROUTE_TOPIC},
        {NULL, "\0\0\0\5", 4, ROUTE_BY_KEY, ROUTE_PARTITION_ALONE},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct record record = {0};
        struct job job = {.id = (char[]){"j"}};
        struct reply_route route;
        if (rows[i].topic != NULL)
            headers_set_text(&record.headers, "kafka_replyTopic", rows[i].topic);
        headers_set(&record.headers, "kafka_replyPartition", rows[i].partition, rows[i].size);
        reply_route(&record, &job, "replies", allowed, &route);
        cr_expect_eq(route.partition, rows[i].expected, "row %zu: %d", i, (int)route.partition);
        cr_expect_eq(route.ignored, rows[i].ignored, "row %zu", i);
        headers_finish(&route.headers);
        record_finish(&record);
    }
}

Test(reply_route, tracing_and_correlation_go_through)
{
    struct record record = {0};
    struct job job = {.id = (char[]){"j"}};
    struct reply_route route;
    headers_set_text(&record.headers, "traceparent", "00-aa-bb-01");
    headers_set_text(&record.headers, "tracestate", "k=v");
    headers_set(&record.headers, "kafka_correlationId", "\0\1\2", 3);
    headers_set_text(&record.headers, "secret", "not copied");
    reply_route(&record, &job, "replies", NULL, &route);
    cr_assert_eq(route.headers.count, 3);
    assert_header(&route.headers, "traceparent", "00-aa-bb-01");
    assert_header(&route.headers, "tracestate", "k=v");
    cr_assert_arr_eq(headers_find(&route.headers, "kafka_correlationId")->value, "\0\1\2", 3);
    headers_finish(&route.headers);
    record_finish(&record);
}

Test(reply_route, an_event_is_answered_with_an_event)
{
    struct record record = {0};
    struct job job = {.id = (char[]){"j"}};
    struct reply_route route;
    headers_set_text(&record.headers, "ce_specversion", "1.0");
    headers_set_text(&record.headers, "ce_id", "77");
    headers_set_text(&record.headers, "ce_source", "/shop");
    headers_set_text(&record.headers, "ce_type", "shop.question");
    reply_route(&record, &job, "replies", NULL, &route);
    assert_header(&route.headers, "ce_specversion", "1.0");
    assert_header(&route.headers, "ce_id", "j.reply");
    assert_header(&route.headers, "ce_source", "/chat-worker");
    assert_header(&route.headers, "ce_type", "chat.reply");
    assert_header(&route.headers, "content-type", "application/json");
    headers_finish(&route.headers);
    record_finish(&record);
}
