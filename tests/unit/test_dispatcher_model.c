/* The dispatcher against a model in plain code: a list of all jobs, and the rules for starts, as simple as possible. Both run
 * the same random sequences, in both forms, with breakers' probes, limits, rates, suspects, deadlines, cancels, revokes and hand-overs;
 * after each step every job is where the model has it, and each start was fair. CHAT_MODEL_LIVES: how many lives (400);
 * CHAT_TEST_SEED: the first one's seed (1). */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "dispatch/dispatch_entry.h"
#include "dispatch/dispatcher.h"
#include "dispatch/dispatcher_hand_over.h"
#include "dispatch/dispatcher_waiting.h"
#include "telemetry/metrics.h"

#define THREADS 8
#define FEW 2         /* the square root of the threads */
#define AHEAD_MAX 5   /* an eighth of them and 4: how many may be ready */
#define PARTITIONS 3
#define SESSIONS 4
#define JOBS_MAX 2000
#define IN_HAND_MAX 40
#define STEPS 250

struct model_job {
    struct task *task; /* NULL: ended */
    enum task_state state;
    enum admission_class class;
    int partition, assignment, session; /* session -1: no lane */
    bool has_lane, is_head;        /* of its lane */
    bool has_permit;               /* it waits for a start reserved at its provider's rate */
    bool is_late, is_cancelled, has_outcome;
    int64_t due_ms;
    int age, last_start;
    int id;
};

static struct {
    unsigned seed, random;
    bool batched, probing, held;
    size_t bound;
    int count, starts;
    struct model_job jobs[JOBS_MAX];
    int assignments[PARTITIONS];
    struct partition *partitions[PARTITIONS];
    struct dispatcher *d;
    struct task *begun[THREADS * 4]; /* the begin thread's batch */
    int begun_count;
    bool cancelled_ids[JOBS_MAX];
} m;

static int64_t now_ms;

static int64_t model_clock(void)
{
    return now_ms;
}

static int draw(int below)
{
    return (int)((unsigned)rand_r(&m.random) % (unsigned)below);
}

static bool one_in(int n)
{
    return draw(n) == 0;
}

/* ---- the rule ---- */

static bool is_under_way(const struct model_job *job)
{
    return job->state == TASK_BEGINNING || job->state == TASK_AHEAD || job->state == TASK_READY || job->state == TASK_RUNNING;
}

static int under_way(enum admission_class class)
{
    int count = 0;
    for (int i = 0; i < m.count; i++)
        count += is_under_way(&m.jobs[i]) && m.jobs[i].class == class;
    return count;
}

static int in_state(enum task_state state)
{
    int count = 0;
    for (int i = 0; i < m.count; i++)
        count += m.jobs[i].state == state;
    return count;
}

static bool suspects_wait(void)
{
    for (int i = 0; i < m.count; i++)
        if (m.jobs[i].state == TASK_IN_LINE && (m.jobs[i].class == ADMIT_FEW || m.jobs[i].class == ADMIT_ALONE))
            return true;
    return false;
}

static bool may_start(enum admission_class class)
{
    int others = under_way(ADMIT_FREE) + under_way(ADMIT_FEW) + under_way(ADMIT_ALONE);
    if (m.held)
        return false;
    if (class == ADMIT_EXPIRED)
        return true;
    if ((size_t)others >= m.bound || under_way(ADMIT_ALONE) > 0)
        return false;
    if (class == ADMIT_ALONE)
        return others == 0;
    return (class != ADMIT_FEW && under_way(ADMIT_FEW) == 0) || others <= FEW;
}

static bool is_bounded(void)
{
    return m.bound != ADMISSION_UNBOUNDED || under_way(ADMIT_FEW) + under_way(ADMIT_ALONE) > 0;
}

static bool goes_before(const struct model_job *a, const struct model_job *b, bool probing)
{
    if (a->class != b->class)
        return a->class < b->class;
    if (a->has_permit != b->has_permit)
        return a->has_permit;
    if (!probing || a->has_permit)
        return a->age < b->age;
    if ((a->last_start == 0) != (b->last_start == 0))
        return a->last_start == 0;
    return a->last_start == 0 ? a->age > b->age : a->last_start < b->last_start;
}

