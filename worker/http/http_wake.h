/* How another thread ends a client's wait: by its multi handle where a thread blocks (http_client.h), by the inbox of an event loop where that waits
 * (http_loop.h). */
#ifndef CHAT_HTTP_HTTP_WAKE_H
#define CHAT_HTTP_HTTP_WAKE_H

#include <stddef.h>

/* Called on any thread, with a lock of the caller held: it only wakes. call NULL: nobody waits. */
struct http_wake {
    void (*call)(void *arg);
    void *arg;
};

static inline void http_wake_call(const struct http_wake *wake)
{
    if (wake->call != NULL)
        wake->call(wake->arg);
}

#endif
