/* Makes bytes valid UTF-8. Servers cut texts between two bytes of a character (at `max_tokens`, between two chunks),
 * or between the halves of a surrogate pair, each of which is encoded as three bytes, as if it were a character (WTF-8, CESU-8):
 * two halves in sequence are joined, and other invalid bytes become U+FFFD, one for each character that was cut.
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
/* The size of that. */
size_t utf8_mended_size(const char *bytes, size_t size);

/* How many bytes at the end more bytes may complete: a cut character, a high half without its low one. At most 6. */
size_t utf8_open_tail(const char *bytes, size_t size);

/* Half a pair (0xD800 to 0xDFFF) as bytes. */
void utf8_put_half(uint32_t unit, char ret[UTF8_HALF_BYTES]);

#endif
