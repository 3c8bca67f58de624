#include "engine/engine.h"

#include <stddef.h>

#include "engine/engine_kind.h"

enum status engine_start(const struct service *service, engine_thread_create *create, struct engine **ret, struct error *err)
{
    bool loop = service->settings->worker.engine == ENGINE_LOOP;
    return (loop ? engine_loop_start : engine_threads_start)(service, create, ret, err);
}

void engine_cancel_all(struct engine *engine)
{
    engine->kind->cancel_all(engine);
}

void engine_cancel(struct engine *engine, const struct task *task)
{
    engine->kind->cancel(engine, task);
}

void engine_cancel_flagged(struct engine *engine)
{
    engine->kind->cancel_flagged(engine);
}

int engine_busy(struct engine *engine)
{
    return engine->kind->busy(engine);
}

void engine_report(struct engine *engine)
{
    engine->kind->report(engine);
}

void engine_join(struct engine *engine)
{
    if (engine != NULL)
        engine->kind->join(engine);
}
