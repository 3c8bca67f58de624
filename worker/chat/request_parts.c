#include "chat/request_parts.h"

#include "breakers/breakers.h"
#include "breakers/breakers_provider.h"
#include "completion/delta_publisher.h"
#include "llm/llm_request.h"
#include "session/session.h"
#include "wire/history.h"

bool request_is_streamed(const struct service *service, const struct task *task)
{
    enum stream stream = service->settings->llm.stream;
    return stream == STREAM_ALWAYS || (stream == STREAM_ASKED && task->job.stream);
}

char *request_encode(const struct provider_settings *provider, size_t skipped, void *arg)
{
    struct request_parts *from = arg;
    const struct task *task = from->task;
    if (skipped > task->begin->turn_count) /* skipped was counted before a wait; the history may be shorter now */
        skipped = task->begin->turn_count;
    struct llm_request_parts parts = {.provider = provider,
                                      .system_prompt = from->service->settings->llm.system_prompt,
                                      .context = from->context,
                                      .turns = task->begin->turns + skipped,
                                      .turn_count = task->begin->turn_count - skipped,
                                      .history_bytes_max = from->service->settings->llm.history_bytes_max,
                                      .job = &task->job,
                                      .stream = llm_request_is_streamed(provider, from->stream)};
    return llm_request_encode(&parts);
}

size_t request_turns_to_skip(const struct llm_failure *failure, size_t body_bytes, void *arg)
{
    const struct begin_op *begin = ((const struct request_parts *)arg)->task->begin;
    return history_turns_to_skip(begin->turns, begin->turn_count, body_bytes, failure->n_prompt, failure->n_ctx);
}

void request_send_delta(const struct llm_delta *new_text, void *arg)
{
    struct request_parts *from = arg;
    if (new_text->try != from->try)
        from->seq = 0;
    from->try = new_text->try;
    struct delta delta = {.job = from->task->job.id,
                          .session = from->task->job.session,
                          .epoch = from->task->begin->claim.claim_epoch,
                          .try = new_text->try,
                          .seq = from->seq++,
                          .text = new_text->text,
                          .text_size = new_text->text_size,
                          .reasoning = new_text->reasoning,
                          .reasoning_size = new_text->reasoning_size,
                          .final = new_text->final};
    delta_publisher_send(from->service->deltas, &from->task->record, &delta);
}

/* The slot first, since it costs nothing: a call that waits for a slot reserves no rate. */
enum llm_permit request_may_start(size_t provider, const char *body, void *arg)
{
    struct request_parts *from = arg;
    const struct service *service = from->service;
    if (!provider_slots_take(service->slots, provider, breakers_calls_max(service->breakers, provider))) {
        from->full = provider;
        return LLM_PERMIT_REFUSED;
    }
    enum llm_permit permit = spending_may_start(&from->spending, provider, body);
    from->pending = provider;
    if (permit == LLM_PERMIT_REFUSED)
        provider_slots_give_back(service->slots, provider);
    else
        task_steps_enter(from->task, STEP_ASK, permit == LLM_PERMIT_PENDING ? "permit" : service->settings->providers[provider].name);
    return permit;
}

bool request_took(struct request_parts *parts)
{
    if (spending_took(&parts->spending)) {
        task_steps_enter(parts->task, STEP_ASK, parts->service->settings->providers[parts->pending].name);
        return true;
    }
    provider_slots_give_back(parts->service->slots, parts->pending);
    return false;
}

bool request_await_permit(void *arg)
{
    struct request_parts *from = arg;
    take_line_run(from->service, from->spending.take);
    return request_took(from);
}
