#include "json_argument.h"

#include <string.h>

#include "base/byte_order_mark.h"
#include "wire/job_scan.h"
#include "wire/json_fault.h"

const char *json_argument(struct argp_state *state, const char *option, const char *text)
{
    struct error err = {0};
    text += byte_order_mark_size(text, strlen(text));
    size_t size = strlen(text), bad = utf8_invalid_at(text, size);
    if (bad != SCAN_NOWHERE)
        argp_error(state, "%s: not UTF-8 at byte %zu", option, bad);
    struct json_fault fault = json_check(text, size, true);
    if (fault.kind != JSON_FINE) {
        json_fault_set(&err, option, text, size, &fault);
        argp_error(state, "%s", err.message);
    }
    return text;
}
