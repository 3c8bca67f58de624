/* Tokens of claims: nobody has one twice. They are drawn in batches, a thread's own. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "redis/session_store.h"

#define THREADS 4
#define TOKENS 100 /* a thread's: several batches, the last in part */

static char tokens[THREADS][TOKENS][33];

static void *draw(void *arg)
{
    for (int i = 0; i < TOKENS; i++)
        session_store_token(((char(*)[33])arg)[i]);
    return NULL;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(a, b);
}

Test(session_token, is_drawn_once)
{
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, draw, tokens[i]), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    qsort(tokens, THREADS * TOKENS, sizeof tokens[0][0], by_text);
    const char(*all)[33] = (const char(*)[33])tokens;
    for (int i = 0; i < THREADS * TOKENS; i++) {
        cr_assert_eq(strspn(all[i], "0123456789abcdef"), 32, "%s", all[i]);
        cr_assert(i == 0 || strcmp(all[i - 1], all[i]) != 0, "%s twice", all[i]);
    }
}
