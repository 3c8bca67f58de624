#include "engine/engine.h"

#include <stddef.h>

#include "base/clock.h"
#include "base/log.h"
#include "engine/engine_kind.h"
#include "telemetry/steps.h"

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

static void report_job(struct engine *engine, int lane, const struct lane_now *now, int64_t now_us)
{
    char thread[ENGINE_THREAD_NAME_BYTES], name[STEPS_NAME_BYTES];
    engine->kind->thread_of(engine, lane, thread);
    steps_lane_name(lane, name);
    log_info("thread_busy", F_STR("thread", thread), F_STR("lane", name), F_STR("job", now->job.id), F_INT("partition", now->job.partition), F_INT("offset", now->job.offset),
             F_INT("busy_ms", (now_us - now->taken_us) / 1000), F_STR("step", step_name(now->step)), F_STR("waits_for", now->waits_for),
             F_INT("since_ms", (now_us - now->since_us) / 1000));
}

void engine_report(struct engine *engine)
{
    struct lane_now now;
    int busy = 0;
    for (int lane = 0; lane < steps_lanes(); lane++) {
        if (!steps_now(lane, &now) || now.step == STEP_NONE)
            continue;
        report_job(engine, lane, &now, clock_mono_us());
        busy++;
    }
    log_info("threads_dump", F_INT("threads", engine->threads), F_INT("busy", busy), F_INT("idle", steps_lanes() - busy));
}

void engine_join(struct engine *engine)
{
    if (engine != NULL)
        engine->kind->join(engine);
}
