/* Bytes that should be UTF-8, made UTF-8. Servers cut texts between two bytes of a character (at `max_tokens`, between two chunks),
 * or between the halves of a surrogate pair, each of which stands here as three bytes, as if it were a character (WTF-8, CESU-8):
 * two halves that follow each other are joined, and what is none of it becomes U+FFFD, one for each character that was cut.
 *
 * UTF-8 stays as it is. Pure; any thread. */
#ifndef CHAT_WIRE_UTF8_MEND_H
#define CHAT_WIRE_UTF8_MEND_H

#include <stddef.h>
#include <stdint.h>

#define UTF8_HALF_BYTES 3
#define UTF8_REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

/* Owned by the caller, with a NUL behind it. ret_size may be NULL. At most three times as long. */
char *utf8_mend(const char *bytes, size_t size, size_t *ret_size);
/* How long that would be. */
size_t utf8_mended_size(const char *bytes, size_t size);

/* How many bytes at the end what follows may complete: a character that is cut, a high half that waits for its low one. At most 6. */
size_t utf8_open_tail(const char *bytes, size_t size);

/* Half a pair (0xD800 to 0xDFFF) as bytes. */
void utf8_put_half(uint32_t unit, char ret[UTF8_HALF_BYTES]);

#endif
