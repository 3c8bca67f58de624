/* Scope-bound clean-up for locals: `AUTO_FREE char *text = strdup(s);`. To move ownership out,
 * return steal_ptr(&text), which nulls the local. */
#ifndef CHAT_BASE_CLEANUP_H
#define CHAT_BASE_CLEANUP_H

#include <jansson.h>
#include <stdlib.h>

static inline void cleanup_free(void *where)
{
    free(*(void **)where);
}

static inline void cleanup_json(json_t **where)
{
    json_decref(*where);
}

#define AUTO_FREE __attribute__((cleanup(cleanup_free)))
#define AUTO_JSON __attribute__((cleanup(cleanup_json)))

#define steal_ptr(where)                   \
    (__extension__({                       \
        __typeof__(*(where)) got_ = *(where); \
        *(where) = NULL;                   \
        got_;                              \
    }))

#endif
