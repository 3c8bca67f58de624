/* Who pays for a job: a string member of its metadata. Pure; any thread. */
#ifndef CHAT_QUOTA_TENANT_H
#define CHAT_QUOTA_TENANT_H

#include "wire/job.h"

#define TENANT_BYTES_MAX 128 /* a longer one goes by its hash, so that nobody's name fills Redis */

/* The caller's; NULL: the job names none (no such member, no string, or an empty one). */
char *tenant_of(const struct job *job, const char *member);

#endif
