/* Renews the claims this process holds, each before its lease expires: those due are sent in one pipeline, the oldest first.
 *
 * A thread of its own, chat-renew, and a connection of its own: renewals never wait for other Redis calls, nor these for renewals.
 * So a claim is renewed in time if three Redis answers fit into a lease: its begin's, that of a renewal under way when it is due, and its
 * own (redis.timeout_ms is at most a third of redis.lease_ms). A lease never extends beyond the job's deadline and a grace period.
 *
 * Blocks in Redis up to redis.timeout_ms to connect, and for each answer. A renewal without an answer is sent again at once, and then
 * every RETRY_MS. A claim that another worker holds is marked as lost, and its call cancelled. */
#ifndef CHAT_ENGINE_RENEWER_H
#define CHAT_ENGINE_RENEWER_H

#include "task/service.h"

struct renewer;

enum status renewer_start(const struct service *service, struct renewer **ret, struct error *err) MUST_CHECK;
/* Waits for a call under way. No claim is renewed afterwards. NULL is fine. */
void renewer_stop(struct renewer *renewer);

#endif
