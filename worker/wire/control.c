#include "wire/control.h"

#include <stdlib.h>
#include <string.h>

#include "base/byte_order_mark.h"
#include "base/cleanup.h"
#include "wire/job.h"
#include "wire/job_scan.h"
#include "wire/json_fault.h"
#include "wire/json_view.h"
#include "wire/json_writer.h"

#define WHERE "the control record"
#define REFUSE(err, code, ...) error_set((err), ERROR_PERMANENT, (code), __VA_ARGS__)

/* Accepts only a valid job id. */
static enum status take_cancel(struct json_view value, char **ret, struct error *err)
{
    size_t size = 0;
    AUTO_FREE char *id = json_view_decode(value, &size);
    if (id == NULL)
        return REFUSE(err, "invalid_member", WHERE " has no member cancel that names a job");
    if (size == 0)
        return REFUSE(err, "invalid_member", "cancel: the id of a job isn't empty");
    if (strlen(id) != size)
        return REFUSE(err, "invalid_member", "cancel: the id of a job holds no NUL character");
    if (size > JOB_ID_MADE_BYTES_MAX)
        return REFUSE(err, "invalid_member", "cancel: an id of %zu bytes; a job's has %d at most", size, JOB_ID_MADE_BYTES_MAX);
    *ret = steal_ptr(&id);
    return STATUS_OK;
}

enum status control_decode(const void *value, size_t size, struct control *ret, struct error *err)
{
    size_t mark = byte_order_mark_size(value, size);
    if (value == NULL || size == mark)
        return REFUSE(err, "empty_value", WHERE " is empty");
    if (size > CONTROL_BYTES_MAX)
        return REFUSE(err, "too_large", WHERE " is over %d bytes", CONTROL_BYTES_MAX);
    const char *text = (const char *)value + mark;
    size -= mark;
    size_t bad = utf8_invalid_at(text, size);
    if (bad != SCAN_NOWHERE)
        return REFUSE(err, "invalid_utf8", WHERE ": not UTF-8 at byte %zu", bad);
    struct json_fault fault = json_check(text, size, true);
    if (fault.kind != JSON_FINE)
        return json_fault_set(err, WHERE, text, size, &fault);
    struct control control = {0};
    if (take_cancel(json_view_member(json_view_of(text, text + size), "cancel"), &control.cancel, err) != STATUS_OK)
        return STATUS_FAILED;
    *ret = control;
    return STATUS_OK;
}

void control_finish(struct control *control)
{
    free(control->cancel);
    *control = (struct control){0};
}

enum status control_encode_cancel(const char *job_id, char **ret, struct error *err)
{
    struct json_writer writer = {0};
    size_t bad = utf8_invalid_at(job_id, strlen(job_id));
    if (bad != SCAN_NOWHERE)
        return REFUSE(err, "invalid_utf8", "cancel: the id of a job is UTF-8, and this isn't at byte %zu", bad);
    json_write_open(&writer, NULL);
    json_write_text(&writer, "cancel", job_id);
    json_write_close(&writer);
    struct control same = {0};
    enum status status = control_decode(writer.text, writer.size, &same, err);
    control_finish(&same);
    if (status == STATUS_OK)
        *ret = writer.text;
    else
        free(writer.text);
    return status;
}
