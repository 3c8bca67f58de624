/* The names of a job's known members, and the look-up of a member in the text. Private to the readers of a job:
 * job.c, job_syntax.c, job_partial.c. Pure; any thread. */
#ifndef CHAT_WIRE_JOB_NAMES_H
#define CHAT_WIRE_JOB_NAMES_H

#include "wire/json_member.h"

enum job_name { NAME_ID, NAME_SESSION, NAME_MESSAGE, NAME_MESSAGES, NAME_PARAMS, NAME_DEADLINE_MS, NAME_METADATA, NAME_STREAM, JOB_NAMES };
extern const char *const job_names[JOB_NAMES + 1]; /* by enum job_name; NULL-terminated */

/* JOB_NAMES: unknown. */
enum job_name job_names_find(const struct json_member *member);

#endif
