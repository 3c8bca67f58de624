/* The tracker against a model so simple that it can't be wrong: a table of what was received and done. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "task/offset_codec.h"
#include "task/offset_tracker.h"

Test(offset_tracker, an_empty_one_has_nothing_to_commit)
{
    struct offset_tracker tracker = OFFSET_TRACKER_EMPTY;
    cr_assert_eq(offset_tracker_committable(&tracker), -1);
    offset_tracker_mark_done(&tracker, 5);
    cr_assert_eq(offset_tracker_committable(&tracker), -1);
    offset_tracker_finish(&tracker);
}

Test(offset_tracker, a_late_first_offset_holds_the_commit)
{
    struct offset_tracker tracker = OFFSET_TRACKER_EMPTY;
    for (int64_t offset = 100; offset < 103; offset++)
        cr_assert_eq(offset_tracker_receive(&tracker, offset, -1), OFFSET_NEW);
    offset_tracker_mark_done(&tracker, 101);
    offset_tracker_mark_done(&tracker, 102);
    cr_assert_eq(offset_tracker_committable(&tracker), 100);
    offset_tracker_mark_done(&tracker, 100);
    cr_assert_eq(offset_tracker_committable(&tracker), 103);
    offset_tracker_finish(&tracker);
}

Test(offset_tracker, gaps_of_markers_and_compaction_are_stepped_over)
{
    struct offset_tracker tracker = OFFSET_TRACKER_EMPTY;
    cr_assert_eq(offset_tracker_receive(&tracker, 3, -1), OFFSET_NEW);
    cr_assert_eq(offset_tracker_receive(&tracker, 9, -1), OFFSET_NEW);
    offset_tracker_mark_done(&tracker, 5); /* never received */
    offset_tracker_mark_done(&tracker, 3);
    cr_assert_eq(offset_tracker_committable(&tracker), 9);
    offset_tracker_finish(&tracker);
}

Test(offset_tracker, a_rewound_fetch_is_seen)
{
    struct offset_tracker tracker = OFFSET_TRACKER_EMPTY;
    cr_assert_eq(offset_tracker_receive(&tracker, 7, -1), OFFSET_NEW);
    cr_assert_eq(offset_tracker_receive(&tracker, 7, -1), OFFSET_SEEN);
    cr_assert_eq(offset_tracker_receive(&tracker, 2, -1), OFFSET_SEEN);
    cr_assert_eq(offset_tracker_receive(&tracker, 8, -1), OFFSET_NEW);
    offset_tracker_finish(&tracker);
}

#define OFFSETS 4000

/* Invariants 1 to 3 of the header, after every step of a random interleaving. */
static void one_interleaving(unsigned seed)
{
    static enum { UNSEEN, RECEIVED, DONE } model[OFFSETS];
    struct offset_tracker tracker = OFFSET_TRACKER_EMPTY;
    int64_t next = 0, before = -1;
    for (int i = 0; i < OFFSETS; i++)
        model[i] = UNSEEN;
    while (next < OFFSETS - 5) {
        if (rand_r(&seed) % 2 == 0) {
            next += rand_r(&seed) % 4 == 0 ? rand_r(&seed) % 4 : 0;
            cr_assert_eq(offset_tracker_receive(&tracker, next, -1), OFFSET_NEW);
            model[next++] = RECEIVED;
        } else if (next > 0) {
            int64_t offset = next - 1 - rand_r(&seed) % (next < 200 ? (int)next : 200);
            offset_tracker_mark_done(&tracker, offset);
            if (model[offset] == RECEIVED)
                model[offset] = DONE;
        }
        int64_t expected = -1;
        for (int64_t i = 0; i < next && expected < 0; i++)
            if (model[i] == RECEIVED)
                expected = i;
        if (expected < 0 && next > 0)
            expected = next;
        cr_assert_eq(offset_tracker_committable(&tracker), expected);
        cr_assert_geq(expected, before);
        before = expected;
    }
    offset_tracker_finish(&tracker);
}

Test(offset_tracker, agrees_with_the_model_over_random_interleavings)
{
    for (unsigned seed = 1; seed <= 12; seed++) {
        fprintf(stderr, "seed %u\n", seed);
        one_interleaving(seed);
    }
}

/* ---- over crashes: a commit's completed set is restored into the tracker of the next assignment ---- */

#define LOG_SIZE 3000

struct log_model {
    bool is_record[LOG_SIZE]; /* else a gap: a marker, an aborted or compacted record */
    int handed_out[LOG_SIZE];
    bool done[LOG_SIZE];
};

struct commit {
    int64_t offset;
    char *metadata; /* owned */
};

static void commit_again(struct commit *commit, const struct offset_tracker *tracker, size_t chars_max)
{
    int64_t offset = offset_tracker_committable(tracker);
    if (offset < 0)
        return;
    struct offset_runs runs = {0};
    offset_tracker_completed(tracker, &runs);
    struct offset_text text = offset_encode(offset, &runs, tracker->epoch, chars_max);
    free(commit->metadata);
    *commit = (struct commit){offset, text.text};
    offset_runs_finish(&runs);
}