static struct model_job *best(enum task_state state)
{
    struct model_job *found = NULL;
    for (int i = 0; i < m.count; i++)
        if (m.jobs[i].state == state && (found == NULL || goes_before(&m.jobs[i], found, state == TASK_IN_LINE && m.probing)))
            found = &m.jobs[i];
    return found;
}

/* The documented guarantee, checked independently of the rule above. */
static void expect_fair(const struct model_job *starts)
{
    for (int i = 0; i < m.count; i++) {
        const struct model_job *other = &m.jobs[i];
        bool waits = other != starts && other->state == TASK_IN_LINE && other->age < starts->age;
        bool preferred = starts->class < other->class || (starts->has_permit && !other->has_permit) || m.probing;
        bool could = may_start(other->class) && !(suspects_wait() && other->class == ADMIT_FREE);
        cr_assert_not(waits && could && !preferred, "seed %u: job %d waits while %d starts, which came later", m.seed, other->age, starts->age);
    }
}

static void start(struct model_job *job, enum task_state to)
{
    expect_fair(job);
    job->last_start = ++m.starts;
    job->state = to;
}

/* Per-thread form: a job that may start is ready at once, as long as there is room. */
static void pump(void)
{
    for (struct model_job *first; !m.batched && in_state(TASK_READY) < AHEAD_MAX && (first = best(TASK_IN_LINE)) != NULL && may_start(first->class);)
        start(first, TASK_READY);
}

static struct model_job *next_of_lane(const struct model_job *head)
{
    struct model_job *next = NULL;
    for (int i = 0; i < m.count && head->has_lane; i++) {
        struct model_job *job = &m.jobs[i];
        if (job->state == TASK_BEHIND && job->partition == head->partition && job->session == head->session && (next == NULL || job->age < next->age))
            next = job;
    }
    return next;
}

static void line_up(struct model_job *job)
{
    job->state = TASK_IN_LINE;
    job->has_outcome = false;
}

static void leave_lane(struct model_job *job)
{
    struct model_job *next = next_of_lane(job);
    if (next != NULL) {
        next->is_head = true;
        line_up(next);
    }
    job->has_lane = job->is_head = false;
}

/* ---- both, step by step ---- */

static struct model_job *job_of(const struct task *task)
{
    for (int i = 0; i < m.count; i++)
        if (m.jobs[i].task == task)
            return &m.jobs[i];
    cr_assert(false, "a task that nobody made");
    return NULL;
}

static struct model_job *any_in(enum task_state state)
{
    int count = in_state(state);
    int skip = count > 0 ? draw(count) : -1;
    for (int i = 0; i < m.count && skip >= 0; i++)
        if (m.jobs[i].state == state && skip-- == 0)
            return &m.jobs[i];
    return NULL;
}

static void expect_same(const char *step)
{
    int behind[PARTITIONS] = {0}, in_hand = 0;
    for (int i = 0; i < m.count; i++) {
        const struct model_job *job = &m.jobs[i];
        if (job->task == NULL)
            continue;
        cr_assert_eq(job->task->entry->state, job->state, "seed %u, after %s: job %d is in state %d, not %d", m.seed, step, job->age, job->task->entry->state, job->state);
        cr_assert_eq(job->task->entry->class, job->class, "seed %u, after %s: job %d is of class %d, not %d", m.seed, step, job->age, job->task->entry->class, job->class);
        behind[job->partition] += job->state == TASK_BEHIND && job->assignment == m.assignments[job->partition];
        in_hand++;
    }
    for (int i = 0; i < PARTITIONS; i++)
        cr_assert_eq(atomic_load(&m.partitions[i]->behind), behind[i], "seed %u, after %s", m.seed, step);
    struct model_job *first = best(TASK_IN_LINE);
    struct dispatcher_load load = dispatcher_load(m.d);
    cr_assert_eq(load.in_hand, in_hand, "seed %u, after %s", m.seed, step);
    cr_assert_eq(load.to_ask, in_hand - in_state(TASK_BEHIND), "seed %u, after %s", m.seed, step);
    bool bounded = false;
    for (int i = 0; i < m.count; i++)
        bounded = bounded || (m.jobs[i].state == TASK_IN_LINE && m.jobs[i].class != ADMIT_EXPIRED);
    cr_assert_eq(load.kept_waiting, bounded && !may_start(first->class), "seed %u, after %s", m.seed, step);
}

