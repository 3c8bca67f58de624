/* The names of a job's members that mean something, and which of them a member of the text has. Private to the readers of a job:
 * job.c, job_syntax.c, job_partial.c. Pure; any thread. */
#ifndef CHAT_WIRE_JOB_NAMES_H
#define CHAT_WIRE_JOB_NAMES_H

#include "wire/json_member.h"

enum known { ID, SESSION, MESSAGE, MESSAGES, PARAMS, DEADLINE_MS, METADATA, STREAM, KNOWN };
extern const char *const job_names[KNOWN + 1]; /* by enum known; NULL-terminated */

/* KNOWN: it is none of them. */
enum known job_names_find(const struct json_member *member);

#endif
