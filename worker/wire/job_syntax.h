/* Is a record's value a valid JSON object for a job, and where is the first fault? The first step of job_decode, before any
 * member is read: size, UTF-8, depth, JSON, and numbers and strings that other readers would change. A fault in a known member
 * is reported with that member's name, others as one of the value. Private to job.c. Pure; any thread; costs one pass over the bytes and one over the JSON. */
#ifndef CHAT_WIRE_JOB_SYNTAX_H
#define CHAT_WIRE_JOB_SYNTAX_H

#include "base/error.h"
#include "wire/job.h"

/* FAILED: *err is permanent, with the code and a message that contains the byte's offset and no content. */
enum status job_syntax_check(const struct record *record, const struct job_limits *limits, struct error *err) MUST_CHECK;

/* Nesting levels that are allowed. */
size_t job_depth_max(const struct job_limits *limits);

#endif
