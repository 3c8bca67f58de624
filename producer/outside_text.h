/* Text that anybody may have written (an answer, a reply's error, a dead letter's headers), as it may stand on a terminal: a control character in it
 * would move the cursor or worse, and a line end begin a line that isn't ours. Each such becomes '?'. Pure, but for what is printed; any thread. */
#ifndef CHAT_PRODUCER_OUTSIDE_TEXT_H
#define CHAT_PRODUCER_OUTSIDE_TEXT_H

#include <stddef.h>
#include <stdio.h>

/* One line of it, owned by the caller. */
char *outside_text_line(const char *text);
/* Prints it: on a terminal with its line ends and tabs alone, into a file or a pipe as it is. */
void outside_text_print(FILE *out, const char *text, size_t size);

#endif
