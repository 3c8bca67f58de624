#include "base/mutex.h"

#include <assert.h>
#include <errno.h>
#include <time.h>

/* A failing lock is a bug (destroyed, not owned), never a failure from outside: stop where it happens. */
static void must(int rc)
{
    assert(rc == 0);
    (void)rc;
}

void mutex_init(struct mutex *m)
{
    must(pthread_mutex_init(&m->raw, NULL));
}

void mutex_destroy(struct mutex *m)
{
    must(pthread_mutex_destroy(&m->raw));
}

void mutex_lock(struct mutex *m) TSA(no_thread_safety_analysis)
{
    must(pthread_mutex_lock(&m->raw));
}

void mutex_unlock(struct mutex *m) TSA(no_thread_safety_analysis)
{
    must(pthread_mutex_unlock(&m->raw));
}

void cond_init(struct cond *c)
{
    pthread_condattr_t attr;
    must(pthread_condattr_init(&attr));
    must(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC));
    must(pthread_cond_init(&c->raw, &attr));
    must(pthread_condattr_destroy(&attr));
}

void cond_destroy(struct cond *c)
{
    must(pthread_cond_destroy(&c->raw));
}

void cond_signal(struct cond *c)
{
    must(pthread_cond_signal(&c->raw));
}

void cond_broadcast(struct cond *c)
{
    must(pthread_cond_broadcast(&c->raw));
}

void cond_wait(struct cond *c, struct mutex *m)
{
    must(pthread_cond_wait(&c->raw, &m->raw));
}

bool cond_wait_until(struct cond *c, struct mutex *m, int64_t until_ms)
{
    struct timespec until = {.tv_sec = (time_t)(until_ms / 1000), .tv_nsec = (long)(until_ms % 1000) * 1000000L};
    int rc = pthread_cond_timedwait(&c->raw, &m->raw, &until);
    if (rc == ETIMEDOUT)
        return false;
    must(rc);
    return true;
}
