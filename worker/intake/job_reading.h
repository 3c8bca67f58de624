/* How the settings want jobs read, and what a job says beyond what is read of it. The intake's thread. */
#ifndef CHAT_INTAKE_JOB_READING_H
#define CHAT_INTAKE_JOB_READING_H

#include "settings/settings.h"
#include "wire/job.h"

struct job_reading {
    struct job_limits limits; /* borrows from the settings and from below: not to be copied */
    const char *metadata_members[3];
};

void job_reading_init(struct job_reading *reading, const struct settings *settings);

/* Counts the unknown members of a record that decoded, by name; what looks like no name counts as "other". */
void job_reading_count_unknown(const struct record *record, const struct job *job);

#endif