static struct offset_tracker assigned(const struct commit *commit, struct offset_runs *ret_set)
{
    struct offset_tracker tracker = OFFSET_TRACKER_EMPTY;
    struct error err;
    int32_t epoch;
    size_t size = commit->metadata ? strlen(commit->metadata) : 0;
    cr_assert(offset_decode(commit->metadata, size, commit->offset, LOG_SIZE, ret_set, &epoch, &err) == STATUS_OK, "%s", err.message);
    offset_tracker_restore(&tracker, ret_set, epoch);
    return tracker;
}

static bool contains_pending(const struct offset_runs *runs, const int64_t *pending, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (offset_runs_contain(runs, pending[i]))
            return true;
    return false;
}

/* Receives, ends in any order, commits and crashes at random; at the end all is done. Returns how many were handed out
 * more than once. */
static int one_life(unsigned seed, size_t chars_max, bool crashes)
{
    static struct log_model model;
    static int64_t pending[LOG_SIZE];
    unsigned state = seed;
    size_t pending_count = 0;
    int64_t at = 0;
    struct commit commit = {0};
    struct offset_runs set = {0};
    struct offset_tracker tracker = assigned(&commit, &set);
    memset(&model, 0, sizeof model);
    for (int i = 0; i < LOG_SIZE; i++)
        model.is_record[i] = rand_r(&state) % 8 != 0;
    model.is_record[LOG_SIZE - 1] = true;

    while (at < LOG_SIZE || pending_count > 0) {
        unsigned what = (unsigned)rand_r(&state) % 1000;
        if (what < 500 && at < LOG_SIZE && pending_count < 300) {
            if (model.is_record[at]) {
                enum offset_receipt receipt = offset_tracker_receive(&tracker, at, 1);
                if (receipt == OFFSET_NEW) {
                    cr_assert_not(offset_runs_contain(&set, at), "seed %u: %ld was known to be done", seed, (long)at);
                    model.handed_out[at]++;
                    pending[pending_count++] = at;
                } else {
                    cr_assert_eq(receipt, OFFSET_DONE_BEFORE, "seed %u", seed);
                    cr_assert(model.done[at], "seed %u: %ld is skipped, and was never done", seed, (long)at);
                }
            }
            at++;
        } else if (what < 900 && pending_count > 0) {
            /* Mostly late ones: the first stays behind. */
            size_t i = pending_count - 1 - (size_t)rand_r(&state) % (pending_count < 40 ? pending_count : 40);
            offset_tracker_mark_done(&tracker, pending[i]);
            model.done[pending[i]] = true;
            pending[i] = pending[--pending_count];
        } else if (what < 996) {
            struct offset_runs now = {0};
            offset_tracker_completed(&tracker, &now);
            cr_assert_not(contains_pending(&now, pending, pending_count), "seed %u", seed);
            offset_runs_finish(&now);
            commit_again(&commit, &tracker, chars_max);
            for (int64_t i = 0; i < commit.offset; i++)
                cr_assert(!model.is_record[i] || model.done[i], "seed %u: %ld is committed, and isn't done", seed, (long)i);
        } else if (crashes) {
            offset_tracker_finish(&tracker);
            offset_runs_finish(&set);
            tracker = assigned(&commit, &set);
            at = commit.offset;
            pending_count = 0;
        }
    }
    int again = 0;
    for (int i = 0; i < LOG_SIZE; i++) {
        cr_assert(!model.is_record[i] || model.done[i], "seed %u: %d was lost", seed, i);
        again += model.handed_out[i] > 1;
    }
    cr_assert_eq(offset_tracker_committable(&tracker), LOG_SIZE);
    offset_tracker_finish(&tracker);
    offset_runs_finish(&set);
    free(commit.metadata);
    return again;
}

Test(offset_tracker, nothing_is_lost_over_crashes_and_only_what_no_commit_told_comes_again)
{
    int with_sets = 0, without = 0;
    for (unsigned seed = 1; seed <= 60; seed++) {
        cr_assert_eq(one_life(seed, OFFSET_TEXT_MAX, false), 0, "seed %u", seed);
        with_sets += one_life(seed, OFFSET_TEXT_MAX, true);
        one_life(seed, 60, true); /* a subset of the set is as safe */
        without += one_life(seed, 0, true);
    }
    cr_assert_lt(with_sets * 2, without, "sets save most of what is done twice: %d against %d", with_sets, without);
}

