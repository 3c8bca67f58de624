/* One turn of a history as it is stored: which parts of a job and its answer it contains, and how stored turns are used without parsing them. Which turns a request
 * contains otherwise: history.h. Pure; any thread. */
#ifndef CHAT_WIRE_HISTORY_TURN_H
#define CHAT_WIRE_HISTORY_TURN_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire/job.h"
#include "wire/json_writer.h"

#define HISTORY_TURN_ANEW "{\"anew\":true," /* the beginning of an element that replaces all before it */

/* One history element: {"job":ID,"messages":[…]}, the job's new messages without system ones, and the answer (a message). Members that came
 * with tool calls are stored with them, whatever their names: a provider may require its reasoning or its signatures. Without calls
 * reasoning is omitted, which some refuse as input. NULL: the answer is empty; there is no turn, and the session continues as
 * if the job had not been asked.
 * anew: providers refuse the earlier turns; these stay in Redis, but are omitted from all later requests.
 * A plain element (no tools, begins with user) has `"xxh3":"<XXH3 of the rest>"` in front, so that
 * history_turn_splice can use its text unparsed. Owned by the caller. */
char *history_turn_encode(const struct job *job, const json_t *answer, bool anew) MUST_CHECK;

/* history_append for the usual history, without parsing it: when every element was marked plain by history_turn_encode
 * (user and assistant turns, no tools) and its checksum is right. False: some element isn't, and nothing is written. */
bool history_turn_splice(struct json_writer *out, char *const *turns, size_t turn_count, int64_t bytes_max, const struct job *job);

#endif
