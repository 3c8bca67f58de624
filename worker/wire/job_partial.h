/* Reads what it can of a malformed job: an error reply must contain the job's id and session, and its metadata, even
 * if the JSON is cut off. Called by job_decode if job_syntax_check refused the value. Private to job.c. Pure; any thread. */
#ifndef CHAT_WIRE_JOB_PARTIAL_H
#define CHAT_WIRE_JOB_PARTIAL_H

#include "wire/job.h"
#include "wire/job_names.h"
#include "wire/json_view.h"

/* Finds id, session and metadata one by one, in the record's bytes; ret_of is by enum job_name, empty where there is none. A member that
 * occurs twice, is cut off or malformed itself is left out. The value may be NULL. */
void job_partial_find(const struct record *record, const struct job_limits *limits, struct json_view ret_of[JOB_NAMES]);

#endif
