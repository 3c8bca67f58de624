/* The publishers' queue of ends: the allowed state changes, and the order in which ends are sent. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "completion/end_queue.h"
#include "telemetry/metrics.h"

static struct partition *partition;

static struct task *ended(int64_t offset)
{
    struct record record = {.topic = xstrdup("chat.jobs"), .offset = offset, .timestamp_ms = -1};
    struct task *task = task_create(&record, partition);
    end_owe(task, false);
    return task;
}

static struct task *put(struct end_queue *queue, int64_t offset)
{
    struct task *task = ended(offset);
    end_queue_put(queue, task);
    task_unref(task); /* the queue's reference is left */
    return task;
}

static void setup(void)
{
    partition = partition_create("chat.jobs", 0, 1);
}

static void teardown(void)
{
    cr_expect_eq(metric_get(METRIC_jobs_alive), 0, "the queue has given up its references");
    partition_unref(partition);
}

TestSuite(end_queue, .init = setup, .fini = teardown);

/* ---- moves ---- */

static void bring_to(struct end_queue *queue, struct task *task, enum publish_state state)
{
    static const enum publish_state ways[PUBLISH_STATES][3] = {[PUBLISH_OWED] = {0},
                                                               [PUBLISH_SENT] = {PUBLISH_SENT},
                                                               [PUBLISH_INCOMPLETE] = {PUBLISH_SENT, PUBLISH_INCOMPLETE},
                                                               [PUBLISH_HELD] = {PUBLISH_SENT, PUBLISH_INCOMPLETE, PUBLISH_HELD},
                                                               [PUBLISH_DONE] = {PUBLISH_SENT, PUBLISH_DONE},
                                                               [PUBLISH_DROPPED] = {PUBLISH_DROPPED}};
    if (state != PUBLISH_NEW)
        end_queue_put(queue, task);
    for (size_t i = 0; i < 3 && ways[state][i] != 0; i++)
        end_queue_move(queue, task, ways[state][i]);
}

/* In a process of its own, which a forbidden change aborts. */
static bool may_move(enum publish_state from, enum publish_state to)
{
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        struct end_queue queue = {0};
        struct task *task = ended(0);
        setrlimit(RLIMIT_CORE, &(struct rlimit){0});
        (void)!freopen("/dev/null", "w", stderr);
        bring_to(&queue, task, from);
        end_queue_move(&queue, task_ref(task), to);
        _exit(0);
    }
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

Test(end_queue, an_end_moves_only_as_its_page_says, .timeout = 120)
{
    static const char *const table[PUBLISH_STATES] = {/* to: NEW OWED SENT INCOMPLETE HELD DONE DROPPED */
                                                      [PUBLISH_NEW] = ".1.....",  [PUBLISH_OWED] = "..1...1",       [PUBLISH_SENT] = ".1.1.11",
                                                      [PUBLISH_HELD] = ".1....1", [PUBLISH_INCOMPLETE] = ".1..1.1", [PUBLISH_DONE] = ".......",
                                                      [PUBLISH_DROPPED] = "......."};
    for (enum publish_state from = PUBLISH_NEW; from < PUBLISH_STATES; from++)
        for (enum publish_state to = PUBLISH_NEW; to < PUBLISH_STATES; to++)
            cr_expect_eq(may_move(from, to), table[from][to] == '1', "%d to %d", from, to);
}

/* One of its records may have been acknowledged meanwhile, and would be sent twice. */
Test(end_queue, nothing_goes_again_that_is_under_way_still, .signal = SIGABRT)
{
    struct end_queue queue = {0};
    struct task *task = put(&queue, 0);
    end_queue_move(&queue, task, PUBLISH_SENT);
    end_queue_move(&queue, task, PUBLISH_INCOMPLETE);
    task->end->under_way = 1;
    end_queue_again(&queue, task);
}

/* ---- order ---- */

static int64_t next_offset(const struct end_queue *queue)
{
    const struct task *task = end_queue_next(queue);
    return task != NULL ? task->record.offset : -1;
}

static void send_next(struct end_queue *queue)
{
    end_queue_move(queue, end_queue_next(queue), PUBLISH_SENT);
}

Test(end_queue, what_comes_back_has_its_turn_before_what_came_later)
{
    struct end_queue queue = {0};
    for (int64_t offset = 0; offset < 4; offset++)
        put(&queue, offset);
    for (int i = 0; i < 3; i++)
        send_next(&queue);
    cr_expect_eq(next_offset(&queue), 3);
    while (queue.sent.last != NULL) /* in the order of an aborted transaction */
        end_queue_move(&queue, queue.sent.last, PUBLISH_OWED);
    for (int64_t offset = 0; offset < 4; offset++) {
        cr_expect_eq(next_offset(&queue), offset);
        send_next(&queue);
    }
    cr_expect_eq(next_offset(&queue), -1);
    cr_expect_eq(end_queue_drop(&queue, NULL), 4);
}

