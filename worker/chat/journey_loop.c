#include "chat/journey_loop.h"

#include <stddef.h>

#include "http/http_loop.h"
#include "telemetry/crash_notes.h"

/* ---- suspending ---- */

static void ready(void *job)
{
    journey_loop_go_on(job);
}

static bool suspend_for_http(struct journey_loop *job, struct http_client *client, int64_t until_ms)
{
    http_loop_wait(client, until_ms, ready, job);
    return false;
}

static void take_is_made(struct take *take, void *arg) /* the line's thread */
{
    struct journey_loop *job = arg;
    (void)take;
    job->wake(job);
}

static bool suspend_for_redis(struct journey_loop *job)
{
    job->takes = true;
    take_line_put(job->journey.service->takes, job->journey.parts.spending.take, take_is_made, job);
    return false;
}

/* ---- the steps; false: suspended ---- */

static bool fetch_contexts(struct journey_loop *job)
{
    struct journey *j = &job->journey;
    int64_t next_ms = 0;
    if (job->fetching == NULL) {
        if (!journey_contexts_begin(j))
            return true;
        job->fetching = context_fetching_begin(&j->contexts, &j->contexts_failure, &j->task->error);
    }
    if (!context_fetching_go_on(job->fetching, &next_ms))
        return suspend_for_http(job, context_fetching_client(job->fetching), next_ms); /* suspends: HTTP */
    j->status = context_fetching_end(&job->fetching, &j->context);
    journey_contexts_end(j);
    return true;
}

static bool ask(struct journey_loop *job)
{
    struct journey *j = &job->journey;
    int64_t next_ms = 0;
    if (job->asking == NULL)
        job->asking = llm_asking_begin(&j->question, &j->answer, &j->outcome, &j->task->error);
    if (job->took)
        llm_asking_permit(job->asking, request_took(&j->parts));
    job->took = false;
    switch (llm_asking_go_on(job->asking, &next_ms)) {
    case LLM_ASKING_WAITING: return suspend_for_http(job, llm_asking_client(job->asking), next_ms); /* suspends: HTTP */
    case LLM_ASKING_PERMIT: return suspend_for_redis(job);                                          /* suspends: Redis, for a permit */
    case LLM_ASKING_OVER: break;
    }
    j->status = llm_asking_end(&job->asking);
    journey_ask_end(j);
    return true;
}

static bool take_later(struct journey_loop *job)
{
    job->took = false;
    return !journey_next_later(&job->journey) || suspend_for_redis(job); /* suspends: Redis */
}

/* While the claim is held: fetches contexts, asks, and sets the outcome. False: suspended. */
static bool question_run(struct journey_loop *job)
{
    struct journey *j = &job->journey;
    switch (job->at) {
    case AT_CONTEXTS:
        if (!fetch_contexts(job))
            return false;
        job->at = AT_MAY_ASK;
        /* fall through */
    case AT_MAY_ASK:
        if (!journey_may_ask(j))
            break;
        job->at = journey_ask_begin(j) ? AT_ASK : AT_CONCLUDE;
        if (job->at == AT_CONCLUDE) {
            journey_conclude(j);
            break;
        }
        /* fall through */
    case AT_ASK:
        if (!ask(job))
            return false;
        job->at = AT_LATER;
        /* fall through */
    case AT_LATER:
        if (!take_later(job))
            return false;
        journey_ask_conclude(j);
        job->at = AT_CONCLUDE;
        /* fall through */
    case AT_CONCLUDE: journey_conclude(j);
    }
    journey_finish(j);
    return true;
}

static void run(struct journey_loop *job)
{
    crash_notes_doing(DOING_JOURNEY, &job->journey.task->record);
    bool over = question_run(job);
    crash_notes_doing(DOING_NOTHING, NULL);
    if (over)
        job->over(job);
}

void journey_loop_begin(struct journey_loop *job)
{
    if (journey_is_over(job->journey.service, job->journey.task)) {
        job->over(job);
        return;
    }
    journey_begin(&job->journey);
    run(job);
}

void journey_loop_go_on(struct journey_loop *job)
{
    if (job->takes && !job->took)
        return;
    job->takes = false;
    run(job);
}

struct http_client *journey_loop_client(const struct journey_loop *job)
{
    if (job->fetching != NULL)
        return context_fetching_client(job->fetching);
    return job->asking != NULL && !job->takes ? llm_asking_client(job->asking) : NULL;
}
