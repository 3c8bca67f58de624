#include "wire/job_names.h"

const char *const job_names[KNOWN + 1] = {"id", "session", "message", "messages", "params", "deadline_ms", "metadata", "stream", NULL};

enum known job_names_find(const struct json_member *member)
{
    enum known which = 0;
    while (which < KNOWN && !json_member_is(member, job_names[which]))
        which++;
    return which;
}
