/* Dead letters' headers, and the header lists they are made of. */
#include "wire/dead_letter.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

static void assert_header(const struct headers *headers, const char *name, const char *expected)
{
    const struct header *header = headers_find(headers, name);
    cr_assert_not_null(header, "%s", name);
    cr_assert_eq(header->size, strlen(expected), "%s: %.*s", name, (int)header->size, (char *)header->value);
    cr_assert_arr_eq(header->value, expected, header->size, "%s: %.*s", name, (int)header->size, (char *)header->value);
}

static struct headers dead_letter_of(struct record *record, int attempts)
{
    struct error error;
    error_set(&error, ERROR_PERMANENT, "invalid_member", "params.n: not allowed in a job; remove it");
    struct dead_letter_cause cause = {.group = "chat", .error = &error, .attempts = attempts,
                                      .provider_message = attempts == 1 ? "the flux isn't aligned" : NULL,
                                      .first_failed_at_ms = 0, .last_failed_at_ms = INT64_C(1795428000123)};
    struct headers headers;
    dead_letter_headers(record, &cause, &headers);
    return headers;
}

Test(dead_letter, the_headers_say_where_and_why)
{
    struct record record = {.topic = xstrdup("jobs"), .partition = 3, .offset = INT64_C(9007199254740993)};
    headers_add(&record.headers, "traceparent", "00", 2);
    headers_add(&record.headers, "nothing", NULL, 0);
    struct headers headers = dead_letter_of(&record, 2);
    cr_assert_eq(headers.count, 13);
    assert_header(&headers, "traceparent", "00");
    cr_assert_null(headers_find(&headers, "nothing")->value, "a null value stays one");
    assert_header(&headers, "__dlq.errors.topic", "jobs");
    assert_header(&headers, "__dlq.errors.partition", "3");
    assert_header(&headers, "__dlq.errors.offset", "9007199254740993");
    assert_header(&headers, "__dlq.errors.group", "chat");
    assert_header(&headers, "__dlq.errors.delivery.count", "2");
    assert_header(&headers, "__dlq.errors.message", "params.n: not allowed in a job; remove it");
    assert_header(&headers, "chat.error.class", "permanent");
    assert_header(&headers, "chat.error.code", "invalid_member");
    assert_header(&headers, "chat.attempts", "2");
    assert_header(&headers, "chat.first.failed.at", "1970-01-01T00:00:00.000Z");
    assert_header(&headers, "chat.last.failed.at", "2026-11-23T10:00:00.123Z");
    headers_finish(&headers);
    record_finish(&record);
}

Test(dead_letter, a_dead_letter_that_dies_again_does_not_grow)
{
    struct record record = {.topic = xstrdup("jobs"), .partition = 3, .offset = 17};
    headers_add(&record.headers, "traceparent", "00", 2);
    size_t count = 0;
    for (int round = 1; round <= 5; round++) {
        struct headers headers = dead_letter_of(&record, round);
        if (round == 1)
            dead_letter_mark_omitted(&headers, 1234567);
        count = round == 2 ? headers.count : count;
        cr_assert(round < 2 || headers.count == count);
        cr_assert_eq(headers_find(&headers, "chat.value.omitted") != NULL, round == 1, "an old mark doesn't stay");
        cr_assert_eq(headers_find(&headers, "chat.error.provider.message") != NULL, round == 1, "nor do words of an earlier end");
        headers_finish(&record.headers);
        record.headers = headers;
        record.offset++;
    }
    assert_header(&record.headers, "__dlq.errors.offset", "21"); /* the current record's, not the first one's */
    assert_header(&record.headers, "chat.attempts", "5");
    record_finish(&record);
}

Test(dead_letter, the_omitted_size_is_named)
{
    struct headers headers = {0};
    dead_letter_mark_omitted(&headers, 1234567);
    dead_letter_mark_omitted(&headers, 7);
    cr_assert_eq(headers.count, 1);
    assert_header(&headers, "chat.value.omitted", "7");
    headers_finish(&headers);
}

Test(dead_letter, stripping_leaves_what_the_sender_wrote)
{
    struct record record = {.topic = xstrdup("jobs"), .partition = 3, .offset = 17};
    headers_add(&record.headers, "a", "1", 1);
    headers_add(&record.headers, "chat.replay.of", "j", 1);
    struct headers headers = dead_letter_of(&record, 1);
    dead_letter_mark_omitted(&headers, 7);
    assert_header(&headers, "chat.error.provider.message", "the flux isn't aligned");
    dead_letter_strip(&headers);
    cr_assert_eq(headers.count, 2);
    assert_header(&headers, "a", "1");
    assert_header(&headers, "chat.replay.of", "j");
    headers_finish(&headers);
    record_finish(&record);
}

