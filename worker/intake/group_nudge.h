/* Makes the jobs' consumer group rebalance: a client of its own joins the group as a member and leaves it, since no call of librdkafka makes a
 * stable member rejoin. The temporary member subscribes to the replies' topic; it is assigned those partitions and doesn't read them, so that no
 * partition of the jobs moves because of it. The group rebalances twice, when the member joins and when it leaves.
 *
 * Blocks for as long as the group rebalances, GROUP_NUDGE_MS at most and a few seconds to leave. Any thread that may wait so long; it feeds its
 * own watchdog (telemetry/watchdog.h) in `go_on`, which is asked some times a second; false: it leaves at once, and takes a second for it at most. */
#ifndef CHAT_INTAKE_GROUP_NUDGE_H
#define CHAT_INTAKE_GROUP_NUDGE_H

#include <stdbool.h>

#include "settings/settings.h"

#define GROUP_NUDGE_MS 60000 /* most rebalances are over: what drains has a bound of its own, worker.revoke_drain_ms */
#define GROUP_NUDGES_LEFT_MAX 3 /* after so many whose client couldn't be destroyed (group_nudge.c) this process makes no more */

/* bootstrap: as kafka_conf_make takes it. False: the client didn't become a member. */
bool group_nudge(const struct settings *settings, const char *bootstrap, bool (*go_on)(void *arg), void *arg);

#endif
