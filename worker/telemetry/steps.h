/* What each job does, step by step: for the page /lanes, the traces and /threads.
 *
 *   lane      a pool thread, or a job slot of an event loop: an index from 0, given by the engine. Its holder writes it, no other thread. (Not those of
 *             dispatch/lanes.h: they are sessions', in which jobs wait for each other.) Of those from STEPS_LANES_MAX on only what they do now is kept
 *   step      what happens to a job now: it is queued, begun in Redis, its contexts are fetched, a model is asked, it is finished in Redis, published
 *   bar       a step that is over: whose, from when to when, and for whom it waited
 *   ring      bars in the order of their ends, a fixed number of them, the newest kept. One writer each: a lane's thread, or completion's (enum steps_ring)
 *
 * What a lane does now is always kept, in a cell: a few stores a step. Bars are kept only while somebody wants them (steps_want): else a
 * hook loads one flag more. All memory is allocated by steps_start and never moves; pages of rings that were never written aren't resident.
 *
 * Readers never hold up a writer: each cell and each place in a ring carries a number, odd while it is written; a reader that finds it
 * changed reads again, or counts the bar as lost. Any thread may read. Nothing blocks or fails. Of a job there are its id, its partition and its
 * offset: never its text, its session or its key. Texts of `waits_for` are borrowed for good: literals, and names of the settings. Times: clock_mono_us. */
#ifndef CHAT_TELEMETRY_STEPS_H
#define CHAT_TELEMETRY_STEPS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* In a job's order: id, name. */
#define STEP_KINDS(S)            \
    S(NONE, "idle")         \
    S(QUEUED, "queued")     \
    S(BEGIN, "begin")       \
    S(CONTEXT, "context")   \
    S(ASK, "ask")           \
    S(FINISH, "finish")     \
    S(PUBLISH, "publish")

enum step {
#define STEP_ENUM(id, name) STEP_##id,
    STEP_KINDS(STEP_ENUM)
#undef STEP_ENUM
        STEP_COUNT
};

const char *step_name(enum step step);

/* What a lane is. */
enum steps_engine { STEPS_THREADS, STEPS_LOOP };

#define STEP_ID_BYTES 72 /* of a job's id, with its NUL; longer ones are cut */

struct step_job {
    int32_t partition;
    int64_t offset;
    char id[STEP_ID_BYTES];
};

struct step_bar {
    enum step step;
    int lane;              /* the lane that the job had, or had last */
    bool of_lane;          /* it took the lane's time; else the job was in line, or at its end, and the lane may have had another */
    const char *waits_for; /* a provider's name, "redis", "permit", "contexts", "thread", ...; NULL: for nobody, it worked */
    int64_t from_us, until_us;
    struct step_job job;
};

/* The job's lane has left it by then: completion writes these, exactly-once's publisher the last. */
enum steps_ring { STEPS_OF_COMPLETION, STEPS_OF_TRANSACTIONS, STEPS_RINGS_BESIDE };

/* ---- start ---- */

#define STEPS_LANES_MAX 5000 /* that have a ring: what a page can show, and threads end there */

/* Once in the process, before the lanes' threads; until then the hooks do nothing. Never undone: the admin thread reads to the end. */
void steps_start(int lanes, enum steps_engine engine);

/* ---- hooks ---- */

/* The lane has got this job, and prepares its question (ASK, for nobody). Lane's thread; likewise the next three. id is copied. */
void steps_take(int lane, int32_t partition, int64_t offset, const char *id, int64_t now_us);
/* From now on it does this. The step before becomes a bar, unless it was a moment's work. Nothing, if it does this already. */
void steps_enter(int lane, enum step step, const char *waits_for, int64_t now_us);
/* The lane has left its job. */
void steps_leave(int lane, int64_t now_us);
/* A bar of the lane's job that lies before steps_take. Dropped when from_us is 0: it isn't known. */
void steps_before(int lane, enum step step, const char *waits_for, int64_t from_us, int64_t until_us);
/* A bar of a job that has no lane any more; its job is filled in only if steps_are_wanted. The ring's thread. */
void steps_put(enum steps_ring ring, const struct step_bar *bar);

extern atomic_uint steps_wanted_by; /* steps_are_wanted's */

static inline bool steps_are_wanted(void)
{
    return atomic_load_explicit(&steps_wanted_by, memory_order_relaxed) != 0;
}

/* ---- who wants bars ---- */

enum steps_reader { STEPS_FOR_FILE = 1, STEPS_FOR_REQUEST = 2, STEPS_FOR_PAGE = 4 };

/* Any thread. */
void steps_want(enum steps_reader reader, bool wants);

/* ---- reading ---- */

int steps_lanes(void); /* 0: not started */
int steps_lanes_with_bars(void); /* STEPS_LANES_MAX at most: the first of them */
enum steps_engine steps_engine(void);
int64_t steps_began_us(void); /* when steps_start was called: with another process the numbers of bars begin anew */
#define STEPS_NAME_BYTES 16
/* chat-3, as the thread is called, or slot-3. */
void steps_lane_name(int lane, char ret[STEPS_NAME_BYTES]);

/* What a lane does at the moment. */
struct lane_now {
    enum step step;        /* NONE: idle, and nothing else is defined but since_us */
    const char *waits_for; /* NULL: it works */
    int64_t since_us;      /* this step, and this wait */
    int64_t taken_us;      /* the job */
    struct step_job job;
};

/* False: it changed all the while; *ret is undefined. */
bool steps_now(int lane, struct lane_now *ret);

/* Rings are numbered: those of the lanes with bars, then those of enum steps_ring. */
int steps_rings(void);
/* How many bars were ever put into it: the number of the next. */
uint64_t steps_count(int ring);
/* How many bars it holds at most. */
uint64_t steps_size(int ring);
/* Copies bar number `number` of the ring. False: it is overwritten by now. number: below steps_count. */
bool steps_read(int ring, uint64_t number, struct step_bar *ret);

#endif
