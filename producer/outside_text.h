/* Text from outside (an answer, a reply's error, a dead letter's headers), made safe for a terminal: a control character
 * could move the cursor or worse, and a line end could fake a line of ours. Each becomes '?'. Pure, except for printing; any thread. */
#ifndef CHAT_PRODUCER_OUTSIDE_TEXT_H
#define CHAT_PRODUCER_OUTSIDE_TEXT_H

#include <stddef.h>
#include <stdio.h>

/* The text as one line, owned by the caller. */
char *outside_text_line(const char *text);
/* Prints the text: on a terminal without control characters other than line ends and tabs, into a file or a pipe unchanged. */
void outside_text_print(FILE *out, const char *text, size_t size);

#endif
