/* JSON from outside (a provider's answer, a history element) on a thread with a small stack. jansson
 * recurses up to 2,048 levels, which a 64 KiB stack doesn't hold: depth is checked before parsing. Pure. */
#ifndef CHAT_WIRE_JSON_TEXT_H
#define CHAT_WIRE_JSON_TEXT_H

#include <jansson.h>
#include <stddef.h>

/* An answer may nest as deep as a job (64), and a history element wraps it in three more. */
#define JSON_TEXT_DEPTH_MAX 72

/* The value, owned by the caller, or NULL: malformed or nested too deep. "\u0000" in strings is kept. */
json_t *json_text_load(const char *text, size_t size);

#endif