static void step_add(void)
{
    static const char *const sessions[] = {"a", "b", "c", "d"};
    int partition = draw(PARTITIONS), id = one_in(8) && m.count > 0 ? draw(m.count) : m.count;
    struct record record = {.topic = xstrdup("jobs"), .partition = partition, .offset = m.count, .timestamp_ms = -1};
    struct model_job *job = &m.jobs[m.count++];
    *job = (struct model_job){.task = task_create(&record, m.partitions[partition]), .class = ADMIT_FREE, .partition = partition,
                              .assignment = m.assignments[partition], .session = one_in(4) ? -1 : draw(SESSIONS), .age = m.count, .id = id};
    job->task->job.session = job->session >= 0 ? xstrdup(sessions[job->session]) : NULL;
    job->task->job.id = xasprintf("%d", id);
    job->is_cancelled = m.cancelled_ids[id];
    job->state = TASK_LEAVING;
    if (!job->is_cancelled) {
        bool others = false;
        for (int i = 0; i < m.count - 1; i++)
            others = others || (m.jobs[i].is_head && m.jobs[i].partition == partition && m.jobs[i].session == job->session);
        job->has_lane = job->session >= 0;
        job->is_head = job->has_lane && !others;
        job->state = job->has_lane && others ? TASK_BEHIND : TASK_IN_LINE;
    }
    cr_assert_eq(dispatcher_add(m.d, job->task), !job->is_cancelled);
    pump();
}

static void end(struct model_job *job)
{
    struct task *task = job->task;
    leave_lane(job);
    job->state = TASK_ENDED;
    job->task = NULL;
    dispatcher_end(m.d, task);
    task_unref(task);
    pump();
}

static void step_take(void)
{
    struct model_job *first = best(TASK_READY);
    if (first == NULL)
        return;
    cr_assert_eq(dispatcher_take(m.d, 0), first->task, "seed %u: job %d is the thread's", m.seed, first->age);
    first->state = TASK_RUNNING;
    pump();
}

/* Each holds a history: their number is bounded, whichever thread begins them. */
static int begun_ahead(void)
{
    return in_state(TASK_READY) + in_state(TASK_BEGINNING) + in_state(TASK_AHEAD);
}

static void step_begin(void)
{
    struct task *tasks[THREADS * 4];
    int ahead = begun_ahead(), max = 1 + draw(THREADS);
    struct model_job *first = best(TASK_IN_LINE);
    if (m.begun_count > 0 || ahead > AHEAD_MAX / 2 || first == NULL || !may_start(first->class))
        return;
    int n = (int)dispatcher_take_heads(m.d, tasks, (size_t)max);
    for (int i = 0; i < max && i < AHEAD_MAX - ahead && (first = best(TASK_IN_LINE)) != NULL && may_start(first->class); i++) {
        cr_assert_lt(i, n, "seed %u: job %d may begin", m.seed, first->age);
        cr_assert_eq(tasks[i], first->task, "seed %u: job %d begins", m.seed, first->age);
        start(first, TASK_BEGINNING);
        m.begun[m.begun_count++] = first->task;
    }
    cr_assert_eq(m.begun_count, n, "seed %u: no more may begin", m.seed);
}

