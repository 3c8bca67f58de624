#include "wire/json_text.h"

#include <stdbool.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "wire/job_scan.h"
#include "wire/json_build.h"
#include "wire/json_repair.h"
#include "wire/json_walk.h"

/* jansson 2.14's memory on a 64-bit machine, without the texts (measured by tests/unit/test_json_text.c). A name is counted by its
 * colon, a value by its opening bracket or by the comma behind it. */
#define OBJECT_BYTES 256
#define ARRAY_BYTES 128
#define NAME_BYTES 112
#define SCALAR_BYTES 64

/* Counts brackets and separators outside strings, without parsing: the parser refuses malformed text. */
bool json_text_is_too_much(const char *text, size_t size)
{
    size_t depth = 0, bytes = SCALAR_BYTES;
    const char *end = text + size;
    for (const char *at = json_next_mark(text, end); at < end && bytes <= JSON_TREE_BYTES_MAX; at = json_next_mark(at + 1, end)) {
        switch (*at) {
        case '{':
        case '[':
            if (++depth > JSON_DEPTH_MAX)
                return true;
            bytes += *at == '{' ? OBJECT_BYTES : ARRAY_BYTES;
            break;
        case ':': bytes += NAME_BYTES; break;
        case ',': bytes += SCALAR_BYTES; break;
        default: depth -= depth > 0; break; /* a closing bracket */
        }
    }
    return bytes > JSON_TREE_BYTES_MAX;
}

json_t *json_text_load(const char *text, size_t size)
{
    const char *begin = json_skip_space(text, text + size);
    bool is_root = begin < text + size && (*begin == '{' || *begin == '[');
    if (!is_root || json_text_is_too_much(text, size) || utf8_invalid_at(text, size) != SCAN_NOWHERE || json_check(text, size, false).kind != JSON_FINE)
        return NULL;
    return json_build(text, size);
}

json_t *json_text_load_checked(const char *text, size_t size)
{
    return json_text_is_too_much(text, size) ? NULL : json_build(text, size);
}

json_t *json_text_load_mended(const char *text, size_t size)
{
    json_t *tree = json_text_load(text, size);
    struct json_repaired repaired;
    if (tree != NULL || !json_repair(text, size, JSON_HALVES_MENDED, &repaired))
        return tree;
    AUTO_FREE char *mended = repaired.text;
    return json_text_load(mended, repaired.size);
}
