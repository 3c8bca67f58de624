/* Texts as one line of plain words, to be searched: in lower case, each between single blanks, " like this "; without URLs, 1,000 as 1000, compound
 * words split ("rateLimit" is two). Filled by refusal_text.c, searched by refusal_words.c. Pure; the owner's thread. Text beyond its
 * capacity is dropped. */
#ifndef CHAT_LLM_PLAIN_WORDS_H
#define CHAT_LLM_PLAIN_WORDS_H

#include <stddef.h>

struct plain_words {
    char text[8192]; /* '\0'-terminated */
    size_t size;
};

/* Empty: one blank. */
void plain_words_init(struct plain_words *words);
void plain_words_put(struct plain_words *words, const char *text, size_t size);

#endif
