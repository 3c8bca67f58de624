/* What of a session's history goes before a job's new messages. What of a job goes into it: history_turn.h. Pure; any thread.
 *
 * A provider refuses a conversation whose tool calls and tool results don't match, and would refuse it for
 * ever: the same history comes back with each job. So a turn is used whole or not at all. */
#ifndef CHAT_WIRE_HISTORY_H
#define CHAT_WIRE_HISTORY_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire/job.h"
#include "wire/json_view.h"
#include "wire/json_writer.h"

/* Writes the usable messages of turns (elements {"job":ID,"messages":[…]}, oldest first) as elements of an array, as they are stored:
 *   - the element of the job itself and what follows it are cut (it is asked again after it was applied);
 *   - damaged elements are skipped, and those with an answer that says nothing (no text, refusal or calls): providers refuse
 *     the request that brings one;
 *   - what stands before an element that begins anew ("anew":true) is left out;
 *   - the oldest whole elements beyond bytes_max of element text are left out (negative: no limit);
 *   - an element that ends in tool calls stays only if what comes next (an element, or the new messages)
 *     answers all of them; one that begins with tool results stays only behind the calls they answer;
 *   - leading elements are dropped until one begins with `user`. */
void history_append(struct json_writer *out, char *const *turns, size_t turn_count, int64_t bytes_max, const struct job *job);

/* Frees the elements before the last that begins anew and moves the others to the front; returns how many are left. What no request
 * carries counts neither as left out of one nor among those that a shorter one may go without. */
size_t history_drop_refused(char **turns, size_t turn_count);

/* How many of the oldest turns to leave out of a request of body_bytes that a model's context doesn't hold: as many as the
 * server's word asks for (n_prompt tokens were sent, n_ctx is its limit; an eighth of it is left for the answer), estimated at
 * this request's own bytes a token; the older half when it didn't say (0). All of them at most, one at least; 0: there are none. */
size_t history_turns_to_skip(char *const *turns, size_t turn_count, size_t body_bytes, int64_t n_prompt, int64_t n_ctx);

#endif
