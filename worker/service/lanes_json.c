#include "service/lanes_json.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "telemetry/metrics.h"
#include "telemetry/steps.h"

#define LATE_US 100000 /* so long after its end a bar may come into its ring, on a machine that is busy */
#define NAMES_MAX 128  /* providers and words */
#define NOT_OF_LANE 100

static int64_t lease_until_us; /* admin thread */

/* What the numbers of one answer mean. */
struct legend {
    const char *names[NAMES_MAX];
    int name_count;
    struct step_job *jobs;
    size_t job_count, job_room;
};

static int name_number(struct legend *legend, const char *name)
{
    if (name == NULL)
        return -1;
    for (int i = 0; i < legend->name_count; i++)
        if (legend->names[i] == name)
            return i;
    if (legend->name_count == NAMES_MAX)
        return -1;
    legend->names[legend->name_count] = name;
    return legend->name_count++;
}

/* Bars of one job mostly stand together. */
static size_t job_number(struct legend *legend, const struct step_job *job)
{
    const struct step_job *last = legend->job_count > 0 ? &legend->jobs[legend->job_count - 1] : NULL;
    if (last != NULL && last->offset == job->offset && last->partition == job->partition)
        return legend->job_count - 1;
    legend->jobs = xgrow(legend->jobs, &legend->job_room, legend->job_count + 1, sizeof *legend->jobs);
    legend->jobs[legend->job_count] = *job;
    return legend->job_count++;
}

/* ---- what is on ---- */

static void write_on(struct json_writer *out, struct legend *legend, int64_t now_us)
{
    struct lane_now now;
    json_write_open_array(out, "on");
    for (int lane = 0; lane < steps_lanes_with_bars(); lane++) {
        if (!steps_now(lane, &now) || now.step == STEP_NONE)
            continue;
        json_write_int(out, NULL, lane);
        json_write_int(out, NULL, now.step);
        json_write_int(out, NULL, name_number(legend, now.waits_for));
        json_write_int(out, NULL, (int64_t)job_number(legend, &now.job));
        json_write_int(out, NULL, now_us - now.since_us);
        json_write_int(out, NULL, now_us - now.taken_us);
    }
    json_write_close_array(out);
}

/* ---- bars that have ended ---- */

/* From which bar on the ring is to be shown. Bars of a lane's own time come in the order of their ends. */
static uint64_t first_since(int ring, uint64_t count, int64_t since_us)
{
    struct step_bar bar;
    uint64_t size = steps_size(ring), number = count;
    while (number > 0 && count - number < size && steps_read(ring, number - 1, &bar)) {
        if (bar.until_us < since_us && (bar.of_lane || ring >= steps_lanes_with_bars()))
            break;
        number--;
    }
    return number;
}

static void write_bar(struct json_writer *out, struct legend *legend, const struct step_bar *bar, uint64_t after, int64_t now_us)
{
    json_write_int(out, NULL, (int64_t)after);
    json_write_int(out, NULL, bar->lane);
    json_write_int(out, NULL, (int)bar->step + (bar->of_lane ? 0 : NOT_OF_LANE));
    json_write_int(out, NULL, name_number(legend, bar->waits_for));
    json_write_int(out, NULL, (int64_t)job_number(legend, &bar->job));
    json_write_int(out, NULL, now_us - bar->until_us);
    json_write_int(out, NULL, bar->until_us - bar->from_us);
}

static void write_ring(struct json_writer *out, struct legend *legend, int ring, int64_t since_us, int64_t now_us)
{
    struct step_bar bar;
    uint64_t count = steps_count(ring), first = first_since(ring, count, since_us), before = first;
    bool open = false;
    for (uint64_t number = first; number < count; number++) {
        if (!steps_read(ring, number, &bar))
            continue;
        if (!open) {
            json_write_open_array(out, NULL);
            json_write_int(out, NULL, ring);
            json_write_int(out, NULL, (int64_t)number);
            json_write_open_array(out, NULL);
            before = number;
            open = true;
        }
        write_bar(out, legend, &bar, number - before, now_us);
        before = number;
    }
    if (open) {
        json_write_close_array(out);
        json_write_close_array(out);
    }
}

/* ---- the whole ---- */

static void write_legend(struct json_writer *out, const struct legend *legend)
{
    json_write_open_array(out, "steps");
    for (int i = 0; i < STEP_COUNT; i++)
        json_write_text(out, NULL, step_name((enum step)i));
    json_write_close_array(out);
    json_write_open_array(out, "names");
    for (int i = 0; i < legend->name_count; i++)
        json_write_text(out, NULL, legend->names[i]);
    json_write_close_array(out);
    json_write_open_array(out, "jobs");
    for (size_t i = 0; i < legend->job_count; i++) {
        json_write_open_array(out, NULL);
        json_write_int(out, NULL, legend->jobs[i].partition);
        json_write_int(out, NULL, legend->jobs[i].offset);
        json_write_text(out, NULL, legend->jobs[i].id);
        json_write_close_array(out);
    }
    json_write_close_array(out);
}

static const char *engine_name(void)
{
    return steps_engine() == STEPS_THREADS ? "threads" : "loop";
}

void lanes_json_write(struct json_writer *out, int64_t since_us, int64_t now_us)
{
    struct legend legend = {.name_count = 0};
    lease_until_us = now_us + PAGE_LEASE_MS * 1000;
    steps_want(STEPS_FOR_PAGE, true);
    if (since_us < now_us - PAGE_LOOKS_BACK_US)
        since_us = now_us - PAGE_LOOKS_BACK_US;
    json_write_open(out, NULL);
    json_write_int(out, "now", now_us);
    json_write_int(out, "began", steps_began_us());
    json_write_text(out, "engine", engine_name());
    json_write_int(out, "lanes", steps_lanes_with_bars());
    json_write_int(out, "alive", metric_get(METRIC_jobs_alive));
    write_on(out, &legend, now_us);
    json_write_open_array(out, "rings");
    for (int ring = 0; ring < steps_rings(); ring++)
        write_ring(out, &legend, ring, since_us - LATE_US, now_us);
    json_write_close_array(out);
    write_legend(out, &legend);
    json_write_close(out);
    free(legend.jobs);
}

void lanes_json_look(int64_t now_us)
{
    if (lease_until_us != 0 && now_us >= lease_until_us) {
        lease_until_us = 0;
        steps_want(STEPS_FOR_PAGE, false);
    }
}
