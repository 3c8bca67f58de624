/* Many threads ask one misbehaving provider through one llm_client while another thread cancels at random: for
 * ThreadSanitizer, and for stacks as small as the worker's. The provider stalls, resets, truncates and closes keep-alive
 * connections; a stalled call ends only by a cancel. Arguments: threads (64), calls each (200).
 * Exit 0: every call ended in one of the expected ways, and each way occurred. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "llm/http_targets.h"
#include "../lib/ask_one.h"
#include "bad_provider.h"

struct caller {
    pthread_t thread;
    struct http_cancel *cancel;
};

static struct settings settings;
static struct llm_client *client;
static struct http_pool *pool;
static struct provider_slots *slots;
static struct provider_times *times;
static struct provider_settings provider;
static int calls_each = 200;
static atomic_int busy;

static void *ask_all(void *arg)
{
    struct caller *caller = arg;
    for (int i = 0; i < calls_each; i++) {
        struct llm_answer got = {0};
        struct llm_failure failure;
        struct error err = {0};
        http_cancel_reset(caller->cancel);
        struct asker asker = {&settings, client, pool, slots, times, caller->cancel, BODY};
        enum status rc = ask_one(&asker, clock_mono_ms() + 60000, &got, &failure, &err);
        count_end(rc, &got, &failure, &err);
        llm_answer_finish(&got);
    }
    busy--;
    return NULL;
}

int main(int argc, char **argv)
{
    int thread_count = argc > 1 ? atoi(argv[1]) : 64;
    calls_each = argc > 2 ? atoi(argv[2]) : calls_each;
    if (thread_count < 1 || calls_each < 1)
        return 2;
    struct error err = {0};
    bad_provider_start(&settings, &provider);

    if (http_targets_pool(&settings, &pool, &err) != STATUS_OK)
        return 2;
    client = llm_client_create(&settings);
    slots = provider_slots_create(&settings);
    times = provider_times_create(&settings);

    struct caller *callers = xcalloc((size_t)thread_count, sizeof *callers);
    busy = thread_count;
    for (int i = 0; i < thread_count; i++) {
        callers[i].cancel = http_cancel_create();
        callers[i].thread = small_thread(ask_all, &callers[i]);
    }
    /* Some cancels hit a running call, some one that just began or ended, some none. */
    unsigned seed = 1;
    for (; busy > 0; usleep(200))
        if (cancel_is_due())
            http_cancel_fire(callers[rand_r(&seed) % thread_count].cancel);
    for (int i = 0; i < thread_count; i++) {
        pthread_join(callers[i].thread, NULL);
        http_cancel_destroy(callers[i].cancel);
    }
    provider_slots_destroy(slots);
    provider_times_destroy(times);
    llm_client_destroy(client);
    http_pool_destroy(pool);
    bad_provider_stop();
    free(callers);
    return ends_are_right() ? 0 : 1;
}
