/* A look at a job's bytes before the JSON parser, without allocation or recursion: what the parser would refuse
 * without saying why, or would only notice after spending stack on it. Pure; any thread. Private to wire/. */
#ifndef CHAT_WIRE_JOB_SCAN_H
#define CHAT_WIRE_JOB_SCAN_H

#include <stdbool.h>
#include <stddef.h>

#define SCAN_NOWHERE ((size_t)-1)

/* Offset of the first byte that is not part of well-formed UTF-8 (RFC 3629: no overlong forms, no
 * surrogates, nothing over U+10FFFF), or SCAN_NOWHERE. */
size_t utf8_invalid_at(const void *bytes, size_t size);

struct job_scan {
    size_t too_deep_at;       /* the bracket that opens level depth_max + 1, or SCAN_NOWHERE */
    size_t lone_surrogate_at; /* a \uD800-\uDFFF escape without its other half, or SCAN_NOWHERE */
    bool has_nul_escape;      /* \u0000 stands in a string */
    bool has_long_number;     /* 16 digits or more in a row: may lie beyond 2^53 */
};

/* Ends at the first fault; for a value that isn't JSON the facts mean little, but nothing breaks. */
struct job_scan job_scan(const char *json, size_t size, size_t depth_max);

#endif
