/* Many threads look up few hosts whose addresses are found, fail and change, stop waiting and doubt addresses; the resolver is destroyed
 * while look-ups are under way. For ThreadSanitizer: exit 0 is good. The clock is simulated: it advances with each call. */
#include <curl/curl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "http/resolver.h"

#define THREADS 16
#define HOSTS 3
#define ROUNDS 2000

static atomic_int asked[HOSTS], under_way[HOSTS], wrong;
static atomic_llong now_ms;
static struct resolver_host *hosts[HOSTS];

static int lookup(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **ret)
{
    static const char *const numbers[] = {"192.0.2.1", "192.0.2.2", "2001:db8::1"};
    (void)service;
    int which = name[0] - 'a';
    if (atomic_fetch_add(&under_way[which], 1) != 0)
        wrong = 1; /* two look-ups of one host at a time */
    int turn = atomic_fetch_add(&asked[which], 1);
    struct addrinfo numeric = *hints;
    numeric.ai_flags = AI_NUMERICHOST;
    int error = turn % 5 == 4 ? EAI_AGAIN : turn % 11 == 10 ? EAI_NONAME : getaddrinfo(numbers[turn % 3], NULL, &numeric, ret);
    atomic_fetch_sub(&under_way[which], 1);
    return error;
}

static void wake_multi(void *multi)
{
    curl_multi_wakeup(multi);
}

static void *run(void *arg)
{
    unsigned seed = (unsigned)(size_t)arg;
    CURLM *multi = curl_multi_init();
    const struct http_wake wake = {wake_multi, multi};
    for (int round = 0; round < ROUNDS; round++) {
        struct resolver_wait wait = {0};
        struct resolver_answer answer = {0};
        int error = 0;
        struct resolver_host *host = hosts[rand_r(&seed) % HOSTS];
        bool patient = rand_r(&seed) % 8 != 0;
        enum resolver_state state;
        while ((state = resolver_ask(host, &wait, &wake, atomic_fetch_add(&now_ms, 20), &answer, &error)) == RESOLVER_WAITING && patient)
            curl_multi_poll(multi, NULL, 0, 60000, NULL);
        if ((state == RESOLVER_KNOWN) != (answer.addresses != NULL) || (state == RESOLVER_FAILED && error == 0))
            wrong = 1;
        if (state == RESOLVER_KNOWN && rand_r(&seed) % 4 == 0)
            resolver_doubt(host, answer.version, atomic_load(&now_ms));
        resolver_leave(&wait);
        free(answer.addresses);
    }
    curl_multi_cleanup(multi);
    return NULL;
}

int main(void)
{
    static const char *const names[HOSTS] = {"a.test", "b.test", "c.test"};
    pthread_t threads[THREADS];
    log_configure(LOG_ERROR, LOG_LOGFMT);
    curl_global_init(CURL_GLOBAL_DEFAULT);
    atomic_store(&now_ms, clock_mono_ms());
    struct resolver *resolver = resolver_create(lookup, freeaddrinfo);
    for (int i = 0; i < HOSTS; i++)
        hosts[i] = resolver_host(resolver, names[i]);
    for (size_t i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, run, (void *)(i + 1)) != 0)
            return 1;
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    resolver_destroy(resolver);
    printf("%d, %d and %d look-ups for %d questions\n", atomic_load(&asked[0]), atomic_load(&asked[1]), atomic_load(&asked[2]), THREADS * ROUNDS);
    return atomic_load(&wrong) != 0 || atomic_load(&asked[0]) == 0;
}
