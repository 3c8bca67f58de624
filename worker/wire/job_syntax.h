/* Is a record's value a JSON object as a job's has to be, and where does it break off from one? The first step of job_decode, before any
 * member is looked at: size, UTF-8, depth, JSON, and numbers and strings that other readers would change. A fault in a member that means something
 * is told by that member's name, all others as one of the value. Private to job.c. Pure; any thread; costs one look at the bytes and one at the JSON. */
#ifndef CHAT_WIRE_JOB_SYNTAX_H
#define CHAT_WIRE_JOB_SYNTAX_H

#include "base/error.h"
#include "wire/job.h"

/* FAILED: *err is permanent, with the code and a message that tells the byte and quotes no content. */
enum status job_syntax_check(const struct record *record, const struct job_limits *limits, struct error *err) MUST_CHECK;

/* Nesting levels that are allowed. */
size_t job_depth_max(const struct job_limits *limits);

#endif
