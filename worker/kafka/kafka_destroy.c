#include "kafka/kafka_destroy.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/mutex.h"

#define LET_GO_MS 20

void kafka_let_coordinator_go(void)
{
    nanosleep(&(struct timespec){.tv_nsec = LET_GO_MS * 1000000L}, NULL);
}

/* Shared by the caller and the thread; freed by the last of them. */
struct destroying {
    rd_kafka_t *client;
    struct mutex lock; /* guards the members below */
    struct cond ended;
    bool is_over, is_left;
    void *memory; /* freed with it */
};

static void finish(struct destroying *d)
{
    cond_destroy(&d->ended);
    mutex_destroy(&d->lock);
    free(d->memory);
    free(d);
}

static void *destroy_main(void *arg)
{
    struct destroying *d = arg;
    rd_kafka_destroy(d->client);
    mutex_lock(&d->lock);
    d->is_over = true;
    bool is_left = d->is_left;
    cond_signal(&d->ended);
    mutex_unlock(&d->lock);
    if (is_left)
        finish(d);
    return NULL;
}

/* False: there is no thread, and so no bound: it is destroyed. */
static bool begin(struct destroying *d, pthread_t *thread)
{
    mutex_init(&d->lock);
    cond_init(&d->ended);
    if (pthread_create(thread, NULL, destroy_main, d) == 0)
        return true;
    rd_kafka_destroy(d->client);
    finish(d);
    return false;
}

void kafka_destroy_later(rd_kafka_t *client, void *memory)
{
    pthread_t thread;
    struct destroying *d = xcalloc(1, sizeof *d);
    *d = (struct destroying){.client = client, .memory = memory, .is_left = true};
    if (begin(d, &thread))
        pthread_detach(thread);
}

bool kafka_destroy(rd_kafka_t *client, int64_t until_ms)
{
    pthread_t thread;
    struct destroying *d = xcalloc(1, sizeof *d);
    d->client = client;
    if (!begin(d, &thread))
        return true;
    mutex_lock(&d->lock);
    while (!d->is_over && cond_wait_until(&d->ended, &d->lock, until_ms))
        ;
    bool is_over = d->is_over;
    d->is_left = !is_over;
    mutex_unlock(&d->lock);
    if (!is_over) {
        log_warn("kafka_client_left", F_STR("hint", "it doesn't end in time; the process ends without it, and nothing is lost"));
        pthread_detach(thread);
        return false;
    }
    pthread_join(thread, NULL);
    finish(d);
    return true;
}
