/* A job before it is sent, held against what a worker would say of it, so that a typing error is told here and not by a
 * dead letter. Which models are allowed, and how large a job may be, is for the worker's settings to say. Pure. */
#ifndef CHAT_PRODUCER_JOB_CHECK_H
#define CHAT_PRODUCER_JOB_CHECK_H

#include "wire/job.h"

/* session stands in for one that the value doesn't name; NULL: none. *ret_job is the caller's either way: job_finish. FAILED: *err says
 * which member is wrong, and why (ERROR_PERMANENT). */
enum status job_check(const char *topic, const char *session, const char *value, size_t size, struct job *ret_job, struct error *err) MUST_CHECK;

#endif
