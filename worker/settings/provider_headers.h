/* What provider.NAME.headers says: headers of an operator's own that go with each request to that provider. Read once, when settings are
 * loaded. Pure; any thread.
 *
 * Values are secrets: no message holds one, nor what stands where a name should and can't be one. */
#ifndef CHAT_SETTINGS_PROVIDER_HEADERS_H
#define CHAT_SETTINGS_PROVIDER_HEADERS_H

#include <stdbool.h>

#include "base/error.h"

#define PROVIDER_HEADERS_MAX 64 /* of one provider; servers take about a hundred */

struct provider_header {
    char *name;  /* an RFC 9110 token; NULL behind the last */
    char *value; /* without control characters but HTAB, nor white space around it; may be empty */
};

/* text: a JSON object of strings. has_key: an api_key is given, which the worker sends in a header itself. *ret is the caller's, in the
 * text's order. FAILED: *ret_why says what is wrong and what to do, to be put behind the setting's name; *ret is untouched. */
enum status provider_headers_read(const char *text, bool has_key, struct provider_header **ret, char ret_why[160]) MUST_CHECK;
void provider_headers_free(struct provider_header *headers); /* NULL is fine */

#endif
