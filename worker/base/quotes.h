/* Detects values in quotes where quotes would be part of the value. Pure; any thread. */
#ifndef CHAT_BASE_QUOTES_H
#define CHAT_BASE_QUOTES_H

#include <stdbool.h>

/* Does the text begin with a quote: " \' or a typographic one? JSON begins with { or [. */
bool begins_quoted(const char *text);
/* Is the text in quotes as a whole? A sentence that begins and ends with words in quotes isn't. */
bool is_quoted(const char *text);

#endif
