#include "telemetry/steps.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/alloc.h"
#include "base/clock.h"

#define BARS_OF_LANES 65536 /* in all rings of lanes together */
#define BARS_OF_LANE_MIN 16 /* two jobs */
#define BARS_OF_LANE_MAX 4096
#define BARS_OF_COMPLETION 16384
#define ID_WORDS (STEP_ID_BYTES / sizeof(uint64_t))
#define READ_TRIES 64
#define SLIVER_US 20 /* work of less, between two waits, is no bar: there would be more of them than of all others */

/* A job in words that are written and read one at a time. */
struct job_words {
    _Atomic int64_t offset;
    _Atomic int32_t partition;
    _Atomic uint64_t id[ID_WORDS];
};

/* Two cache lines. The number is odd while the place is written, and twice the bar's number and 2 behind it. */
struct place {
    _Atomic uint64_t number;
    _Atomic int64_t from_us, until_us;
    const char *_Atomic waits_for;
    _Atomic uint16_t step, lane;
    _Atomic bool of_lane;
    struct job_words job;
};

struct ring {
    struct place *places;
    uint64_t size; /* a power of two */
    _Atomic uint64_t count;
};

struct lane {
    _Atomic uint64_t number; /* odd while the cell is written */
    _Atomic uint8_t step;
    const char *_Atomic waits_for;
    _Atomic int64_t since_us, taken_us;
    struct job_words job;
};

static struct {
    int with_bars, rings;
    enum steps_engine engine;
    int64_t began_us;
    struct lane *cells;
    struct ring *all;
} steps; /* written by steps_start alone */
static atomic_int started; /* how many lanes: what the hooks and readers look at first */

atomic_uint steps_wanted_by;

const char *step_name(enum step step)
{
    static const char *const names[] = {
#define STEP_NAME(id, name) [STEP_##id] = (name),
        STEP_KINDS(STEP_NAME)
#undef STEP_NAME
    };
    return names[step];
}

/* ---- words ----
 *
 * Each store releases and each load acquires: so a reader that sees a word of a writing sees the odd number before it, too, without a fence,
 * which ThreadSanitizer wouldn't understand. On x86 these are plain moves. */

#define PUT(word, value) atomic_store_explicit(&(word), (value), memory_order_release)
#define GET(word) atomic_load_explicit(&(word), memory_order_acquire)

static void job_put(struct job_words *words, const struct step_job *job)
{
    uint64_t word;
    PUT(words->offset, job->offset);
    PUT(words->partition, job->partition);
    for (size_t i = 0; i < ID_WORDS; i++) {
        memcpy(&word, job->id + i * sizeof word, sizeof word);
        PUT(words->id[i], word);
        if (job->id[(i + 1) * sizeof word - 1] == '\0') /* the rest isn't read */
            break;
    }
}

static void job_get(struct job_words *words, struct step_job *ret)
{
    ret->offset = GET(words->offset);
    ret->partition = GET(words->partition);
    for (size_t i = 0; i < ID_WORDS; i++) {
        uint64_t word = GET(words->id[i]);
        memcpy(ret->id + i * sizeof word, &word, sizeof word);
        if (ret->id[(i + 1) * sizeof word - 1] == '\0')
            break;
    }
    ret->id[STEP_ID_BYTES - 1] = '\0';
}

/* ---- start ---- */

static uint64_t ring_size(int lanes)
{
    uint64_t size = BARS_OF_LANE_MIN;
    while (size < BARS_OF_LANE_MAX && 2 * size * (uint64_t)lanes <= BARS_OF_LANES)
        size *= 2;
    return size;
}

