#include "completion/carry_out.h"

#include <assert.h>

#include "base/clock.h"
#include "base/log.h"
#include "completion/completion.h"
#include "completion/end.h"
#include "completion/publisher.h"
#include "completion/successors.h"
#include "dispatch/dispatcher.h"
#include "quota/settling.h"
#include "telemetry/metrics.h"

static void log_end(const struct task *task, enum log_level level, const char *event)
{
    log_at(level, event, F_STR("job", task->job.id), F_STR("topic", task->record.topic),
           F_INT("partition", task->record.partition), F_INT("offset", task->record.offset),
           F_INT("attempt", task_attempts(task)), F_STR("code", task->error.code), F_STR("error", task->error.message),
           F_INT("wait_ms", task->wait_ms), F_INT("duration_ms", clock_mono_ms() - task->received_ms));
}

/* From the control record, or for a job read after it from the job's record, to now. -1: another process read the cancel. */
static int64_t cancelled_after_ms(const struct task *task)
{
    return atomic_load(&task->cancelled) ? clock_mono_ms() - task->cancelled_ms : -1;
}

static void end_published(const struct service *service, struct task *task, bool dead)
{
    if (!atomic_load(&task->partition->revoked)) {
        end_owe(task, dead);
        publisher_put(service->publisher, task);
    }
    successors_go_on(service, task);
    task_unref(task);
}

static void end_dropped(const struct service *service, struct task *task, struct reservations *unsettled)
{
    settling_take(task, unsettled, false);
    METRIC_INC(jobs_dropped_total);
    log_end(task, LOG_DEBUG, "job_dropped");
    successors_go_on(service, task);
    task_unref(task);
}

/* The dispatcher has refused the task: its partition is revoked, or it is cancelled. */
static void give_up_waiting(const struct service *service, struct task *task, struct reservations *unsettled)
{
    if (atomic_load(&task->partition->revoked))
        end_dropped(service, task, unsettled);
    else
        completion_cancel(service->completion, task);
}

static void begin_again_later(const struct service *service, struct task *task, struct reservations *unsettled)
{
    successors_give_back(service, &task, 1); /* a lost claim: this task's turn isn't in the history yet */
    task_steps_queued(task, task->outcome == OUTCOME_RETRY ? "retry" : task->rated.waits ? "permit" : "wait", clock_mono_us());
    if (!dispatcher_wait(service->dispatcher, task, task->wait_ms))
        give_up_waiting(service, task, unsettled);
}

void carry_out(const struct service *service, struct task *task, struct reservations *unsettled)
{
    settling_take(task, unsettled, task->outcome == OUTCOME_WAIT);
    task_steps_ended(task, STEPS_OF_COMPLETION, STEP_FINISH);
    switch (task->outcome) {
    case OUTCOME_OK:
        METRIC_INC(jobs_ok_total);
        log_at(LOG_INFO, "reply_enqueued", F_STR("job", task->job.id), F_STR("topic", task->record.topic),
               F_INT("partition", task->record.partition), F_INT("offset", task->record.offset),
               F_INT("attempt", task_attempts(task)), F_INT("llm_ms", task->llm_ms),
               F_INT("duration_ms", clock_mono_ms() - task->received_ms));
        end_published(service, task, false);
        break;
    case OUTCOME_DEAD:
        METRIC_INC(jobs_dead_total);
        log_end(task, LOG_WARN, "job_dead");
        end_published(service, task, true);
        break;
    case OUTCOME_CANCELLED:
        METRIC_INC(jobs_cancelled_total);
        log_at(LOG_INFO, "job_cancelled", F_STR("job", task->job.id), F_STR("topic", task->record.topic),
               F_INT("partition", task->record.partition), F_INT("offset", task->record.offset), F_INT("after_ms", cancelled_after_ms(task)),
               F_INT("duration_ms", clock_mono_ms() - task->received_ms));
        end_published(service, task, false);
        break;
    case OUTCOME_STORED:
        METRIC_INC(jobs_from_store_total);
        log_end(task, LOG_INFO, "reply_from_store");
        end_published(service, task, task->stored_dead);
        break;
    case OUTCOME_RETRY:
        METRIC_INC(job_retries_total);
        log_end(task, LOG_INFO, "job_retry");
        begin_again_later(service, task, unsettled);
        break;
    case OUTCOME_WAIT:
        METRIC_INC(job_waits_total);
        log_end(task, LOG_INFO, "job_waits");
        begin_again_later(service, task, unsettled);
        break;
    case OUTCOME_SUSPECT:
        METRIC_INC(job_suspects_total);
        log_end(task, LOG_WARN, "job_suspect");
        task_steps_queued(task, "suspects", clock_mono_us());
        if (!dispatcher_suspect(service->dispatcher, task, task->crashes))
            give_up_waiting(service, task, unsettled);
        break;
    case OUTCOME_NONE:
        assert(false && "a task came to completion without an outcome");
        /* fall through */
    case OUTCOME_DROP:
        end_dropped(service, task, unsettled);
        break;
    }
}
