#include "chat/journey.h"

#include "base/cleanup.h"
#include "chat/journey_steps.h"
#include "completion/completion.h"
#include "session/session.h"

static void fetch_contexts(struct journey *j)
{
    if (!journey_contexts_begin(j))
        return;
    j->status = context_fetch(&j->contexts, &j->context, &j->contexts_failure, &j->task->error); /* blocks: HTTP */
    journey_contexts_end(j);
}

static void ask(struct journey *j)
{
    if (!journey_ask_begin(j))
        return;
    j->status = llm_ask(&j->question, &j->answer, &j->outcome, &j->task->error); /* blocks: HTTP; Redis for a permit */
    journey_ask_end(j);
    while (journey_next_later(j))
        take_line_run(j->service, j->parts.spending.take); /* blocks: Redis */
    journey_ask_conclude(j);
}

/* While the claim is held: fetches contexts, asks, and sets the outcome. */
static void question_run(const struct service *service, struct task *task, struct http_cancel *cancel)
{
    struct journey journey = {.service = service, .task = task, .pool = service->http, .cancel = cancel};
    journey_begin(&journey);
    fetch_contexts(&journey);
    if (journey_may_ask(&journey)) {
        ask(&journey);
        journey_conclude(&journey);
    }
    journey_finish(&journey);
}

struct task *journey_run(const struct service *service, struct task **owned, struct http_cancel *cancel)
{
    struct task *task = steal_ptr(owned);
    bool per_thread = service->settings->worker.redis_io == REDIS_IO_PER_THREAD;

    if (per_thread && !atomic_load(&task->partition->revoked)) {
        task_steps_enter(task, STEP_BEGIN, "redis");
        session_begin(service, &task, 1); /* blocks: Redis */
    }
    if (!journey_is_over(service, task))
        question_run(service, task, cancel);

    if (!per_thread)
        return completion_put_and_go_on(service->completion, &task); /* blocks: Redis, if it returns the lane's next job */
    task_steps_enter(task, STEP_FINISH, "redis");
    (void)session_settle(service, &task, 1); /* blocks: Redis; if that is away, completion settles it later */
    completion_put(service->completion, &task);
    return NULL;
}
