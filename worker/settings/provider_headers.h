/* Reads provider.NAME.headers: an operator's own headers, sent with each request to that provider. Read once, when settings are
 * loaded. Pure; any thread.
 *
 * Values are secrets: no message contains one, nor a malformed name, which may be part of a value. */
#ifndef CHAT_SETTINGS_PROVIDER_HEADERS_H
#define CHAT_SETTINGS_PROVIDER_HEADERS_H

#include <stdbool.h>

#include "base/error.h"

#define PROVIDER_HEADERS_MAX 64 /* of one provider; servers take about a hundred */

struct provider_header {
    char *name;  /* an RFC 9110 token; NULL behind the last */
    char *value; /* without control characters except HTAB, without surrounding white space; may be empty */
};

/* text: a JSON object of strings. has_key: an api_key is set, which the worker sends in a header itself. *ret is owned by the caller, in the
 * text's order. FAILED: *ret_why contains what is wrong and what to do, to follow the setting's name; *ret is untouched. */
enum status provider_headers_read(const char *text, bool has_key, struct provider_header **ret, char ret_why[160]) MUST_CHECK;
void provider_headers_free(struct provider_header *headers); /* NULL is fine */

#endif
