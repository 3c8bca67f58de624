/* Pieces of answers: as text, and as a reader shows them. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "../../producer/delta_view.h"
#include "base/cleanup.h"
#include "wire/delta.h"

Test(delta, what_is_encoded_is_decoded)
{
    struct delta out = {.job = "j\"1", .session = "s", .epoch = 3, .try = 1, .seq = 7, .text = "a\0b\xE2\x82\xAC", .text_size = 6, .final = false};
    AUTO_FREE char *value = delta_encode(&out);
    AUTO_JSON json_t *root = NULL;
    struct delta in;
    cr_assert_eq(delta_decode(value, strlen(value), &in, &root), STATUS_OK, "%s", value);
    cr_expect_str_eq(in.job, "j\"1");
    cr_expect_str_eq(in.session, "s");
    cr_expect(in.epoch == 3 && in.try == 1 && in.seq == 7 && !in.final && in.reasoning == NULL);
    cr_expect(in.text_size == 6 && memcmp(in.text, out.text, 6) == 0);
}

Test(delta, what_is_none_is_refused)
{
    static const char *const cases[] = {"", "{}", "[]", "{\"job\":\"j\"}", "{\"job\":1,\"epoch\":1,\"try\":0,\"seq\":0}",
                                        "{\"job\":\"j\",\"epoch\":1,\"try\":0,\"seq\":-1}", "{\"job\":\"j\",\"epoch\":\"1\",\"try\":0,\"seq\":0}",
                                        "{\"job\":\"j\",\"status\":\"ok\"}"};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct delta in;
        AUTO_JSON json_t *root = NULL;
        cr_expect_eq(delta_decode(cases[i], strlen(cases[i]), &in, &root), STATUS_FAILED, "%s", cases[i]);
    }
}

/* ---- the view ---- */

static struct delta_view view;
static char screen[256];

static void take(int64_t epoch, int64_t try, int64_t seq, const char *text)
{
    struct delta delta = {.job = "j", .epoch = epoch, .try = try, .seq = seq, .text = text, .text_size = text != NULL ? strlen(text) : 0};
    const char *shown = "";
    size_t size = 0;
    if (delta_view_take(&view, &delta, &shown, &size))
        strcat(screen, "|");
    strncat(screen, shown, size);
}

static void ends_with(const char *content, const char *wanted)
{
    const char *rest;
    if (delta_view_rest(&view, content, &rest))
        strcat(screen, "|");
    strcat(screen, rest);
    cr_expect_str_eq(screen, wanted);
    delta_view_finish(&view);
}

Test(delta_view, deltas_are_shown_once_in_order_and_the_reply_brings_the_rest)
{
    take(1, 0, 0, "Hel");
    take(1, 0, 0, "Hel");
    take(1, 0, 1, "lo");
    ends_with("Hello, world", "Hello, world");
}

Test(delta_view, a_later_stream_makes_the_first_void_and_an_earlier_one_is_dropped)
{
    take(1, 0, 0, "One ");
    take(2, 0, 0, "Two");
    take(1, 0, 1, "more of one");
    take(2, 1, 0, "Three");
    take(2, 0, 1, "more of two");
    ends_with("Three!", "One |Two|Three!");
}

Test(delta_view, what_is_missing_is_made_good_by_the_reply)
{
    take(1, 0, 0, "a");
    take(1, 0, 2, "c");
    take(1, 0, 3, "d");
    ends_with("abcd", "abcd");
}

Test(delta_view, a_stream_whose_beginning_was_missed_is_left_to_the_reply)
{
    take(1, 0, 5, "the end");
    take(1, 0, 6, NULL);
    ends_with("all to the end", "all to the end");
}

Test(delta_view, an_answer_that_is_another_one_begins_on_a_line_of_its_own)
{
    take(1, 0, 0, "Hel");
    ends_with("Bonjour", "Hel|Bonjour");
}