static void step_begun(void)
{
    struct task *tasks[THREADS * 4];
    int n = m.begun_count;
    for (int i = 0; i < n; i++) {
        tasks[i] = m.begun[i];
        struct model_job *job = job_of(tasks[i]);
        job->has_outcome = one_in(5);
        tasks[i]->outcome = job->has_outcome ? OUTCOME_RETRY : OUTCOME_NONE;
        job->state = job->has_outcome || job->is_cancelled ? TASK_RUNNING : TASK_READY;
    }
    m.begun_count = 0;
    if (n > 0)
        dispatcher_ready(m.d, tasks, (size_t)n);
    for (int i = 0; i < n; i++)
        cr_assert_eq(tasks[i] == NULL, job_of(m.begun[i])->state == TASK_READY);
}

static bool is_revoked(const struct model_job *job)
{
    return job->assignment != m.assignments[job->partition];
}

static void step_wait(void)
{
    struct model_job *job = any_in(TASK_RUNNING);
    if (job == NULL)
        return;
    int64_t wait_ms = draw(4) * 50;
    bool busy = one_in(6), taken = !is_revoked(job) && !job->is_cancelled;
    job->has_permit = one_in(4);
    job->task->rated = (struct rated_start){.waits = job->has_permit, .due_ms = now_ms + wait_ms};
    job->task->claim_is_others = busy;
    job->task->outcome = one_in(2) ? OUTCOME_RETRY : OUTCOME_WAIT;
    cr_assert_eq(dispatcher_wait(m.d, job->task, wait_ms), taken);
    if (!taken) {
        end(job);
        return;
    }
    job->state = TASK_PARKED;
    job->due_ms = now_ms + wait_ms;
    job->class = busy ? ADMIT_FREE : job->class;
    pump();
}

static void step_suspect(void)
{
    struct model_job *job = any_in(TASK_RUNNING);
    int crashes = 2 + draw(3);
    if (job == NULL || job->class == ADMIT_EXPIRED)
        return;
    bool taken = !is_revoked(job) && !job->is_cancelled;
    cr_assert_eq(dispatcher_suspect(m.d, job->task, crashes), taken);
    if (!taken) {
        end(job);
        return;
    }
    line_up(job);
    job->class = crashes == 2 ? ADMIT_FEW : ADMIT_ALONE;
    pump();
}

static void step_cancel(void)
{
    if (m.count == 0)
        return;
    int id = one_in(4) ? draw(m.count) : m.jobs[m.count - 1 - draw(m.count < 30 ? m.count : 30)].id;
    char text[16];
    bool elsewhere, want_elsewhere = false;
    int want = 0, got = 0;
    snprintf(text, sizeof text, "%d", id);
    m.cancelled_ids[id] = true;
    for (int i = 0; i < m.count; i++) {
        struct model_job *job = &m.jobs[i];
        if (job->task == NULL || job->id != id)
            continue;
        job->is_cancelled = true;
        bool waits = job->state == TASK_BEHIND || job->state == TASK_IN_LINE || job->state == TASK_READY || job->state == TASK_PARKED;
        want += waits;
        want_elsewhere = want_elsewhere || !waits;
        if (job->state == TASK_BEHIND)
            job->has_lane = false;
        if (waits)
            job->state = TASK_LEAVING;
    }
    for (struct task *task = dispatcher_cancel(m.d, text, now_ms, &elsewhere); task != NULL; task = task->next, got++)
        cr_assert_eq(job_of(task)->state, TASK_LEAVING);
    cr_assert_eq(got, want);
    cr_assert_eq(elsewhere, want_elsewhere);
    pump();
}

/* Of one assignment, or all (NULL). */
static void take_out(struct partition *partition)
{
    int want = 0, got = 0;
    for (int i = 0; i < m.count; i++) {
        struct model_job *job = &m.jobs[i];
        bool mine = job->task != NULL && (partition == NULL || job->task->partition == partition);
        if (mine && job->state == TASK_BEHIND) {
            job->has_lane = false;
            job->state = TASK_LEAVING;
            want++;
        }
    }
    for (int i = 0; i < m.count; i++) {
        struct model_job *job = &m.jobs[i];
        bool mine = job->task != NULL && (partition == NULL || job->task->partition == partition);
        if (mine && (job->state == TASK_IN_LINE || job->state == TASK_READY || job->state == TASK_PARKED)) {
            job->state = TASK_LEAVING;
            leave_lane(job);
            want++;
        }
    }
    struct task *gone = dispatcher_remove_waiting(m.d, partition);
    pump();
    expect_same("a removal");
    for (struct task *after; gone != NULL; gone = after, got++) {
        after = gone->next;
        cr_assert_eq(job_of(gone)->state, TASK_LEAVING);
        end(job_of(gone));
    }
    cr_assert_eq(got, want);
}

