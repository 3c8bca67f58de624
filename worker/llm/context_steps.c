#include "llm/context_steps.h"

#include <assert.h>

void context_steps_init(struct context_steps *steps, size_t count, enum context_fetch fetching)
{
    assert(count <= CONTEXTS_MAX);
    *steps = (struct context_steps){.count = count, .abreast = fetching == CONTEXT_TOGETHER ? count : 1};
}

static struct context_step close_down(struct context_steps *steps)
{
    for (size_t i = 0; steps->running > 0 && i < steps->next; i++) {
        if (steps->places[i] != CONTEXT_RUNNING)
            continue;
        steps->places[i] = CONTEXT_OVER;
        steps->running--;
        return (struct context_step){.action = CONTEXT_DROP, .source = i};
    }
    return (struct context_step){.action = CONTEXT_FAILED};
}

struct context_step context_next(struct context_steps *steps)
{
    if (steps->verdict != CONTEXTS_OPEN)
        return close_down(steps);
    if (steps->next < steps->count && steps->running < steps->abreast) {
        steps->places[steps->next] = CONTEXT_RUNNING;
        steps->running++;
        return (struct context_step){.action = CONTEXT_START, .source = steps->next++};
    }
    return (struct context_step){.action = steps->running > 0 ? CONTEXT_WAIT : CONTEXT_DONE};
}

bool context_ended(struct context_steps *steps, size_t source, bool ends_job)
{
    assert(source < steps->count && steps->places[source] == CONTEXT_RUNNING);
    bool open = steps->verdict == CONTEXTS_OPEN;
    steps->places[source] = CONTEXT_OVER;
    steps->running--;
    if (open && ends_job)
        steps->verdict = CONTEXTS_FAILED;
    return open;
}

void context_cancel(struct context_steps *steps)
{
    if (steps->verdict == CONTEXTS_OPEN)
        steps->verdict = CONTEXTS_CANCELLED;
}