Test(dead_letter, the_origin_comes_back)
{
    struct record record = {.topic = xstrdup("jobs"), .partition = INT32_MAX, .offset = INT64_MAX};
    struct headers headers = dead_letter_of(&record, 1);
    struct dead_letter_origin origin;
    cr_assert(dead_letter_origin(&headers, &origin));
    cr_assert_str_eq(origin.topic, "jobs");
    cr_assert_eq(origin.partition, INT32_MAX);
    cr_assert_eq(origin.offset, INT64_MAX);
    free(origin.topic);
    headers_finish(&headers);
    record_finish(&record);
}

Test(dead_letter, malformed_coordinates_are_no_origin)
{
    static const struct {
        const char *name, *text;
        size_t size;
    } rows[] = {
        {"__dlq.errors.topic", "", 0},          {"__dlq.errors.topic", NULL, 0},
        {"__dlq.errors.topic", "a\0b", 3},      {"__dlq.errors.partition", "", 0},
        {"__dlq.errors.partition", "-1", 2},    {"__dlq.errors.partition", "2147483648", 10},
        {"__dlq.errors.partition", " 1", 2},    {"__dlq.errors.partition", "0x1", 3},
        {"__dlq.errors.offset", "1e3", 3},      {"__dlq.errors.offset", "9223372036854775808", 19},
        {"__dlq.errors.offset", "\xFF", 1},     {"__dlq.errors.offset", NULL, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct record record = {.topic = xstrdup("jobs"), .partition = 3, .offset = 17};
        struct headers headers = dead_letter_of(&record, 1);
        struct dead_letter_origin origin;
        headers_set(&headers, rows[i].name, rows[i].text, rows[i].size);
        cr_expect_not(dead_letter_origin(&headers, &origin), "row %zu", i);
        headers_remove(&headers, rows[i].name);
        cr_expect_not(dead_letter_origin(&headers, &origin), "row %zu", i);
        headers_finish(&headers);
        record_finish(&record);
    }
}

Test(headers, setting_from_a_value_being_replaced_is_safe)
{
    struct headers headers = {0};
    headers_add(&headers, "a", "first", 5);
    headers_add(&headers, "b", "x", 1);
    headers_add(&headers, "a", "last", 4);
    assert_header(&headers, "a", "last"); /* Kafka's rule */
    const struct header *last = headers_find(&headers, "a");
    headers_set(&headers, last->name, last->value, last->size);
    cr_assert_eq(headers.count, 2);
    cr_assert_str_eq(headers.items[0].name, "a", "the place of the first is kept");
    assert_header(&headers, "a", "last");
    headers_set(&headers, "a", headers.items[0].value, 2);
    assert_header(&headers, "a", "la");
    headers_finish(&headers);
}

Test(headers, an_array_filled_to_the_brim_can_grow)
{
    struct headers headers = {.items = xcalloc(3, sizeof *headers.items), .count = 3};
    for (size_t i = 0; i < 3; i++)
        headers.items[i].name = xasprintf("h%zu", i);
    headers_add(&headers, "h3", "", 0);
    cr_assert_eq(headers.count, 4);
    cr_assert_not_null(headers_find(&headers, "h3")->value, "empty is not null");
    headers_finish(&headers);
    headers_finish(&headers);
}

/* Against a model: names are single dead letters, so the model is a list of (name, value) pairs. */
Test(headers, any_sequence_of_changes_agrees_with_a_plain_list)
{
    for (unsigned seed = 1; seed <= 2000; seed++) {
        unsigned random = seed;
        struct headers headers = {0};
        char model[64][2];
        size_t count = 0;
        for (int step = 0; step < 24; step++) {
            char name[2] = {(char)('a' + rand_r(&random) % 4), '\0'};
            char value = (char)('0' + step % 10);
            int what = rand_r(&random) % 3;
            size_t kept = 0;
            bool placed = what == 0;
            for (size_t i = 0; what != 0 && i < count; i++) {
                bool same = model[i][0] == name[0];
                if (same && (what == 2 || placed))
                    continue;
                placed = placed || same;
                model[kept][0] = model[i][0];
                model[kept++][1] = same ? value : model[i][1];
            }
            count = what == 0 ? count : kept;
            if (what == 0 || (what == 1 && !placed)) {
                model[count][0] = name[0];
                model[count++][1] = value;
            }
            if (what == 0)
                headers_add(&headers, name, &value, 1);
            else if (what == 1)
                headers_set(&headers, name, &value, 1);
            else
                headers_remove(&headers, name);
        }
        cr_assert_eq(headers.count, count, "seed %u", seed);
        for (size_t i = 0; i < count; i++) {
            cr_assert_eq(headers.items[i].name[0], model[i][0], "seed %u", seed);
            cr_assert_eq(*(char *)headers.items[i].value, model[i][1], "seed %u", seed);
        }
        headers_finish(&headers);
    }
}
