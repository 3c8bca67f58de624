/* The limits for decoding jobs, from the settings, and the count of members that no reader knows. Intake thread. */
#ifndef CHAT_INTAKE_JOB_READING_H
#define CHAT_INTAKE_JOB_READING_H

#include "settings/settings.h"
#include "wire/job.h"

struct job_reading {
    struct job_limits limits; /* borrows from the settings and from the members below: not to be copied */
    const char *metadata_members[3];
};

void job_reading_init(struct job_reading *reading, const struct settings *settings);

/* Counts the unknown members of a decoded record, by name; a text that doesn't look like a name counts as "other". */
void job_reading_count_unknown(const struct record *record, const struct job *job);

#endif
