/* JSON that is cut off within a text, as of an error that quotes a long request and that only the beginning of was read: its ends are put behind it,
 * so that what came before the cut can be read. Pure; any thread. */
#ifndef CHAT_LLM_CUT_JSON_H
#define CHAT_LLM_CUT_JSON_H

#include <jansson.h>
#include <stddef.h>

/* The value, owned by the caller. NULL: it isn't cut so, or nested too deep. */
json_t *cut_json_load(const char *body, size_t size);

#endif
