/* Which jobs were cancelled: bounded in number, bytes and time. And what a control record says. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "dispatch/cancelled_ids.h"
#include "wire/control.h"

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

Test(control, a_cancel_names_a_job)
{
    char *text = control_encode_cancel("j\"\xc3\xbc");
    struct control control;
    struct error err;
    cr_assert(control_decode(text, strlen(text), &control, &err) == STATUS_OK, "%s", err.message);
    cr_expect_str_eq(control.cancel, "j\"\xc3\xbc");
    json_decref(control.root);
    free(text);
    static const char marked[] = "\xef\xbb\xbf{\"cancel\":\"j\"}";
    cr_assert(control_decode(marked, sizeof marked - 1, &control, &err) == STATUS_OK);
    cr_expect_str_eq(control.cancel, "j");
    json_decref(control.root);
    static const char later[] = " {\"cancel\":\"j\",\"by\":{\"who\":[1]}}\n";
    cr_assert(control_decode(later, sizeof later - 1, &control, &err) == STATUS_OK);
    cr_expect_str_eq(control.cancel, "j");
    json_decref(control.root);
}

Test(control, what_says_nothing_is_refused_with_why)
{
    static const struct {
        const char *value, *code;
    } cases[] = {{"", "empty_value"},           {"\xef\xbb\xbf", "empty_value"}, {"nonsense", "invalid_json"},
                 {"[]", "invalid_member"},      {"{}", "invalid_member"},
                 {"{\"cancel\":\"\"}", "invalid_member"}, {"{\"cancel\":7}", "invalid_member"},
                 {"{\"cancel\":\"a\",\"cancel\":\"b\"}", "invalid_json"}, {"{\"cancel\":\"a\\u0000b\"}", "invalid_json"},
                 {"[[[[[[[[[[[[[[[[[[[[", "too_large"}};
    struct control control;
    struct error err;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cr_expect(control_decode(cases[i].value, strlen(cases[i].value), &control, &err) == STATUS_FAILED, "%s", cases[i].value);
        cr_expect_str_eq(err.code, cases[i].code, "%s: %s", cases[i].value, err.code);
    }
    cr_expect(control_decode(NULL, 0, &control, &err) == STATUS_FAILED);
    char large[CONTROL_BYTES_MAX + 2];
    memset(large, ' ', sizeof large);
    cr_expect(control_decode(large, sizeof large, &control, &err) == STATUS_FAILED);
    cr_expect_str_eq(err.code, "too_large");
    memset(large, 'x', sizeof large);
    large[sizeof large - 1] = '\0';
    cr_expect_null(control_encode_cancel(large), "an id that is too long");
    cr_expect_null(control_encode_cancel(""));
    cr_expect_null(control_encode_cancel("\xff"), "not UTF-8");
}
