/* A provider's own words, made fit for a reply, a header and a terminal: bounded, valid UTF-8, one line, without secrets. Pure. */
#ifndef CHAT_LLM_REFUSAL_MESSAGE_H
#define CHAT_LLM_REFUSAL_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>

#define REFUSAL_MESSAGE_BYTES_MAX 1024

/* Cut between two characters; what is no UTF-8 becomes U+FFFD, control characters blanks; secrets (NULL-terminated; NULL: none), and what looks like
 * a key, "***". Owned by the caller; NULL: nothing is left of it. */
char *refusal_message(const char *text, size_t size, const char *const *secrets);

/* Does a word hold a secret, or what looks like a key? A code that does is none. */
bool refusal_message_hides(const char *word, const char *const *secrets);

#endif
