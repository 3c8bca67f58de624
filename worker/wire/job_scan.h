/* Is a text UTF-8? Pure; any thread. */
#ifndef CHAT_WIRE_JOB_SCAN_H
#define CHAT_WIRE_JOB_SCAN_H

#include <stddef.h>

#define SCAN_NOWHERE ((size_t)-1)

/* Offset of the first byte that is not part of well-formed UTF-8 (RFC 3629: no overlong forms, no
 * surrogates, nothing over U+10FFFF), or SCAN_NOWHERE. */
size_t utf8_invalid_at(const void *bytes, size_t size);

#endif