/* Zeroed, and resident once they are written: from the kernel, since malloc may have memory at hand and would clear it. */
static struct place *fresh_places(size_t count)
{
    void *places = mmap(NULL, count * sizeof(struct place), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (places == MAP_FAILED)
        abort(); /* memory */
    return places;
}

void steps_start(int lanes, enum steps_engine engine)
{
    int with_bars = lanes < STEPS_LANES_MAX ? lanes : STEPS_LANES_MAX;
    uint64_t size = ring_size(with_bars);
    assert(atomic_load(&started) == 0 && lanes > 0);
    static_assert(STEPS_LANES_MAX <= UINT16_MAX, "a bar's lane is kept in 16 bits");
    steps.with_bars = with_bars;
    steps.rings = with_bars + STEPS_RINGS_BESIDE;
    steps.engine = engine;
    steps.began_us = clock_mono_us();
    steps.cells = xcalloc((size_t)lanes, sizeof *steps.cells);
    steps.all = xcalloc((size_t)steps.rings, sizeof *steps.all);
    struct place *places = fresh_places((size_t)with_bars * size);
    for (int i = 0; i < with_bars; i++)
        steps.all[i] = (struct ring){.places = places + (size_t)i * size, .size = size};
    for (int i = with_bars; i < steps.rings; i++)
        steps.all[i] = (struct ring){.places = fresh_places(BARS_OF_COMPLETION), .size = BARS_OF_COMPLETION};
    atomic_store(&started, lanes);
}

static bool is_lane(int lane)
{
    return lane >= 0 && lane < atomic_load_explicit(&started, memory_order_acquire);
}

static bool wants_bars_of(int lane)
{
    return steps_are_wanted() && is_lane(lane) && lane < steps.with_bars;
}

/* ---- writing ---- */

static void ring_put(struct ring *ring, const struct step_bar *bar)
{
    uint64_t count = atomic_load_explicit(&ring->count, memory_order_relaxed);
    struct place *place = &ring->places[count & (ring->size - 1)];
    atomic_store_explicit(&place->number, 2 * count + 1, memory_order_relaxed);
    PUT(place->step, (uint16_t)bar->step);
    PUT(place->lane, (uint16_t)bar->lane);
    PUT(place->of_lane, bar->of_lane);
    PUT(place->waits_for, bar->waits_for);
    PUT(place->from_us, bar->from_us);
    PUT(place->until_us, bar->until_us);
    job_put(&place->job, &bar->job);
    PUT(place->number, 2 * count + 2);
    PUT(ring->count, count + 1);
}

void steps_put(enum steps_ring ring, const struct step_bar *bar)
{
    if (wants_bars_of(bar->lane) && bar->from_us > 0)
        ring_put(&steps.all[steps.with_bars + (int)ring], bar);
}

/* The lane's own bar: its job is the cell's. */
static void lane_put(int lane, struct step_bar *bar)
{
    bar->lane = lane;
    job_get(&steps.cells[lane].job, &bar->job);
    ring_put(&steps.all[lane], bar);
}

static void cell_put(struct lane *cell, enum step step, const char *waits_for, int64_t now_us)
{
    PUT(cell->step, (uint8_t)step);
    PUT(cell->waits_for, waits_for);
    PUT(cell->since_us, now_us);
}

static void cell_open(struct lane *cell)
{
    atomic_store_explicit(&cell->number, atomic_load_explicit(&cell->number, memory_order_relaxed) + 1, memory_order_relaxed);
}

static void cell_close(struct lane *cell)
{
    PUT(cell->number, atomic_load_explicit(&cell->number, memory_order_relaxed) + 1);
}

/* The step that ends now, as a bar. */
static void put_ended(int lane, int64_t now_us)
{
    struct lane *cell = &steps.cells[lane];
    enum step step = (enum step)atomic_load_explicit(&cell->step, memory_order_relaxed);
    struct step_bar bar = {.step = step,
                           .of_lane = true,
                           .waits_for = atomic_load_explicit(&cell->waits_for, memory_order_relaxed),
                           .from_us = atomic_load_explicit(&cell->since_us, memory_order_relaxed),
                           .until_us = now_us};
    if (step != STEP_NONE && now_us - bar.from_us >= (bar.waits_for == NULL ? SLIVER_US : 1))
        lane_put(lane, &bar);
}

void steps_take(int lane, int32_t partition, int64_t offset, const char *id, int64_t now_us)
{
    if (!is_lane(lane))
        return;
    struct lane *cell = &steps.cells[lane];
    struct step_job job = {.partition = partition, .offset = offset};
    strncpy(job.id, id != NULL ? id : "", sizeof job.id - 1);
    cell_open(cell);
    cell_put(cell, STEP_ASK, NULL, now_us);
    PUT(cell->taken_us, now_us);
    job_put(&cell->job, &job);
    cell_close(cell);
}

void steps_enter(int lane, enum step step, const char *waits_for, int64_t now_us)
{
    if (!is_lane(lane))
        return;
    struct lane *cell = &steps.cells[lane];
    if (atomic_load_explicit(&cell->step, memory_order_relaxed) == step && atomic_load_explicit(&cell->waits_for, memory_order_relaxed) == waits_for)
        return;
    if (wants_bars_of(lane))
        put_ended(lane, now_us);
    cell_open(cell);
    cell_put(cell, step, waits_for, now_us);
    cell_close(cell);
}

void steps_leave(int lane, int64_t now_us)
{
    steps_enter(lane, STEP_NONE, NULL, now_us);
}

void steps_before(int lane, enum step step, const char *waits_for, int64_t from_us, int64_t until_us)
{
    struct step_bar bar = {.step = step, .waits_for = waits_for, .from_us = from_us, .until_us = until_us};
    if (wants_bars_of(lane) && from_us > 0 && from_us < until_us)
        lane_put(lane, &bar);
}

void steps_want(enum steps_reader reader, bool wants)
{
    if (wants)
        atomic_fetch_or(&steps_wanted_by, (unsigned)reader);
    else
        atomic_fetch_and(&steps_wanted_by, ~(unsigned)reader);
}

/* ---- reading ---- */

int steps_lanes(void)
{
    return atomic_load_explicit(&started, memory_order_acquire);
}

int steps_lanes_with_bars(void)
{
    return steps_lanes() > 0 ? steps.with_bars : 0;
}

enum steps_engine steps_engine(void)
{
    return steps.engine;
}

int64_t steps_began_us(void)
{
    return steps.began_us;
}

void steps_lane_name(int lane, char ret[STEPS_NAME_BYTES])
{
    snprintf(ret, STEPS_NAME_BYTES, steps.engine == STEPS_THREADS ? "chat-%d" : "slot-%d", lane);
}

bool steps_now(int lane, struct lane_now *ret)
{
    if (!is_lane(lane))
        return false;
    struct lane *cell = &steps.cells[lane];
    for (int i = 0; i < READ_TRIES; i++) {
        uint64_t number = GET(cell->number);
        ret->step = (enum step)GET(cell->step);
        ret->waits_for = GET(cell->waits_for);
        ret->since_us = GET(cell->since_us);
        ret->taken_us = GET(cell->taken_us);
        job_get(&cell->job, &ret->job);
        if (number % 2 == 0 && GET(cell->number) == number)
            return true;
    }
    return false;
}

int steps_rings(void)
{
    return steps_lanes() > 0 ? steps.rings : 0;
}

uint64_t steps_count(int ring)
{
    return GET(steps.all[ring].count);
}

uint64_t steps_size(int ring)
{
    return steps.all[ring].size;
}

bool steps_read(int ring, uint64_t number, struct step_bar *ret)
{
    struct ring *from = &steps.all[ring];
    struct place *place = &from->places[number & (from->size - 1)];
    if (GET(place->number) != 2 * number + 2)
        return false;
    ret->step = (enum step)GET(place->step);
    ret->lane = GET(place->lane);
    ret->of_lane = GET(place->of_lane);
    ret->waits_for = GET(place->waits_for);
    ret->from_us = GET(place->from_us);
    ret->until_us = GET(place->until_us);
    job_get(&place->job, &ret->job);
    return GET(place->number) == 2 * number + 2;
}
