#include "telemetry/trace.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "wire/json_writer.h"

struct trace {
    FILE *out;
    enum steps_reader reader;
    uint64_t bytes, bytes_max;
    struct trace_sums sums;
    uint64_t *next;    /* by ring: the number of the bar to take next */
    bool *named;       /* by lane: its track has its name */
    struct json_writer event;
    pthread_t thread;

    struct mutex lock; /* guards stopping */
    struct cond wake;
    bool stopping;
};

/* ---- events ---- */

static void event_open(struct trace *t, const char *kind, int lane)
{
    t->event.size = 0;
    json_write_open(&t->event, NULL);
    json_write_text(&t->event, "ph", kind);
    json_write_int(&t->event, "pid", getpid());
    json_write_int(&t->event, "tid", lane + 1); /* 0 is the process's */
}

static void event_close(struct trace *t)
{
    json_write_close(&t->event);
    if (t->bytes > 2)
        fputs(",\n", t->out);
    fwrite(t->event.text, 1, t->event.size, t->out);
    t->bytes += t->event.size + 2;
}

static void write_meta(struct trace *t, const char *what, int lane, const char *name)
{
    event_open(t, "M", lane);
    json_write_text(&t->event, "name", what);
    json_write_open(&t->event, "args");
    json_write_text(&t->event, "name", name);
    json_write_close(&t->event);
    event_close(t);
}

static void name_track(struct trace *t, int lane)
{
    char name[STEPS_NAME_BYTES];
    if (t->named[lane] || steps_engine() != STEPS_THREADS)
        return;
    t->named[lane] = true;
    steps_lane_name(lane, name);
    write_meta(t, "thread_name", lane, name);
    event_open(t, "M", lane);
    json_write_text(&t->event, "name", "thread_sort_index");
    json_write_open(&t->event, "args");
    json_write_int(&t->event, "sort_index", lane);
    json_write_close(&t->event);
    event_close(t);
}

static void write_args(struct trace *t, const struct step_bar *bar, bool unfinished)
{
    struct json_writer *event = &t->event;
    json_write_open(event, "args");
    json_write_text(event, "job", bar->job.id);
    json_write_int(event, "partition", bar->job.partition);
    json_write_int(event, "offset", bar->job.offset);
    json_write_int(event, "lane", bar->lane);
    if (bar->waits_for != NULL)
        json_write_text(event, "waits_for", bar->waits_for);
    if (unfinished)
        json_write_bool(event, "unfinished", true);
    json_write_close(event);
}

static void write_span(struct trace *t, const char *kind, const struct step_bar *bar, bool unfinished)
{
    char id[48];
    snprintf(id, sizeof id, "%d:%lld", bar->job.partition, (long long)bar->job.offset);
    event_open(t, kind, bar->lane);
    json_write_text(&t->event, "cat", "job");
    json_write_text(&t->event, "id", id);
    json_write_text(&t->event, "name", step_name(bar->step));
    json_write_int(&t->event, "ts", *kind == 'b' ? bar->from_us : bar->until_us);
    if (*kind == 'b')
        write_args(t, bar, unfinished);
    event_close(t);
}

static void write_slice(struct trace *t, const struct step_bar *bar, bool unfinished)
{
    event_open(t, "X", bar->lane);
    json_write_text(&t->event, "cat", "lane");
    json_write_text(&t->event, "name", step_name(bar->step));
    json_write_int(&t->event, "ts", bar->from_us);
    json_write_int(&t->event, "dur", bar->until_us - bar->from_us);
    write_args(t, bar, unfinished);
    event_close(t);
}

static void write_bar(struct trace *t, const struct step_bar *bar, bool unfinished)
{
    if (t->bytes >= t->bytes_max) {
        t->sums.lost++;
        return;
    }
    name_track(t, bar->lane);
    t->sums.bars++;
    if (bar->of_lane && steps_engine() == STEPS_THREADS) {
        write_slice(t, bar, unfinished);
    } else {
        write_span(t, "b", bar, unfinished);
        write_span(t, "e", bar, unfinished);
    }
}

static void write_lost(struct trace *t, uint64_t lost)
{
    char name[64];
    t->sums.lost += lost;
    snprintf(name, sizeof name, "%llu bars lost: written over", (unsigned long long)lost);
    event_open(t, "i", -1);
    json_write_text(&t->event, "s", "p");
    json_write_text(&t->event, "name", name);
    json_write_int(&t->event, "ts", clock_mono_us());
    event_close(t);
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
    if (lost > 0)
        write_lost(t, lost);
}

static void take(struct trace *t)
{
    for (int ring = 0; ring < steps_rings(); ring++)
        take_ring(t, ring);
    fflush(t->out);
}

static void write_unfinished(struct trace *t)
{
    struct lane_now now;
    int64_t now_us = clock_mono_us();
    for (int lane = 0; lane < steps_lanes(); lane++) {
        if (!steps_now(lane, &now) || now.step == STEP_NONE || now.since_us >= now_us)
            continue;
        struct step_bar bar = {.step = now.step, .lane = lane, .of_lane = true, .waits_for = now.waits_for, .from_us = now.since_us, .until_us = now_us, .job = now.job};
        write_bar(t, &bar, true);
    }
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
    free(t->event.text);
    free(t->next);
    free(t->named);
    free(t);
}

enum status trace_start(FILE *out, enum steps_reader reader, uint64_t bytes_max, struct trace **ret, struct error *err)
{
    struct trace *t = xcalloc(1, sizeof *t);
    t->out = out;
    t->reader = reader;
    t->bytes_max = bytes_max;
    t->next = xcalloc((size_t)steps_rings(), sizeof *t->next);
    t->named = xcalloc((size_t)steps_lanes(), sizeof *t->named);
    mutex_init(&t->lock);
    cond_init(&t->wake);
    for (int ring = 0; ring < steps_rings(); ring++)
        t->next[ring] = steps_count(ring);
    fputs("[\n", out);
    t->bytes = 2;
    write_meta(t, "process_name", -1, "chat-worker");
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
    write_unfinished(t);
    steps_want(t->reader, false);
    fputs("\n]\n", t->out);
    t->sums.failed = fflush(t->out) != 0 || ferror(t->out) != 0;
    *ret = t->sums;
    trace_free(t);
}
