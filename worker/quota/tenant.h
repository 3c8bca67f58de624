/* Who pays for a job: a string member of its metadata. Pure; any thread. */
#ifndef CHAT_QUOTA_TENANT_H
#define CHAT_QUOTA_TENANT_H

#include "wire/job.h"

#define TENANT_BYTES_MAX 128 /* a longer name is replaced by its hash, so that names don't fill Redis */

/* Owned by the caller; NULL: the job names none (no such member, not a string, or an empty one). */
char *tenant_of(const struct job *job, const char *member);

#endif
