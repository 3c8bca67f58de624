#include "service/end_watch.h"

#define CLOSE_PARTS 14 /* at the default, a second each */

static const struct {
    const char *name, *waits_for;
} steps[] = {
#define END_STEP(id, name, waits_for) {name, waits_for},
    END_STEPS(END_STEP)
#undef END_STEP
};

const char *end_step_name(enum end_step step)
{
    return steps[step].name;
}

const char *end_step_waits_for(enum end_step step)
{
    return steps[step].waits_for;
}

struct end_watch end_watch_new(int64_t drain_ms, int64_t close_ms)
{
    return (struct end_watch){.drain_ms = drain_ms, .close_ms = close_ms, .step = END_START, .end_by_ms = INT64_MAX};
}

void end_watch_signalled(struct end_watch *watch, int64_t now_ms)
{
    watch->signals++;
    if (watch->end_by_ms == INT64_MAX)
        watch->end_by_ms = now_ms + (watch->step == END_SERVE ? watch->drain_ms : 0) + watch->close_ms;
}

void end_watch_step(struct end_watch *watch, enum end_step step, int64_t now_ms)
{
    watch->step = step;
    if (step == END_DRAIN)
        watch->end_by_ms = now_ms + watch->drain_ms + watch->close_ms;
    else if (step == END_RELEASE || (step > END_RELEASE && watch->end_by_ms == INT64_MAX))
        watch->end_by_ms = now_ms + watch->close_ms;
}

enum end_verdict end_watch_verdict(const struct end_watch *watch, int64_t now_ms)
{
    if (watch->signals > 1)
        return END_AT_ONCE;
    return now_ms >= watch->end_by_ms ? END_TIME_IS_UP : END_NOT_YET;
}

int64_t end_share_ms(enum end_step step, int64_t close_ms)
{
    switch (step) {
    case END_RELEASE: return close_ms * 4 / CLOSE_PARTS;
    case END_GROUP: return close_ms * 7 / CLOSE_PARTS;
    case END_COMPLETION: return close_ms * 8 / CLOSE_PARTS;
    default: return close_ms;
    }
}
