/* For ThreadSanitizer: lanes that take, step and leave, a ring beside them, and readers that read cells and rings all the while, lapped again and again.
 * Checks that what a reader is given is whole: each bar's times, names and job belong together, and bars come in the order of their numbers. Exit 0: held.
 * Usage: stress_steps [jobs a lane] */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "telemetry/steps.h"

#define LANES 6
#define READERS 3
#define STEP_US 50

static atomic_int violations;
static atomic_bool over;
static atomic_ulong bars_read, bars_lost, cells_read;
static int jobs;

static const char *const waits[] = {"main", "redis", "permit"};

/* All of a job follows from its offset. */
static void name_job(char id[STEP_ID_BYTES], int64_t offset)
{
    size_t length = 1 + (size_t)(offset * 7 % (STEP_ID_BYTES - 1));
    memset(id, 'a' + (char)(offset % 26), length - 1);
    id[length - 1] = '\0';
}

static void violate(const char *what)
{
    if (atomic_fetch_add(&violations, 1) < 10)
        fprintf(stderr, "%s\n", what);
}

static void check_job(const struct step_job *job)
{
    char id[STEP_ID_BYTES];
    name_job(id, job->offset);
    if (strcmp(id, job->id) != 0 || job->partition != (int32_t)(job->offset % 12))
        violate("a job of two");
}

static void *lane_thread(void *arg)
{
    int lane = (int)(intptr_t)arg;
    char id[STEP_ID_BYTES];
    for (int i = 1; i <= jobs; i++) {
        int64_t offset = (int64_t)i * LANES + lane, at_us = offset * 1000;
        name_job(id, offset);
        steps_take(lane, (int32_t)(offset % 12), offset, id, at_us);
        for (int step = 1; step <= 3; step++)
            steps_enter(lane, STEP_ASK, waits[(offset + step) % 3], at_us + step * STEP_US);
        steps_leave(lane, at_us + 4 * STEP_US);
    }
    return NULL;
}

static void *ends_thread(void *arg)
{
    (void)arg;
    for (int64_t offset = 1; offset <= jobs; offset++) {
        struct step_bar bar = {.step = STEP_PUBLISH, .lane = (int)(offset % LANES), .waits_for = waits[offset % 3], .from_us = offset * 1000, .until_us = offset * 1000 + STEP_US,
                               .job = {.partition = (int32_t)(offset % 12), .offset = offset}};
        name_job(bar.job.id, offset);
        steps_put(STEPS_OF_COMPLETION, &bar);
    }
    return NULL;
}

static void check_bar(int ring, const struct step_bar *bar)
{
    int64_t step = bar->from_us % 1000 / STEP_US;
    check_job(&bar->job);
    if (bar->from_us / 1000 != bar->job.offset || bar->until_us != bar->from_us + STEP_US || bar->lane != (int)(bar->job.offset % LANES))
        violate("a bar of two");
    if (ring < LANES && (step == 0 ? bar->step != STEP_ASK || bar->waits_for != NULL : bar->waits_for != waits[(bar->job.offset + step) % 3]))
        violate("a wait of another");
}

static void *reader_thread(void *arg)
{
    (void)arg;
    uint64_t next[LANES + STEPS_RINGS_BESIDE] = {0};
    struct step_bar bar;
    struct lane_now now;
    while (!atomic_load(&over)) {
        for (int ring = 0; ring < steps_rings(); ring++) {
            uint64_t count = steps_count(ring);
            int64_t before_us = 0;
            if (count - next[ring] > steps_size(ring))
                next[ring] = count - steps_size(ring);
            for (; next[ring] < count; next[ring]++) {
                if (!steps_read(ring, next[ring], &bar)) {
                    atomic_fetch_add(&bars_lost, 1);
                    continue;
                }
                atomic_fetch_add(&bars_read, 1);
                check_bar(ring, &bar);
                if (bar.from_us <= before_us)
                    violate("out of order");
                before_us = bar.from_us;
            }
        }
        for (int lane = 0; lane < LANES; lane++) {
            if (!steps_now(lane, &now) || now.step == STEP_NONE)
                continue;
            atomic_fetch_add(&cells_read, 1);
            check_job(&now.job);
            if (now.taken_us / 1000 != now.job.offset || now.since_us / 1000 != now.job.offset)
                violate("a cell of two");
        }
    }
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t lanes[LANES], readers[READERS], ends;
    jobs = argc > 1 ? atoi(argv[1]) : 20000;
    steps_start(LANES, STEPS_THREADS);
    steps_want(STEPS_FOR_PAGE, true);
    for (intptr_t i = 0; i < READERS; i++)
        pthread_create(&readers[i], NULL, reader_thread, NULL);
    for (intptr_t i = 0; i < LANES; i++)
        pthread_create(&lanes[i], NULL, lane_thread, (void *)i);
    pthread_create(&ends, NULL, ends_thread, NULL);
    for (int i = 0; i < LANES; i++)
        pthread_join(lanes[i], NULL);
    pthread_join(ends, NULL);
    atomic_store(&over, true);
    for (int i = 0; i < READERS; i++)
        pthread_join(readers[i], NULL);
    for (int lane = 0; lane < LANES; lane++)
        if (steps_count(lane) != (uint64_t)jobs * 4)
            violate("a bar that wasn't put");
    printf("bars read %lu lost %lu cells %lu violations %d\n", atomic_load(&bars_read), atomic_load(&bars_lost), atomic_load(&cells_read), atomic_load(&violations));
    return atomic_load(&violations) != 0 || atomic_load(&bars_read) == 0 || atomic_load(&cells_read) == 0;
}
