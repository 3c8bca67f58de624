/* C11's threads, mutexes and conditions implemented by POSIX's, for ThreadSanitizer: it intercepts only POSIX's, and crashes on a thread
 * started by glibc's thrd_create. librdkafka uses C11's. In glibc mtx_t and cnd_t are
 * pthread_mutex_t and pthread_cond_t. To be preloaded. */
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <threads.h>

_Static_assert(sizeof(mtx_t) == sizeof(pthread_mutex_t) && sizeof(cnd_t) == sizeof(pthread_cond_t) && sizeof(thrd_t) == sizeof(pthread_t), "glibc's");

#define MUTEX(mtx) ((pthread_mutex_t *)(void *)(mtx))
#define COND(cnd) ((pthread_cond_t *)(void *)(cnd))

static int result(int rc)
{
    switch (rc) {
    case 0: return thrd_success;
    case EBUSY: return thrd_busy;
    case ETIMEDOUT: return thrd_timedout;
    case ENOMEM: return thrd_nomem;
    }
    return thrd_error;
}

struct start {
    thrd_start_t function;
    void *arg;
};

static void *run(void *arg)
{
    struct start start = *(struct start *)arg;
    free(arg);
    return (void *)(intptr_t)start.function(start.arg);
}

int thrd_create(thrd_t *thread, thrd_start_t function, void *arg)
{
    struct start *start = malloc(sizeof *start);
    if (start == NULL)
        return thrd_nomem;
    *start = (struct start){function, arg};
    int rc = pthread_create(thread, NULL, run, start);
    if (rc != 0)
        free(start);
    return result(rc);
}

int thrd_join(thrd_t thread, int *ret)
{
    void *value = NULL;
    int rc = pthread_join(thread, &value);
    if (ret != NULL)
        *ret = (int)(intptr_t)value;
    return result(rc);
}

int thrd_detach(thrd_t thread) { return result(pthread_detach(thread)); }

int mtx_init(mtx_t *mtx, int type)
{
    pthread_mutexattr_t attr;
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_settype(&attr, type & mtx_recursive ? PTHREAD_MUTEX_RECURSIVE : PTHREAD_MUTEX_NORMAL);
    int rc = pthread_mutex_init(MUTEX(mtx), &attr);
    pthread_mutexattr_destroy(&attr);
    return result(rc);
}

int mtx_lock(mtx_t *mtx) { return result(pthread_mutex_lock(MUTEX(mtx))); }
int mtx_trylock(mtx_t *mtx) { return result(pthread_mutex_trylock(MUTEX(mtx))); }
int mtx_timedlock(mtx_t *restrict mtx, const struct timespec *restrict until) { return result(pthread_mutex_timedlock(MUTEX(mtx), until)); }
int mtx_unlock(mtx_t *mtx) { return result(pthread_mutex_unlock(MUTEX(mtx))); }
void mtx_destroy(mtx_t *mtx) { pthread_mutex_destroy(MUTEX(mtx)); }

int cnd_init(cnd_t *cnd) { return result(pthread_cond_init(COND(cnd), NULL)); }
int cnd_signal(cnd_t *cnd) { return result(pthread_cond_signal(COND(cnd))); }
int cnd_broadcast(cnd_t *cnd) { return result(pthread_cond_broadcast(COND(cnd))); }
int cnd_wait(cnd_t *cnd, mtx_t *mtx) { return result(pthread_cond_wait(COND(cnd), MUTEX(mtx))); }
int cnd_timedwait(cnd_t *restrict cnd, mtx_t *restrict mtx, const struct timespec *restrict until)
{
    return result(pthread_cond_timedwait(COND(cnd), MUTEX(mtx), until));
}
void cnd_destroy(cnd_t *cnd) { pthread_cond_destroy(COND(cnd)); }
