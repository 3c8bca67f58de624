/* Checks a job before it is sent, by the worker's rules, so that a typing error is reported here and not in a
 * dead letter. Allowed models and the maximum size depend on the worker's settings and aren't checked. Pure. */
#ifndef CHAT_PRODUCER_JOB_CHECK_H
#define CHAT_PRODUCER_JOB_CHECK_H

#include "wire/job.h"

/* session: used if the value has none; NULL: none. The caller frees *ret_job in any case: job_finish. FAILED: *err contains
 * which member is wrong, and why (ERROR_PERMANENT). */
enum status job_check(const char *topic, const char *session, const char *value, size_t size, struct job *ret_job, struct error *err) MUST_CHECK;

#endif
