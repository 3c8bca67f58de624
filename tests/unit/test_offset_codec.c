/* The completed set as text: written sets are read again, foreign text is ignored. */
#include <criterion/criterion.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "task/offset_codec.h"

#define BASE INT64_C(1000000)
#define FAR (BASE + (INT64_C(1) << 40))

static struct offset_runs runs_of(size_t count, const struct offset_run *items)
{
    struct offset_runs runs = {0};
    for (size_t i = 0; i < count; i++)
        offset_runs_append(&runs, items[i].from, items[i].to);
    return runs;
}
#define RUNS(...) runs_of(sizeof((struct offset_run[]){__VA_ARGS__}) / sizeof(struct offset_run), (struct offset_run[]){__VA_ARGS__})

static void assert_equal(const struct offset_runs *got, const struct offset_runs *want, const char *what)
{
    cr_assert_eq(got->count, want->count, "%s: %zu runs, not %zu", what, got->count, want->count);
    for (size_t i = 0; i < got->count; i++)
        cr_assert(got->items[i].from == want->items[i].from && got->items[i].to == want->items[i].to, "%s: run %zu", what, i);
}

/* Encodes, decodes, compares; returns the chosen form. Frees runs. */
static char round_trip(struct offset_runs *runs, int32_t epoch, const char *what)
{
    struct offset_text text = offset_encode(BASE, runs, epoch, OFFSET_TEXT_MAX);
    struct offset_runs back;
    struct error err;
    int32_t back_epoch;
    cr_assert(text.whole, "%s doesn't fit", what);
    cr_assert(offset_decode(text.text, strlen(text.text), BASE, FAR, &back, &back_epoch, &err) == STATUS_OK, "%s: %s", what, err.message);
    assert_equal(&back, runs, what);
    cr_assert_eq(back_epoch, epoch);
    unsigned char bytes[OFFSET_TEXT_MAX];
    cr_assert_gt(EVP_DecodeBlock(bytes, (unsigned char *)text.text + 3, (int)strlen(text.text + 3)), 0);
    free(text.text);
    offset_runs_finish(&back);
    offset_runs_finish(runs);
    return (char)bytes[0];
}

Test(offset_codec, each_form_is_chosen_where_it_is_smallest)
{
    struct offset_runs stuck_head = RUNS({BASE + 1, BASE + 5000000});
    cr_expect_eq(round_trip(&stuck_head, 7, "one stuck, five million done"), 'r');

    struct offset_runs alternating = {0};
    for (int64_t i = 1; i < 20000; i += 2)
        offset_runs_append(&alternating, BASE + i, BASE + i + 1);
    cr_expect_eq(round_trip(&alternating, -1, "every other one"), 'b');

    struct offset_runs clusters = {0}; /* far apart, each with a pattern */
    for (int64_t cluster = 0; cluster < 4; cluster++)
        for (int64_t i = 0; i < 250; i++)
            offset_runs_append(&clusters, BASE + cluster * 1000000 + i * 300, BASE + cluster * 1000000 + i * 300 + 1);
    cr_expect_eq(round_trip(&clusters, 0, "far clusters"), 'c');
}

Test(offset_codec, an_empty_set_is_no_text)
{
    struct offset_runs none = {0}, back;
    struct error err;
    int32_t epoch;
    struct offset_text text = offset_encode(BASE, &none, 3, OFFSET_TEXT_MAX);
    cr_assert(text.whole);
    cr_assert_str_eq(text.text, "");
    cr_assert(offset_decode("", 0, BASE, FAR, &back, &epoch, &err) == STATUS_OK && back.count == 0);
    cr_assert(offset_decode(NULL, 0, BASE, FAR, &back, &epoch, &err) == STATUS_OK && back.count == 0);
    free(text.text);
}

static struct offset_runs random_runs(unsigned *seed)
{
    struct offset_runs runs = {0};
    int64_t at = BASE + rand_r(seed) % 3;
    unsigned gap = 1U << rand_r(seed) % 16, length = 1U << rand_r(seed) % 16;
    for (int i = rand_r(seed) % 3000; i > 0; i--) {
        int64_t to = at + 1 + rand_r(seed) % (int)length;
        offset_runs_append(&runs, at, to);
        at = to + 1 + rand_r(seed) % (int)gap;
    }
    return runs;
}

