#include "telemetry/trace.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "telemetry/trace_text.h"

#define BUFFER_BYTES (64 * 1024)

struct trace {
    FILE *out;
    enum steps_reader reader;
    uint64_t bytes, bytes_max; /* written, but for the buffer's */
    struct trace_sums sums;
    uint64_t beyond; /* of those lost: what came when bytes_max was reached */
    uint64_t *next; /* by ring: the number of the bar to take next */
    bool *named;    /* by lane: its track has its name */
    struct trace_text text;
    pthread_t thread;

    struct mutex lock; /* guards stopping */
    struct cond wake;
    bool stopping;
};

/* ---- writing ---- */

static void write_out(struct trace *t)
{
    fwrite(t->text.bytes, 1, t->text.size, t->out);
    t->bytes += t->text.size;
    t->text.size = 0;
}

static void make_room(struct trace *t)
{
    if (t->text.size + 2 * TRACE_EVENT_BYTES_MAX > BUFFER_BYTES)
        write_out(t);
}

static bool is_full(const struct trace *t)
{
    return t->bytes + t->text.size >= t->bytes_max;
}

static void write_bar(struct trace *t, const struct step_bar *bar, bool unfinished)
{
    if (is_full(t)) {
        t->sums.lost++;
        t->beyond++;
        return;
    }
    make_room(t);
    if (t->text.has_tracks && !t->named[bar->lane])
        trace_text_track(&t->text, bar->lane);
    t->named[bar->lane] = true;
    trace_text_bar(&t->text, bar, unfinished);
    t->sums.bars++;
}

static void write_lost(struct trace *t, uint64_t lost, const char *why)
{
    make_room(t);
    trace_text_lost(&t->text, lost, why, clock_mono_us());
}

/* ---- taking ---- */

static void take_ring(struct trace *t, int ring)
{
    struct step_bar bar;
    uint64_t count = steps_count(ring), size = steps_size(ring), lost = 0;
    if (count - t->next[ring] > size) {
        lost = count - size - t->next[ring];
        t->next[ring] = count - size;
    }
    for (; t->next[ring] < count; t->next[ring]++) {
        if (steps_read(ring, t->next[ring], &bar))
            write_bar(t, &bar, false);
        else
            lost++;
    }
    if (lost == 0)
        return;
    t->sums.lost += lost;
    if (is_full(t))
        t->beyond += lost;
    else
        write_lost(t, lost, "written over");
}

static void take(struct trace *t)
{
    for (int ring = 0; ring < steps_rings(); ring++)
        take_ring(t, ring);
    if (t->text.size == 0)
        return;
    write_out(t);
    fflush(t->out);
}

/* What isn't over, and what had no room. */
static void write_rest(struct trace *t)
{
    struct lane_now now;
    int64_t now_us = clock_mono_us();
    for (int lane = 0; lane < steps_lanes_with_bars(); lane++) {
        if (!steps_now(lane, &now) || now.step == STEP_NONE || now.since_us >= now_us)
            continue;
        struct step_bar bar = {.step = now.step, .lane = lane, .of_lane = true, .waits_for = now.waits_for, .from_us = now.since_us, .until_us = now_us, .job = now.job};
        write_bar(t, &bar, true);
    }
    if (t->beyond > 0)
        write_lost(t, t->beyond, "the trace was full");
    write_out(t);
}

static bool sleep_unless_stopping(struct trace *t)
{
    int64_t until_ms = clock_mono_ms() + TRACE_TAKE_MS;
    mutex_lock(&t->lock);
    while (!t->stopping && cond_wait_until(&t->wake, &t->lock, until_ms))
        ;
    bool goes_on = !t->stopping;
    mutex_unlock(&t->lock);
    return goes_on;
}

static void *trace_main(void *arg)
{
    struct trace *t = arg;
    pthread_setname_np(pthread_self(), "chat-trace");
    do
        take(t);
    while (sleep_unless_stopping(t));
    take(t);
    return NULL;
}

/* ---- the whole ---- */

static void trace_free(struct trace *t)
{
    cond_destroy(&t->wake);
    mutex_destroy(&t->lock);
    free(t->text.bytes);
    free(t->next);
    free(t->named);
    free(t);
}

enum status trace_start(FILE *out, enum steps_reader reader, uint64_t bytes_max, struct trace **ret, struct error *err)
{
    struct trace *t = xcalloc(1, sizeof *t);
    *t = (struct trace){.out = out, .reader = reader, .bytes_max = bytes_max};
    t->text = trace_text_new(steps_engine() == STEPS_THREADS, getpid(), xcalloc(1, BUFFER_BYTES));
    t->next = xcalloc((size_t)steps_rings(), sizeof *t->next);
    t->named = xcalloc((size_t)steps_lanes_with_bars(), sizeof *t->named);
    mutex_init(&t->lock);
    cond_init(&t->wake);
    for (int ring = 0; ring < steps_rings(); ring++)
        t->next[ring] = steps_count(ring);
    fputs("[\n", out);
    trace_text_process(&t->text);
    steps_want(reader, true);
    if (pthread_create(&t->thread, NULL, trace_main, t) != 0) {
        steps_want(reader, false);
        trace_free(t);
        return error_set(err, ERROR_FATAL, "thread_start", "the trace's thread can't be started; check ulimit -u");
    }
    *ret = t;
    return STATUS_OK;
}

void trace_stop(struct trace *t, struct trace_sums *ret)
{
    if (t == NULL)
        return;
    mutex_lock(&t->lock);
    t->stopping = true;
    cond_signal(&t->wake);
    mutex_unlock(&t->lock);
    pthread_join(t->thread, NULL);
    write_rest(t);
    steps_want(t->reader, false);
    fputs("\n]\n", t->out);
    t->sums.failed = fflush(t->out) != 0 || ferror(t->out) != 0;
    *ret = t->sums;
    trace_free(t);
}
