/* Text that a server meant as JSON, as JSON: for what json_check refuses, so that a good answer beside it is taken. Usual text never
 * comes here. What is mended:
 *
 *   a byte order mark, white space and NULs before the value   passed over; what is behind it is the caller's to judge (read)
 *   a number beyond 64 bits or a double (1e400)                a string with its digits: no digit is lost, and every reader takes it
 *                                                              (RFC 7493, section 2.2, recommends it, as Protobuf's JSON does it)
 *   NaN, Infinity, -Infinity                                   null: there is no such number in JSON, and it is what JavaScript writes
 *   half a surrogate pair, bytes that aren't UTF-8             U+FFFD, as utf8_mend.h says; or kept, for whoever joins pieces
 *   control characters in strings                              escaped
 *   \u0000 in a member's name, which jansson can't hold        U+FFFD
 *
 * Two members of one name stay: readers take the last. What is cut off, nested too deep or malformed in another way isn't mended:
 * nobody could say what was meant. Pure; any thread. */
#ifndef CHAT_WIRE_JSON_REPAIR_H
#define CHAT_WIRE_JSON_REPAIR_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

enum json_halves {
    JSON_HALVES_MENDED,
    JSON_HALVES_KEPT /* as bytes that utf8_mend takes, as are other bytes that aren't UTF-8 */
};

struct json_repaired {
    char *text; /* owned; NUL-terminated */
    size_t size;
    size_t read; /* how much of what was given it was: what begins there is behind the value */
    bool ragged; /* something in it is, or was, no UTF-8 */
};

/* The first value of a text. False, and nothing is owned: it can't be mended, or would grow by more than an eighth and 1 KiB. */
bool json_repair(const char *text, size_t size, enum json_halves halves, struct json_repaired *ret);

/* Its tree, owned by the caller; with JSON_HALVES_KEPT texts in it may not be UTF-8: see json_tree_mend. NULL: nested too deep, or
 * too large as a tree (json_text.h). */
json_t *json_repaired_tree(const struct json_repaired *repaired);

/* Makes every text in a tree UTF-8; the tree is the caller's alone. */
void json_tree_mend(json_t *tree);

#endif