static bool is_subset(const struct offset_runs *part, const struct offset_runs *whole)
{
    for (size_t i = 0; i < part->count; i++)
        for (int64_t at = part->items[i].from; at < part->items[i].to; at += part->items[i].to - at > 1 ? part->items[i].to - at - 1 : 1)
            if (!offset_runs_contain(whole, at))
                return false;
    return true;
}

Test(offset_codec, what_does_not_fit_is_cut_to_a_subset_that_does)
{
    int cut = 0;
    for (unsigned seed = 1; seed <= 300; seed++) {
        unsigned state = seed;
        struct offset_runs runs = random_runs(&state), back;
        size_t chars_max = 100 + (size_t)(rand_r(&state) % 4000);
        struct offset_text text = offset_encode(BASE, &runs, 5, chars_max);
        struct error err;
        int32_t epoch;
        cr_assert_leq(strlen(text.text), chars_max, "seed %u", seed);
        cr_assert(offset_decode(text.text, strlen(text.text), BASE, FAR, &back, &epoch, &err) == STATUS_OK, "seed %u: %s", seed, err.message);
        cr_assert(is_subset(&back, &runs), "seed %u", seed);
        if (text.whole)
            assert_equal(&back, &runs, "a whole set");
        else
            cr_assert(back.count < runs.count && back.count > 0, "seed %u", seed);
        cut += !text.whole;
        free(text.text);
        offset_runs_finish(&back);
        offset_runs_finish(&runs);
    }
    cr_assert(cut > 20 && cut < 280, "both happen: %d of 300 were cut", cut);
}

static void refused(const char *text, size_t size, int64_t base, int64_t log_end, const char *code)
{
    struct offset_runs back;
    struct error err;
    int32_t epoch;
    cr_assert(offset_decode(text, size, base, log_end, &back, &epoch, &err) == STATUS_FAILED, "%.*s is taken", (int)size, text);
    cr_assert_eq(back.count, 0);
    if (code != NULL)
        cr_assert_str_eq(err.code, code);
}

Test(offset_codec, what_is_not_ours_or_not_whole_counts_for_nothing)
{
    struct offset_runs runs = RUNS({BASE + 1, BASE + 3}, {BASE + 9, BASE + 40});
    struct offset_text text = offset_encode(BASE, &runs, 1, OFFSET_TEXT_MAX);
    size_t size = strlen(text.text);
    refused("some metadata", 13, BASE, FAR, "foreign");
    refused("{\"a\":1}", 7, BASE, FAR, "foreign");
    refused("cw2AAAA", 7, BASE, FAR, "foreign");
    refused("cw1", 3, BASE, FAR, "damaged");
    refused("cw1****", 7, BASE, FAR, "damaged");
    refused(text.text, size, BASE - 1, FAR, "damaged");
    refused(text.text, size, BASE, BASE + 39, "beyond_log");
    for (size_t cut = 1; cut < size; cut++)
        refused(text.text, cut, BASE, FAR, NULL);
    for (size_t i = 0; i < size; i++)
        for (int bit = 0; bit < 8; bit++) {
            AUTO_FREE char *damaged = strdup(text.text);
            damaged[i] = (char)(damaged[i] ^ (1 << bit));
            refused(damaged, size, BASE, FAR, NULL);
        }
    free(text.text);
    offset_runs_finish(&runs);
}

Test(offset_codec, runs_far_from_the_base_are_left_out)
{
    struct offset_runs runs = RUNS({BASE + 1, BASE + 3}, {BASE + OFFSET_SPAN_MAX, BASE + OFFSET_SPAN_MAX + 1}), back;
    struct offset_text text = offset_encode(BASE, &runs, 1, OFFSET_TEXT_MAX);
    struct error err;
    int32_t epoch;
    cr_assert_not(text.whole);
    cr_assert(offset_decode(text.text, strlen(text.text), BASE, FAR, &back, &epoch, &err) == STATUS_OK && back.count == 1);
    free(text.text);
    offset_runs_finish(&back);
    offset_runs_finish(&runs);
}