static void step_revoke(void)
{
    int i = draw(PARTITIONS);
    struct partition *gone = m.partitions[i];
    partition_revoke(gone);
    m.partitions[i] = partition_create("jobs", i, (uint64_t)++m.assignments[i] + 1);
    while (one_in(3) && m.count < JOBS_MAX) /* the next assignment's first jobs come before the last one's are freed */
        step_add();
    take_out(gone);
    partition_unref(gone);
}

static void step_bound(void)
{
    m.probing = one_in(3);
    m.bound = m.probing ? (size_t)draw(3) : one_in(2) ? (size_t)draw(THREADS + 1) : ADMISSION_UNBOUNDED;
    dispatcher_bound(m.d, m.bound, m.probing ? START_PROBES : START_OLDEST);
    pump();
}

static void step_tick(void)
{
    now_ms += draw(60);
    cr_assert(dispatcher_tick(m.d, 0));
    for (int i = 0; i < m.count; i++)
        if (m.jobs[i].state == TASK_PARKED && m.jobs[i].due_ms <= now_ms)
            line_up(&m.jobs[i]);
    if (is_bounded() || suspects_wait())
        for (int i = 0; i < m.count; i++)
            if (m.jobs[i].state == TASK_IN_LINE && m.jobs[i].is_late)
                m.jobs[i].class = ADMIT_EXPIRED;
    pump();
}

static void step_late(void)
{
    struct model_job *job = any_in(TASK_IN_LINE);
    if (job == NULL)
        return;
    job->is_late = true;
    job->task->job.deadline_ms = job->task->record.timestamp_ms = 1;
}

/* Ends not yet stored and acknowledged hold all starts; a tick finds when they are. */
static void step_hold(void)
{
    m.held = !m.held;
    metric_add(METRIC_jobs_ended_bytes, m.held ? 1000 : -1000);
    step_tick();
}

static void step_hand_over(void)
{
    struct model_job *job = any_in(one_in(3) ? TASK_LEAVING : TASK_RUNNING), *line = best(TASK_IN_LINE), *ready = best(TASK_READY);
    bool own = one_in(2);
    if (job == NULL)
        return;
    struct model_job *next = next_of_lane(job);
    bool want = m.batched && next != NULL && !is_bounded() && !suspects_wait() && !m.held && (line == NULL || goes_before(next, line, false)) &&
                (own ? in_state(TASK_BEGINNING) == 0 && (ready == NULL || goes_before(next, ready, false)) : begun_ahead() < AHEAD_MAX);
    cr_assert_eq(dispatcher_hand_over_begin(m.d, job->task, own), want, "seed %u: job %d from %d", m.seed, next != NULL ? next->age : 0, job->age);
    if (!want)
        return;
    start(next, TASK_AHEAD);
    cr_assert_eq(job->task->entry->successor, next->task);
    expect_same("a hand-over's begin");
    next->has_outcome = one_in(4);
    next->task->outcome = next->has_outcome ? OUTCOME_STORED : OUTCOME_NONE;
    for (int i = draw(3); i > 0; i--)
        one_in(2) ? step_cancel() : step_add();
    struct task *left = NULL;
    bool back = one_in(3), runs = !next->is_cancelled && !next->has_outcome;
    enum handed_over handed = dispatcher_hand_over_end(m.d, job->task, back ? HAND_OVER_BACK : own ? HAND_OVER_OWN_THREAD : HAND_OVER_ANY_THREAD, &left);
    if (back) {
        cr_assert_eq(handed, next->is_cancelled ? HANDED_TO_END : HANDED_OVER);
        next->state = next->is_cancelled ? TASK_LEAVING : TASK_BEHIND;
        next->has_lane = !next->is_cancelled;
        next->has_outcome = false;
    } else {
        cr_assert_eq(handed, !runs ? HANDED_TO_END : own ? HANDED_TO_RUN : HANDED_OVER);
        next->state = runs && !own ? TASK_READY : TASK_RUNNING;
        next->is_head = true;
        job->has_lane = job->is_head = false;
        job->state = TASK_LEAVING;
    }
    cr_assert_eq(left, handed == HANDED_OVER ? NULL : next->task);
}