Test(offset_tracker, memory_is_bounded_by_what_is_pending_however_far_the_rest_has_run)
{
    struct offset_tracker tracker = OFFSET_TRACKER_EMPTY;
    enum { JOBS = 10000000, IN_FLIGHT = 64 };
    offset_tracker_receive(&tracker, 0, -1); /* stuck */
    for (int64_t offset = 1; offset < JOBS; offset++) {
        offset_tracker_receive(&tracker, offset, -1);
        if (offset > IN_FLIGHT)
            offset_tracker_mark_done(&tracker, offset - IN_FLIGHT);
    }
    cr_expect_leq(tracker.capacity, 1024);
    struct offset_runs runs = {0};
    offset_tracker_completed(&tracker, &runs);
    cr_expect_eq(runs.count, 1);
    cr_expect_eq(offset_tracker_committable(&tracker), 0);
    struct offset_text text = offset_encode(0, &runs, -1, OFFSET_TEXT_MAX);
    cr_expect_lt(strlen(text.text), 40);
    free(text.text);
    offset_runs_finish(&runs);
    offset_tracker_finish(&tracker);
}

Test(offset_tracker, a_log_written_anew_by_a_later_leader_counts_as_new)
{
    struct offset_tracker tracker = OFFSET_TRACKER_EMPTY;
    struct offset_runs set = {0};
    offset_runs_append(&set, 11, 20);
    offset_tracker_restore(&tracker, &set, 4);
    cr_expect_eq(offset_tracker_receive(&tracker, 10, 3), OFFSET_NEW);
    cr_expect_eq(offset_tracker_receive(&tracker, 11, 4), OFFSET_DONE_BEFORE);
    cr_expect_eq(offset_tracker_receive(&tracker, 12, 5), OFFSET_NEW, "an unclean election: other records now");
    cr_expect_eq(offset_tracker_receive(&tracker, 13, 5), OFFSET_NEW);
    cr_expect_eq(tracker.epoch, 5);
    offset_runs_finish(&set);
    offset_tracker_finish(&tracker);
}

Test(offset_tracker, what_was_done_before_and_has_not_come_yet_is_said_again)
{
    struct offset_tracker tracker = OFFSET_TRACKER_EMPTY;
    struct offset_runs set = {0}, now = {0};
    offset_runs_append(&set, 3, 5);
    offset_runs_append(&set, 8, 9);
    offset_tracker_restore(&tracker, &set, -1);
    offset_tracker_receive(&tracker, 2, -1);
    offset_tracker_receive(&tracker, 3, -1);
    offset_tracker_completed(&tracker, &now);
    cr_assert_eq(now.count, 2);
    cr_expect(now.items[0].from == 3 && now.items[0].to == 5 && now.items[1].from == 8);
    offset_runs_finish(&now);
    offset_runs_finish(&set);
    offset_tracker_finish(&tracker);
}

/* ---- a transaction's commit ---- */

static bool same_runs(const struct offset_runs *a, const struct offset_runs *b)
{
    return a->count == b->count && memcmp(a->items, b->items, a->count * sizeof *a->items) == 0;
}

/* A tracker in use: 400 received, a third of them done. */
static struct offset_tracker in_the_middle(unsigned *state)
{
    struct offset_tracker tracker = OFFSET_TRACKER_EMPTY;
    struct offset_runs set = {0};
    offset_runs_append(&set, 20, 30);
    offset_runs_append(&set, 420, 440);
    offset_tracker_restore(&tracker, &set, -1);
    for (int64_t offset = 0; offset < 400; offset++)
        if (rand_r(state) % 8 != 0)
            (void)offset_tracker_receive(&tracker, offset, -1);
    for (int i = 0; i < 150; i++)
        offset_tracker_mark_done(&tracker, rand_r(state) % 400);
    offset_runs_finish(&set);
    return tracker;
}

Test(offset_tracker, what_a_transaction_would_commit_is_what_is_said_once_its_ends_are_done)
{
    for (unsigned seed = 1; seed <= 200; seed++) {
        unsigned state = seed;
        struct offset_tracker tracker = in_the_middle(&state);
        struct offset_runs before = {0}, after = {0}, would = {0}, is = {0};
        int64_t with[450];
        size_t n = 0;
        for (int64_t offset = 0; offset < 450; offset++) /* pending, done, gaps, restored, not yet received */
            if (rand_r(&state) % (int)(seed % 5 + 1) == 0)
                with[n++] = offset;
        int64_t committable = offset_tracker_committable(&tracker);
        offset_tracker_completed(&tracker, &before);
        int64_t would_commit = offset_tracker_committable_with(&tracker, with, n);
        offset_tracker_completed_with(&tracker, with, n, &would);
        offset_tracker_completed(&tracker, &after);
        cr_assert(offset_tracker_committable(&tracker) == committable && same_runs(&before, &after), "seed %u: asking changes nothing", seed);
        for (size_t i = 0; i < n; i++)
            offset_tracker_mark_done(&tracker, with[i]);
        offset_tracker_completed(&tracker, &is);
        cr_assert_eq(offset_tracker_committable(&tracker), would_commit, "seed %u", seed);
        cr_assert(same_runs(&would, &is), "seed %u", seed);
        cr_assert_geq(would_commit, committable);
        offset_runs_finish(&before);
        offset_runs_finish(&after);
        offset_runs_finish(&would);
        offset_runs_finish(&is);
        offset_tracker_finish(&tracker);
    }
}
