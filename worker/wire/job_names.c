#include "wire/job_names.h"

const char *const job_names[JOB_NAMES + 1] = {"id", "session", "message", "messages", "params", "deadline_ms", "metadata", "stream", NULL};

enum job_name job_names_find(const struct json_member *member)
{
    enum job_name which = 0;
    while (which < JOB_NAMES && !json_member_is(member, job_names[which]))
        which++;
    return which;
}
