/* Are many jobs alive in this process? Only then does it gain anything that one waits for others: to share a wake-up, a round trip, a batch. Any thread. */
#ifndef CHAT_TASK_CROWD_H
#define CHAT_TASK_CROWD_H

#include <stdbool.h>

#include "settings/settings.h"
#include "telemetry/metrics.h"

static inline bool is_crowded(void)
{
    return metric_get(METRIC_jobs_alive) > FEW_JOBS;
}

#endif
