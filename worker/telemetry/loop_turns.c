#include "telemetry/loop_turns.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "telemetry/watchdog.h"

static const int64_t bounds_us[] = {100, 250, 500, 1000, 2500, 5000, 10000, 20000, 50000, 100000, 250000, 1000000};
#define BUCKETS (sizeof bounds_us / sizeof *bounds_us)

static const char *const names[] = {
#define LOOP_TURN_NAME(id, name) [TURN_##id] = (name),
    LOOP_TURNS(LOOP_TURN_NAME)
#undef LOOP_TURN_NAME
};

static struct histogram {
    _Atomic int64_t buckets[BUCKETS + 1], sum_us;
} histograms[TURN_COUNT];

static _Thread_local struct {
    int loop;
    enum loop_turn of;
    int depth;
    int64_t began_us, told_us;
    int64_t untold; /* long turns that weren't logged */
} turn;

void loop_turns_are_of(int loop)
{
    turn.loop = loop;
}

static enum watched watched(void)
{
    return (enum watched)(WATCHED_LOOPS + turn.loop);
}

void loop_turn_begin(enum loop_turn of)
{
    if (turn.depth++ > 0)
        return;
    watchdog_feed(watched());
    turn.of = of;
    turn.began_us = clock_mono_us();
}

static void tell(int64_t now_us, int64_t took_us)
{
    if (turn.told_us != 0 && now_us - turn.told_us < 1000000) {
        turn.untold++;
        return;
    }
    log_warn("loop_turn_long", F_STR("callback", names[turn.of]), F_INT("took_ms", took_us / 1000), F_INT("untold", turn.untold),
             F_STR("hint", "all jobs of this loop waited meanwhile: too little processor time, or a callback that blocks"));
    turn.told_us = now_us;
    turn.untold = 0;
}

void loop_turn_end(void)
{
    size_t bucket = 0;
    if (--turn.depth > 0)
        return;
    watchdog_rest(watched());
    int64_t now_us = clock_mono_us(), took_us = now_us - turn.began_us;
    while (bucket < BUCKETS && took_us > bounds_us[bucket])
        bucket++;
    atomic_fetch_add_explicit(&histograms[turn.of].buckets[bucket], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&histograms[turn.of].sum_us, took_us, memory_order_relaxed);
    if (took_us > LOOP_TURN_LONG_MS * 1000)
        tell(now_us, took_us);
}

static void print(FILE *out, const char *name, const struct histogram *of)
{
    int64_t count = 0;
    for (size_t i = 0; i <= BUCKETS; i++) {
        count += atomic_load_explicit(&of->buckets[i], memory_order_relaxed);
        if (i < BUCKETS)
            fprintf(out, "chat_loop_turn_seconds_bucket{callback=\"%s\",le=\"%g\"} %" PRId64 "\n", name, (double)bounds_us[i] / 1e6, count);
        else
            fprintf(out, "chat_loop_turn_seconds_bucket{callback=\"%s\",le=\"+Inf\"} %" PRId64 "\n", name, count);
    }
    fprintf(out, "chat_loop_turn_seconds_sum{callback=\"%s\"} %.6f\nchat_loop_turn_seconds_count{callback=\"%s\"} %" PRId64 "\n", name,
            (double)atomic_load_explicit(&of->sum_us, memory_order_relaxed) / 1e6, name, count);
}

static bool is_empty(const struct histogram *of)
{
    for (size_t i = 0; i <= BUCKETS; i++)
        if (atomic_load_explicit(&of->buckets[i], memory_order_relaxed) > 0)
            return false;
    return true;
}

void loop_turns_print(FILE *out)
{
    bool has_help = false;
    for (size_t i = 0; i < TURN_COUNT; i++) {
        if (is_empty(&histograms[i]))
            continue;
        if (!has_help)
            fprintf(out, "# HELP chat_loop_turn_seconds How long callbacks of event loops took: all other jobs of the loop wait meanwhile.\n# TYPE chat_loop_turn_seconds histogram\n");
        has_help = true;
        print(out, names[i], &histograms[i]);
    }
}

void loop_turns_clear(void)
{
    memset(histograms, 0, sizeof histograms);
}
