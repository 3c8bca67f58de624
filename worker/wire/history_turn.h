/* One turn of a history as it is stored: what of a job and its answer goes into it, and how stored turns are used without parsing them. What of a history a request
 * carries otherwise: history.h. Pure; any thread. */
#ifndef CHAT_WIRE_HISTORY_TURN_H
#define CHAT_WIRE_HISTORY_TURN_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire/job.h"
#include "wire/json_writer.h"

#define HISTORY_TURN_ANEW "{\"anew\":true," /* how an element begins that begins anew */

/* One history element: {"job":ID,"messages":[…]}, the job's new messages without system ones, and the answer (a message). What came
 * with tool calls goes with them, whatever its name: a provider may want its reasoning or its signatures back. Without calls
 * reasoning is left out, which some refuse as input. NULL: the answer says nothing; there is no turn, and the session goes on as
 * if it had not been asked.
 * anew: providers refuse what came before; it stays in Redis, and out of all later requests.
 * A plain element (no tools, begins with user) carries `"xxh3":"<XXH3 of what follows>"` in front, which lets
 * history_turn_splice use its text unparsed. Owned by the caller. */
char *history_turn_encode(const struct job *job, const json_t *answer, bool anew) MUST_CHECK;

/* The same as history_append for the usual history, without parsing it: when every element is one that history_turn_encode marked
 * plain (user and assistant turns, no tools) and is whole by its checksum. False: some element isn't, and nothing is written. */
bool history_turn_splice(struct json_writer *out, char *const *turns, size_t turn_count, int64_t bytes_max, const struct job *job);

#endif
