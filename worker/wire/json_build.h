/* jansson's tree of JSON text that was checked (json_check.h): the same tree as its parser's, at a fraction of the cost, since the parser takes text byte by byte.
 * A tree of hostile text takes a hundred times its bytes: json_text.h bounds that before. No recursion. Pure; any thread. */
#ifndef CHAT_WIRE_JSON_BUILD_H
#define CHAT_WIRE_JSON_BUILD_H

#include <jansson.h>
#include <stddef.h>

/* text: an object or an array, UTF-8, without a fault by json_check, white space around it or not. Of members of one name the last counts. Owned by the caller. */
json_t *json_build(const char *text, size_t size);

#endif
