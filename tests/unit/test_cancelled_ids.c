/* Which jobs were cancelled: bounded in number, bytes and time. And control records. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "dispatch/cancelled_ids.h"
#include "wire/control.h"
#include "wire/job.h"

Test(cancelled_ids, are_known_for_a_day)
{
    struct cancelled_ids ids = {0};
    cr_assert_not(cancelled_ids_has(&ids, "j", 0));
    cancelled_ids_add(&ids, "j", 1000);
    cr_assert(cancelled_ids_has(&ids, "j", 1000));
    cr_assert(cancelled_ids_has(&ids, "j", 1000 + CANCELLED_KEPT_MS - 1));
    cr_assert_not(cancelled_ids_has(&ids, "j", 1000 + CANCELLED_KEPT_MS));
    cr_assert_not(cancelled_ids_has(&ids, "k", 1000));
    cancelled_ids_add(&ids, "k", 1000 + CANCELLED_KEPT_MS);
    cr_assert_eq(ids.count, 1, "what has passed goes when another comes");
    cancelled_ids_finish(&ids);
}

Test(cancelled_ids, said_again_they_are_the_newest)
{
    struct cancelled_ids ids = {0};
    cancelled_ids_add(&ids, "a", 0);
    cancelled_ids_add(&ids, "b", 1);
    cancelled_ids_add(&ids, "a", 2);
    cr_assert_eq(ids.count, 2);
    cancelled_ids_add(&ids, "c", CANCELLED_KEPT_MS + 1);
    cr_assert(cancelled_ids_has(&ids, "a", CANCELLED_KEPT_MS + 1));
    cr_assert_not(cancelled_ids_has(&ids, "b", CANCELLED_KEPT_MS + 1));
    cr_assert_eq(ids.count, 2);
    cancelled_ids_finish(&ids);
}

Test(cancelled_ids, beyond_so_many_the_oldest_are_forgotten)
{
    enum { MORE = 50 };
    struct cancelled_ids ids = {0};
    char id[24];
    for (int i = 0; i < CANCELLED_IDS_MAX + MORE; i++) {
        snprintf(id, sizeof id, "job-%d", i);
        cancelled_ids_add(&ids, id, i);
    }
    cr_assert_eq(ids.count, CANCELLED_IDS_MAX);
    for (int i = 0; i < 2 * MORE; i++) {
        snprintf(id, sizeof id, "job-%d", i);
        cr_assert_eq(cancelled_ids_has(&ids, id, CANCELLED_IDS_MAX), i >= MORE, "%s", id);
    }
    cancelled_ids_finish(&ids);
}

Test(cancelled_ids, beyond_so_many_bytes_too)
{
    struct cancelled_ids ids = {0};
    size_t size = (size_t)1 << 20;
    char *id = xcalloc(1, size + 1);
    memset(id, 'x', size);
    for (int i = 0; i < 20; i++) {
        id[0] = (char)('a' + i);
        cancelled_ids_add(&ids, id, i);
        cr_assert(ids.bytes <= CANCELLED_IDS_BYTES_MAX && cancelled_ids_has(&ids, id, i));
    }
    cr_assert_eq(ids.count, 16);
    id[0] = 'd';
    cr_assert_not(cancelled_ids_has(&ids, id, 20));
    free(id);
    cancelled_ids_finish(&ids);
    cr_assert(ids.count == 0 && ids.bytes == 0);
}

static void expect_cancel(const char *value, size_t size, const char *id)
{
    struct control control = {0};
    struct error err = {0};
    cr_assert(control_decode(value, size, &control, &err) == STATUS_OK, "%s: %s", value, err.message);
    cr_expect_str_eq(control.cancel, id);
    control_finish(&control);
}

Test(control, a_cancel_names_a_job)
{
    static const char marked[] = "\xef\xbb\xbf{\"cancel\":\"j\"}", later[] = " {\"cancel\":\"j\",\"by\":{\"who\":[1]}}\n",
                      decoded[] = "{\"canc\\u0065l\":\"\\u006a\"}";
    expect_cancel(marked, sizeof marked - 1, "j");
    expect_cancel(later, sizeof later - 1, "j");
    expect_cancel(decoded, sizeof decoded - 1, "j");
}

Test(control, what_cancel_sends_is_what_a_worker_takes)
{
    static const char *const ids[] = {"j", "j\"\xc3\xbc", "{{{{{{{{{x", "[[[[[[[[[[", "a b\tc\n", "\\u0000", "\x7f"};
    struct error err = {0};
    char *text = NULL;
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        cr_assert(control_encode_cancel(ids[i], &text, &err) == STATUS_OK, "%s: %s", ids[i], err.message);
        expect_cancel(text, strlen(text), ids[i]);
        free(text);
    }
    char long_id[JOB_ID_MADE_BYTES_MAX + 2] = "";
    memset(long_id, 'x', JOB_ID_MADE_BYTES_MAX);
    cr_assert(control_encode_cancel(long_id, &text, &err) == STATUS_OK, "as long as the longest topic makes it");
    free(text);
    long_id[JOB_ID_MADE_BYTES_MAX] = 'x';
    static const char *const none[] = {"", "\xff", "a\xc3", "\xed\xa0\x80"};
    cr_expect(control_encode_cancel(long_id, &text, &err) == STATUS_FAILED, "one more");
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        cr_expect(control_encode_cancel(none[i], &text, &err) == STATUS_FAILED && err.class == ERROR_PERMANENT, "%zu", i);
}

Test(control, what_says_nothing_is_refused_with_why)
{
    static const struct {
        const char *value, *code;
    } cases[] = {{"", "empty_value"},           {"\xef\xbb\xbf", "empty_value"}, {"nonsense", "invalid_json"},
                 {"[]", "invalid_member"},      {"{}", "invalid_member"}, {"7", "invalid_member"},
                 {"{\"cancel\":\"\"}", "invalid_member"}, {"{\"cancel\":7}", "invalid_member"}, {"{\"cancel\":[\"j\"]}", "invalid_member"},
                 {"{\"cancel\":\"a\",\"cancel\":\"b\"}", "duplicate_member"}, {"{\"cancel\":\"a\",\"canc\\u0065l\":\"b\"}", "duplicate_member"},
                 {"{\"cancel\":\"a\\u0000b\"}", "invalid_member"}, {"{\"cancel\":\"\\ud800\"}", "invalid_utf8"},
                 {"{\"cancel\":\"\xff\"}", "invalid_utf8"}, {"{\"cancel\":\"a\"} x", "invalid_json"}, {"[[[[[[[[[[[[[[[[[[[[", "invalid_json"}};
    struct control control;
    struct error err;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cr_expect(control_decode(cases[i].value, strlen(cases[i].value), &control, &err) == STATUS_FAILED, "%s", cases[i].value);
        cr_expect_str_eq(err.code, cases[i].code, "%s: %s", cases[i].value, err.code);
    }
    cr_expect(control_decode(NULL, 0, &control, &err) == STATUS_FAILED);
    char large[CONTROL_BYTES_MAX + 1];
    memset(large, '[', sizeof large);
    cr_expect(control_decode(large, sizeof large - 1, &control, &err) == STATUS_FAILED);
    cr_expect_str_eq(err.code, "nested_too_deep");
    cr_expect(control_decode(large, sizeof large, &control, &err) == STATUS_FAILED);
    cr_expect_str_eq(err.code, "too_large");
}
