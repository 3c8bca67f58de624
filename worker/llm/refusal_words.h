/* Which words together mean what, for refusals with an unknown reason: rules as data, and the look-up. Pure. For a new
 * refusal, add a row to tests/unit/refusals.tsv, and a line here, or to refusal_reasons.c if it has a code of its own. */
#ifndef CHAT_LLM_REFUSAL_WORDS_H
#define CHAT_LLM_REFUSAL_WORDS_H

#include <stdbool.h>

#include "llm/failure_kind.h"

/* Where a rule applies: groups of statuses, and errors without one. */
enum refusal_on {
    ON_NONE = 1,    /* no status: an error in a 200 or a stream */
    ON_400 = 2,     /* 400, 406, 409, 412, 422 and any other refusal of the request */
    ON_403 = 4,     /* 403, 451, 498 */
    ON_401 = 1024,  /* about the key, whatever the words */
    ON_402 = 8,
    ON_404 = 16,
    ON_413 = 32,
    ON_424 = 64,
    ON_429 = 128,
    ON_500 = 256,   /* 500, 501, 502 and other 5xx but 503 and 529 */
    ON_503 = 512    /* 503, 529 */
};
unsigned refusal_on_status(int status); /* 0: no status */

/* The kind that words mean, or FAILURE_NONE. on: one enum refusal_on. waits: the body contains how long to wait. ret_evidence: the rule's words that matched,
 * static (they end at a '|'); NULL: none in particular. */
enum failure_kind refusal_words_kind(const char *words, unsigned on, bool waits, const char **ret_evidence);
/* Does a text (a request's body) contain all words of such evidence? */
bool refusal_words_are_in(const char *text, const char *evidence);
/* Do words say that the request is too long: a word for length, and a size or a limit? Not of a rate, nor of a picture or a
 * parameter. strictly: only if they mean nothing else (a server's own failure may mention the context in passing). */
bool refusal_words_too_long(const char *words, bool strictly);
/* "limit 6000, requested 7000": waiting doesn't help. */
bool refusal_words_never_fit(const char *words);
/* "a|b": do words contain one of them, at the beginning of a word? words: struct plain_words' text. */
bool refusal_words_have(const char *words, const char *alternatives);

#endif