static void step_end(void)
{
    struct model_job *job = any_in(one_in(3) ? TASK_LEAVING : TASK_RUNNING);
    if (job != NULL)
        end(job);
}

static const struct {
    const char *name;
    void (*step)(void);
    int often;
} steps[] = {{"an add", step_add, 20}, {"a take", step_take, 20}, {"a begin", step_begin, 12}, {"begun", step_begun, 12}, {"an end", step_end, 16},
             {"a wait", step_wait, 8}, {"a suspect", step_suspect, 2}, {"a cancel", step_cancel, 3}, {"a revoke", step_revoke, 1},
             {"a bound", step_bound, 5}, {"a tick", step_tick, 8}, {"a passed deadline", step_late, 3}, {"a hold", step_hold, 1},
             {"a hand-over", step_hand_over, 12}};

static void play_step(void)
{
    size_t i = 0;
    int at = draw(123);
    while (at >= steps[i].often)
        at -= steps[i++].often;
    if (steps[i].step == step_add && m.count - in_state(TASK_ENDED) >= IN_HAND_MAX)
        return;
    steps[i].step();
    expect_same(steps[i].name);
}

/* All bounds are lifted, and no job is added: every remaining job ends soon. */
static void wind_up(void)
{
    if (m.held)
        step_hold();
    m.probing = false;
    m.bound = ADMISSION_UNBOUNDED;
    dispatcher_bound(m.d, m.bound, START_OLDEST);
    pump();
    for (int round = 0; in_state(TASK_ENDED) < m.count; round++) {
        cr_assert_lt(round, 2000, "seed %u: somebody waits for ever", m.seed);
        for (int i = 0; i < m.count; i++)
            if (m.jobs[i].state == TASK_RUNNING || m.jobs[i].state == TASK_LEAVING)
                end(&m.jobs[i]);
        step_take();
        step_begin();
        step_begun();
        step_tick();
        expect_same("winding up");
    }
}

static void live(unsigned seed)
{
    memset(&m, 0, sizeof m);
    m.seed = m.random = seed;
    m.batched = seed % 2 == 0;
    m.bound = ADMISSION_UNBOUNDED;
    now_ms = 1000;
    m.d = dispatcher_create(ORDERING_KEY, m.batched ? REDIS_IO_BATCHED : REDIS_IO_PER_THREAD, THREADS);
    dispatcher_use_clock(m.d, model_clock);
    dispatcher_bound_ends(m.d, 1000);
    for (int i = 0; i < PARTITIONS; i++)
        m.partitions[i] = partition_create("jobs", i, 1);
    for (int i = 0; i < STEPS; i++)
        play_step();
    if (one_in(3))
        take_out(NULL);
    wind_up();
    for (int i = 0; i < PARTITIONS; i++)
        partition_unref(m.partitions[i]);
    dispatcher_destroy(m.d);
}

static unsigned number_of(const char *name, unsigned otherwise)
{
    const char *text = getenv(name);
    return text != NULL ? (unsigned)atoi(text) : otherwise;
}

Test(dispatcher_model, over_random_lives_each_job_is_where_the_rule_has_it_and_each_start_is_fair, .timeout = 36000)
{
    unsigned first = number_of("CHAT_TEST_SEED", 1), lives = number_of("CHAT_MODEL_LIVES", 400);
    for (unsigned seed = first; seed < first + lives; seed++)
        live(seed);
    cr_assert_eq(metric_get(METRIC_jobs_alive), 0);
}
