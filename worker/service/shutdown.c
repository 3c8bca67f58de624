#include "service/shutdown.h"

#include <time.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "completion/completion.h"
#include "dispatch/dispatcher.h"
#include "dispatch/dispatcher_waiting.h"
#include "engine/engine.h"
#include "service/signals.h"
#include "telemetry/held_back.h"
#include "telemetry/metrics.h"

#define LOOK_EVERY_MS 10

/* Waits until no job is alive. Waiting jobs are dropped again and again: one whose call fails while draining is
 * put into the timers once more, for its retry. */
static bool all_gone_by(const struct service *service, int64_t until_ms)
{
    while (metric_get(METRIC_jobs_alive) > 0) {
        completion_drop(service->completion, dispatcher_remove_waiting(service->dispatcher, NULL));
        if (clock_mono_ms() >= until_ms)
            return false;
        nanosleep(&(struct timespec){.tv_nsec = LOOK_EVERY_MS * 1000000L}, NULL);
    }
    return true;
}

int shutdown_drain(const struct service *service, struct intake *intake, struct control_reader **control)
{
    const struct settings *settings = service->settings;
    int64_t close_ms = settings->worker.close_timeout_ms;
    int64_t started = clock_mono_ms();
    int cut = 0;
    signals_step(END_DRAIN);
    log_info("drain_started", F_INT("running", engine_busy(service->engine)), F_INT("alive", metric_get(METRIC_jobs_alive)),
             F_INT("drain_timeout_ms", settings->worker.drain_timeout_ms));
    held_back_set(HELD_BACK_DRAINING, HELD_BACK_NO_PROVIDER, 1);
    intake_hold(intake, true);
    dispatcher_close(service->dispatcher);
    bool gone = all_gone_by(service, started + settings->worker.drain_timeout_ms);
    int64_t drained = clock_mono_ms();
    signals_step(END_RELEASE);
    if (!gone) {
        cut = engine_busy(service->engine);
        log_warn("drain_ran_out", F_INT("cut_short", cut), F_STR("hint", "their claims are released; another worker begins them again"));
        engine_cancel_all(service->engine);
        (void)all_gone_by(service, drained + end_share_ms(END_RELEASE, close_ms));
    }
    control_reader_end_soon(*control);
    signals_step(END_GROUP);
    intake_stop(intake, drained + end_share_ms(END_GROUP, close_ms));
    signals_step(END_CONTROL);
    control_reader_stop(steal_ptr(control));
    signals_step(END_COMPLETION);
    completion_stop(service->completion, drained + end_share_ms(END_COMPLETION, close_ms));
    log_info("drain_finished", F_INT("cut_short", cut), F_INT("left", metric_get(METRIC_jobs_alive)),
             F_INT("duration_ms", clock_mono_ms() - started));
    return cut;
}
