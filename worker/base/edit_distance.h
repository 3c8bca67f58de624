/* How far apart two names are, for "do you mean". Pure; any thread. */
#ifndef CHAT_BASE_EDIT_DISTANCE_H
#define CHAT_BASE_EDIT_DISTANCE_H

#include <stddef.h>

#define EDIT_WORD_MAX 64 /* bytes, with the NUL: longer names are EDIT_WORD_MAX apart from all */

/* Letters to insert, delete, change or swap with their neighbour (Damerau's distance, where no part is edited twice); upper
 * and lower case of ASCII are the same letter. At most EDIT_WORD_MAX. */
size_t edit_distance(const char *a, const char *b);

#endif
