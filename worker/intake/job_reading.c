#include "intake/job_reading.h"

#include <string.h>

#include "telemetry/labelled_metrics.h"

#define TOLD_MAX 32 /* of one record by name */

static bool contexts_name_user(const struct settings *settings)
{
    for (size_t i = 0; i < settings->fetched_count; i++)
        if (strstr(settings->contexts[i].url, "{user}") != NULL)
            return true;
    return false;
}

void job_reading_init(struct job_reading *reading, const struct settings *settings)
{
    size_t read = 0;
    *reading = (struct job_reading){.limits = {.bytes_max = (size_t)settings->worker.job_bytes_max,
                                               .depth_max = JOB_DEPTH_MAX,
                                               .models_allowed = (const char *const *)settings->llm.models_allowed,
                                               .max_tokens_max = settings->llm.max_tokens_max,
                                               .metadata_members = reading->metadata_members}};
    /* A producer's own member may be spelled as similarly: refused only where a misspelling would change what is done with the job. */
    if (settings->llm.tenant_tokens_per_day > 0)
        reading->metadata_members[read++] = settings->llm.tenant_member;
    if (contexts_name_user(settings))
        reading->metadata_members[read++] = "user";
}

/* Names appear in logs and metrics: text of a message, used as a name by mistake, must not. */
static bool is_name(const char *name)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.";
    size_t size = strlen(name);
    return size > 0 && size <= LABEL_BYTES_MAX && strspn(name, plain) == size;
}

static void count(const char *name, void *arg)
{
    int *told = arg;
    const char *label = is_name(name) && *told < TOLD_MAX ? name : "other";
    (*told)++;
    labelled_add(LABELLED_UNKNOWN_MEMBERS, &label, 1);
}

void job_reading_count_unknown(const struct record *record, const struct job *job)
{
    int told = 0;
    if (job->unknown_count > 0)
        job_unknown_members(record, count, &told);
}
