#include "http/http_cancel.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/mutex.h"

struct http_cancel {
    atomic_bool fired;
    struct mutex mutex;
    struct http_wake wake; /* of the client that is waited for; guarded by mutex, so that it isn't freed during a wake-up */
};

struct http_cancel *http_cancel_create(void)
{
    struct http_cancel *cancel = xcalloc(1, sizeof *cancel);
    mutex_init(&cancel->mutex);
    return cancel;
}

void http_cancel_destroy(struct http_cancel *cancel)
{
    if (cancel == NULL)
        return;
    mutex_destroy(&cancel->mutex);
    free(cancel);
}

void http_cancel_reset(struct http_cancel *cancel)
{
    atomic_store(&cancel->fired, false);
}

void http_cancel_fire(struct http_cancel *cancel)
{
    /* Set the flag before looking for a wake: a thread that attaches later sees it before it waits. */
    atomic_store(&cancel->fired, true);
    mutex_lock(&cancel->mutex);
    http_wake_call(&cancel->wake);
    mutex_unlock(&cancel->mutex);
}

void http_cancel_attach(struct http_cancel *cancel, const struct http_wake *wake)
{
    if (cancel == NULL)
        return;
    mutex_lock(&cancel->mutex);
    cancel->wake = wake != NULL ? *wake : (struct http_wake){0};
    mutex_unlock(&cancel->mutex);
}

bool http_cancel_is_fired(struct http_cancel *cancel)
{
    return cancel != NULL && atomic_load(&cancel->fired);
}
