/* Renews the claims this process holds, each before its lease is out: what is due goes in one pipeline, the oldest first.
 *
 * A thread of its own, chat-renew, and a connection of its own: renewals wait for nobody else's Redis call, and nobody waits for theirs.
 * So a claim has a full chance while three answers fit into a lease: its begin's, that of a renewal under way when it is due, and its
 * own (redis.timeout_ms is at most a third of redis.lease_ms). A lease is never asked for beyond the job's budget and a grace.
 *
 * Blocks in Redis up to redis.timeout_ms to connect, and for each answer. What Redis didn't answer is asked again at once, and then
 * every RETRY_MS. A claim that another holds is marked, and its call cut. */
#ifndef CHAT_ENGINE_RENEWER_H
#define CHAT_ENGINE_RENEWER_H

#include "task/service.h"

struct renewer;

enum status renewer_start(const struct service *service, struct renewer **ret, struct error *err) MUST_CHECK;
/* Waits for a call under way. Nothing is renewed any more. NULL is fine. */
void renewer_stop(struct renewer *renewer);

#endif
