/* JSON that is cut off within a string, as of an error that quotes a long request and of which only the beginning was read: closes strings and brackets,
 * so that the part before the cut can be parsed. Pure; any thread. */
#ifndef CHAT_LLM_CUT_JSON_H
#define CHAT_LLM_CUT_JSON_H

#include <jansson.h>
#include <stddef.h>

/* The value, owned by the caller. NULL: it isn't cut within a string, or nested too deep. */
json_t *cut_json_load(const char *body, size_t size);

#endif
