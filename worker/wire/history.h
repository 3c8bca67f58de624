/* Which part of a session's history is sent before a job's new messages. Which part of a job is stored: history_turn.h. Pure; any thread.
 *
 * A provider refuses a conversation whose tool calls and tool results don't match, and would refuse it for
 * ever: the same history is sent with each job. So a turn is used whole or not at all. */
#ifndef CHAT_WIRE_HISTORY_H
#define CHAT_WIRE_HISTORY_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire/job.h"
#include "wire/json_view.h"
#include "wire/json_writer.h"

/* Writes the usable messages of turns (elements {"job":ID,"messages":[…]}, oldest first) as elements of an array, unchanged:
 *   - the element of the job itself and the following ones are cut (the job is asked again after it was applied);
 *   - damaged elements are skipped, and those with an empty answer (no text, refusal or calls): providers refuse
 *     requests with one;
 *   - elements before one with "anew":true are omitted;
 *   - the oldest whole elements beyond bytes_max of element text are omitted (negative: no limit);
 *   - an element that ends in tool calls stays only if the next element, or the new messages,
 *     answer all of them; one that begins with tool results stays only behind the calls they answer;
 *   - leading elements are dropped until one begins with `user`. */
void history_append(struct json_writer *out, char *const *turns, size_t turn_count, int64_t bytes_max, const struct job *job);

/* Frees the elements before the last one with "anew":true and moves the others to the front; returns how many are left. The freed ones
 * are in no request, so they count neither as omitted nor among those that a shorter request may omit. */
size_t history_drop_refused(char **turns, size_t turn_count);

/* How many of the oldest turns to omit from a request of body_bytes that exceeds a model's context: by the server's numbers
 * (n_prompt tokens were sent, n_ctx is its limit; an eighth of it is left for the answer), estimated by
 * this request's own bytes a token; the older half without numbers (0). At least one and at most all of them; 0: there are none. */
size_t history_turns_to_skip(char *const *turns, size_t turn_count, size_t body_bytes, int64_t n_prompt, int64_t n_ctx);

#endif
