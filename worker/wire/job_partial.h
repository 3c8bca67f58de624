/* What can still be read of a value that is no job: an error reply has to say which job and session it is for, and hand its metadata back, also
 * where the JSON broke off. Called by job_decode where job_syntax_check refused the value. Private to job.c. Pure; any thread. */
#ifndef CHAT_WIRE_JOB_PARTIAL_H
#define CHAT_WIRE_JOB_PARTIAL_H

#include "wire/job.h"
#include "wire/job_names.h"
#include "wire/json_view.h"

/* Finds id, session and metadata one by one, in the record's bytes; ret_of is by enum job_name, empty where there is none. A member that is
 * there twice, cut off or itself at fault is left out. The value may be NULL. */
void job_partial_find(const struct record *record, const struct job_limits *limits, struct json_view ret_of[JOB_NAMES]);

#endif
