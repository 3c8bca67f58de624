#include "job_check.h"

#include <string.h>

#include "base/byte_order_mark.h"
#include "base/cleanup.h"
#include "command.h"
#include "wire/json_check.h"
#include "wire/json_view.h"

/* The job's model, of whatever name; owned. NULL: none. */
static char *model_of(const char *value, size_t size)
{
    size_t mark = byte_order_mark_size(value, size);
    if (json_check(value + mark, size - mark, true).kind != JSON_FINE)
        return NULL;
    struct json_view params = json_view_member(json_view_of(value + mark, value + size), "params");
    return json_view_type(params) == JSON_OBJECT ? json_view_decode(json_view_member(params, "model"), NULL) : NULL;
}

enum status job_check(const char *topic, const char *session, const char *value, size_t size, struct job *ret_job, struct error *err)
{
    AUTO_FREE char *model = model_of(value, size);
    const char *const models[] = {model, NULL};
    struct job_limits limits = {.bytes_max = MESSAGE_BYTES_MAX, .depth_max = JOB_DEPTH_MAX, .models_allowed = models};
    struct record record = {.topic = (char *)(uintptr_t)topic, .timestamp_ms = -1, .key = (char *)(uintptr_t)session,
                            .key_size = session == NULL ? 0 : strlen(session), .value = (char *)(uintptr_t)value, .value_size = size};
    return job_decode(&record, &limits, ret_job, err);
}