Test(end_queue, one_that_was_refused_in_company_goes_by_itself)
{
    struct end_queue queue = {0};
    struct task *first = put(&queue, 0), *second = put(&queue, 1);
    put(&queue, 2);
    send_next(&queue);
    send_next(&queue);
    end_queue_move(&queue, first, PUBLISH_INCOMPLETE);
    first->end->apart = true;
    end_queue_again(&queue, first);
    cr_expect(end_queue_goes_apart(&queue));
    cr_expect_eq(next_offset(&queue), -1, "the second is under way");
    end_queue_move(&queue, second, PUBLISH_DONE);
    cr_expect_eq(next_offset(&queue), 0);
    send_next(&queue);
    cr_expect_eq(next_offset(&queue), -1, "nobody goes with it");
    end_queue_move(&queue, first, PUBLISH_DONE);
    cr_expect_not(end_queue_goes_apart(&queue));
    cr_expect_eq(next_offset(&queue), 2);
    cr_expect_eq(end_queue_drop(&queue, NULL), 1);
}

Test(end_queue, what_is_held_holds_nobody_and_comes_back_when_it_is_due)
{
    struct end_queue queue = {0};
    for (int64_t offset = 0; offset < 3; offset++) {
        struct task *task = put(&queue, offset);
        send_next(&queue);
        end_queue_move(&queue, task, PUBLISH_INCOMPLETE);
        task->end->not_before_ms = 300 - 100 * offset;
        end_queue_again(&queue, task);
    }
    put(&queue, 3);
    cr_expect_eq(next_offset(&queue), 3);
    end_queue_release(&queue, 99);
    cr_expect_eq(next_offset(&queue), 3);
    end_queue_release(&queue, 200);
    cr_expect_eq(queue.held.count, 1);
    cr_expect_eq(next_offset(&queue), 1);
    end_queue_release(&queue, 299);
    cr_expect_eq(queue.held.count, 1);
    end_queue_release(&queue, 300);
    cr_expect_eq(next_offset(&queue), 0);
    cr_expect_eq(end_queue_count(&queue), 4);
    end_queue_drop_waiting(&queue);
    cr_expect_eq(end_queue_count(&queue), 0);
}

/* ---- against a plain list of all of them ---- */

enum { ENDS = 40, STEPS = 4000 };

struct model {
    enum publish_state state;
    bool apart;
    int64_t not_before_ms;
};

/* The next end: the oldest that is owed, but none while one that is apart is under way, and one that is apart only alone. */
static int64_t model_next(const struct model *model)
{
    int64_t oldest = -1, sent = 0, sent_apart = 0;
    for (int i = 0; i < ENDS; i++) {
        bool is_sent = model[i].state == PUBLISH_SENT || model[i].state == PUBLISH_INCOMPLETE;
        sent += is_sent;
        sent_apart += is_sent && model[i].apart;
        if (model[i].state == PUBLISH_OWED && oldest < 0)
            oldest = i;
    }
    return oldest < 0 || sent_apart > 0 || (model[oldest].apart && sent > 0) ? -1 : oldest;
}

static void play(unsigned seed)
{
    struct end_queue queue = {0};
    struct model model[ENDS] = {0};
    struct task *tasks[ENDS];
    int64_t now_ms = 0;
    int puts = 0;
    for (int i = 0; i < ENDS; i++)
        tasks[i] = ended(i);
    for (int step = 0; step < STEPS; step++) {
        int i = (int)((unsigned)rand_r(&seed) % ENDS);
        struct model *m = &model[i];
        switch (rand_r(&seed) % 6) {
        case 0: /* by turn, and so by offset */
            if (puts < ENDS) {
                end_queue_put(&queue, tasks[puts]);
                model[puts++].state = PUBLISH_OWED;
            }
            break;
        case 1:
            cr_assert_eq(next_offset(&queue), model_next(model), "step %d", step);
            if (end_queue_next(&queue) != NULL) {
                model[next_offset(&queue)].state = PUBLISH_SENT;
                send_next(&queue);
            }
            break;
        case 2: /* refused: sent alone from now on, held, or sent again at once */
            if (m->state != PUBLISH_SENT)
                break;
            end_queue_move(&queue, tasks[i], PUBLISH_INCOMPLETE);
            m->apart = tasks[i]->end->apart = m->apart || rand_r(&seed) % 2;
            m->not_before_ms = tasks[i]->end->not_before_ms = rand_r(&seed) % 2 ? now_ms + 1 + rand_r(&seed) % 50 : 0;
            end_queue_again(&queue, tasks[i]);
            m->state = m->not_before_ms > 0 ? PUBLISH_HELD : PUBLISH_OWED;
            break;
        case 3:
            if (m->state == PUBLISH_SENT && rand_r(&seed) % 8 == 0) {
                end_queue_move(&queue, tasks[i], PUBLISH_DONE);
                m->state = PUBLISH_DONE;
            }
            break;
        case 4:
            now_ms += rand_r(&seed) % 20;
            end_queue_release(&queue, now_ms);
            for (int j = 0; j < ENDS; j++)
                if (model[j].state == PUBLISH_HELD && model[j].not_before_ms <= now_ms)
                    model[j].state = PUBLISH_OWED;
            break;
        default:
            if (m->state == PUBLISH_SENT) { /* returned unchanged */
                end_queue_move(&queue, tasks[i], PUBLISH_OWED);
                m->state = PUBLISH_OWED;
            }
        }
        cr_assert_eq(next_offset(&queue), model_next(model), "after step %d", step);
    }
    end_queue_drop(&queue, NULL);
    for (int i = 0; i < ENDS; i++)
        task_unref(tasks[i]);
}

Test(end_queue, agrees_with_a_plain_list_over_random_moves)
{
    for (unsigned seed = 1; seed <= 50; seed++)
        play(seed);
}
