#include "wire/control.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/byte_order_mark.h"
#include "base/cleanup.h"

#define DEPTH_MAX 8

/* jansson recurses: nesting is bounded before it gets to see the text. Brackets within strings count too, which refuses
 * nothing that anybody sends. */
static bool is_shallow(const char *text, size_t size)
{
    int depth = 0;
    for (size_t i = 0; i < size; i++)
        if ((text[i] == '{' || text[i] == '[') && ++depth > DEPTH_MAX)
            return false;
    return true;
}

enum status control_decode(const void *value, size_t size, struct control *ret, struct error *err)
{
    json_error_t fault;
    size_t mark = byte_order_mark_size(value, size);
    if (value == NULL || size == mark)
        return error_set(err, ERROR_PERMANENT, "empty_value", "the control record is empty");
    if (size > CONTROL_BYTES_MAX || !is_shallow(value, size))
        return error_set(err, ERROR_PERMANENT, "too_large", "the control record is over %d bytes, or nested too deep", CONTROL_BYTES_MAX);
    AUTO_JSON json_t *root = json_loadb((const char *)value + mark, size - mark, JSON_REJECT_DUPLICATES, &fault);
    if (root == NULL)
        return error_set(err, ERROR_PERMANENT, "invalid_json", "the control record is not JSON at byte %d", fault.position);
    const char *cancel = json_string_value(json_object_get(root, "cancel"));
    if (cancel == NULL || *cancel == '\0')
        return error_set(err, ERROR_PERMANENT, "invalid_member", "the control record has no member cancel that names a job");
    *ret = (struct control){.root = steal_ptr(&root), .cancel = cancel};
    return STATUS_OK;
}

char *control_encode_cancel(const char *job_id)
{
    AUTO_JSON json_t *root = *job_id != '\0' ? json_pack("{s:s}", "cancel", job_id) : NULL;
    char *text = root == NULL ? NULL : json_dumps(root, JSON_COMPACT);
    if (text != NULL && strlen(text) > CONTROL_BYTES_MAX) {
        free(text);
        return NULL;
    }
    return text;
}
