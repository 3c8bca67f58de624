/* Repairs malformed JSON that json_check refuses, so that a good answer in it can be used. Usual text never
 * comes here. What is mended:
 *
 *   a byte order mark, white space and NULs before the value   skipped; the caller judges the text behind the value (read)
 *   a number beyond 64 bits or a double (1e400)                a string with its digits: no digit is lost, and every reader accepts it
 *                                                              (RFC 7493, section 2.2, recommends it, as Protobuf's JSON does it)
 *   NaN, Infinity, -Infinity                                   null: there is no such number in JSON, and it is what JavaScript writes
 *   half a surrogate pair, bytes that aren't UTF-8             U+FFFD, by utf8_mend.h; or kept, for callers that join pieces
 *   control characters in strings                              escaped
 *   \u0000 in a member's name, which jansson can't hold        U+FFFD
 *
 * Two members of one name stay: readers take the last. Text that is cut off, nested too deep or malformed in another way isn't mended,
 * since its meaning is unclear. Pure; any thread. */
#ifndef CHAT_WIRE_JSON_REPAIR_H
#define CHAT_WIRE_JSON_REPAIR_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

enum json_halves {
    JSON_HALVES_MENDED,
    JSON_HALVES_KEPT /* as bytes for utf8_mend, like other bytes that aren't UTF-8 */
};

struct json_repaired {
    char *text; /* owned; NUL-terminated */
    size_t size;
    size_t read; /* how many bytes of the input were read: the rest is behind the value */
    bool ragged; /* some of it isn't, or wasn't, UTF-8 */
};

/* Repairs the first value of a text. False, and *ret owns nothing: it can't be mended, or would grow by more than an eighth and 1 KiB. */
bool json_repair(const char *text, size_t size, enum json_halves halves, struct json_repaired *ret);

/* The value's tree, owned by the caller; with JSON_HALVES_KEPT its texts may not be UTF-8: see json_tree_mend. NULL: nested too deep, or
 * too large as a tree (json_text.h). */
json_t *json_repaired_tree(const struct json_repaired *repaired);

/* Makes every text in a tree UTF-8; only the caller may have references to the tree. */
void json_tree_mend(json_t *tree);

#endif
