/* A provider's error text, cleaned for a reply, a header and a terminal: bounded, valid UTF-8, one line, without secrets. Pure. */
#ifndef CHAT_LLM_REFUSAL_MESSAGE_H
#define CHAT_LLM_REFUSAL_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>

#define REFUSAL_MESSAGE_BYTES_MAX 1024

/* Cut between two characters; invalid UTF-8 becomes U+FFFD, control characters blanks; secrets (NULL-terminated; NULL: none), and words that look like
 * a key, "***". Owned by the caller; NULL: nothing is left. */
char *refusal_message(const char *text, size_t size, const char *const *secrets);

/* Does a word contain a secret, or look like a key? Then it isn't used as a code. */
bool refusal_message_hides(const char *word, const char *const *secrets);

#endif
