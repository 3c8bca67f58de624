/* When a name is looked up, and which calls wait for it: with the test's own name service and clock. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <curl/curl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "http/resolver.h"

/* ---- the name service ---- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int asked, allowed; /* look-ups begun, and how many may end; guarded by lock */
static int error_now;
static const char *addresses_now[4];

static struct addrinfo *address_of(const char *text)
{
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_STREAM}, *found = NULL;
    cr_assert_eq(getaddrinfo(text, NULL, &hints, &found), 0);
    return found;
}

static int lookup(const char *host, const char *service, const struct addrinfo *hints, struct addrinfo **ret)
{
    (void)host, (void)service;
    cr_assert_eq(hints->ai_family, AF_UNSPEC);
    pthread_mutex_lock(&lock);
    int number = ++asked;
    pthread_cond_broadcast(&changed);
    while (allowed < number)
        pthread_cond_wait(&changed, &lock);
    int error = error_now;
    for (size_t i = 0; error == 0 && addresses_now[i] != NULL; i++) {
        *ret = address_of(addresses_now[i]);
        ret = &(*ret)->ai_next;
    }
    pthread_mutex_unlock(&lock);
    return error;
}

static void set(int *number, int value)
{
    pthread_mutex_lock(&lock);
    *number = value;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

static int get(const int *number)
{
    pthread_mutex_lock(&lock);
    int value = *number;
    pthread_mutex_unlock(&lock);
    return value;
}

static void wait_asked(int count)
{
    pthread_mutex_lock(&lock);
    while (asked < count)
        pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
}

/* ---- one who asks ---- */

struct asker {
    CURLM *multi;
    struct resolver_wait wait;
    struct resolver_answer answer;
    int error;
};

static struct resolver *resolver;
static struct resolver_host *host;
static int64_t start_ms;

static void set_up(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
    resolver = resolver_create(lookup, freeaddrinfo);
    host = resolver_host(resolver, "model.test");
    addresses_now[0] = "192.0.2.1";
    start_ms = clock_mono_ms();
}

static void tear_down(void)
{
    resolver_destroy(resolver);
}

static void wake_multi(void *multi)
{
    curl_multi_wakeup(multi);
}

static enum resolver_state ask(struct asker *asker, int64_t after_ms)
{
    if (asker->multi == NULL)
        asker->multi = curl_multi_init();
    free(asker->answer.addresses);
    return resolver_ask(host, &asker->wait, &(struct http_wake){wake_multi, asker->multi}, start_ms + after_ms, &asker->answer, &asker->error);
}

/* Asleep until it is woken by the answer. */
static enum resolver_state await(struct asker *asker, int64_t after_ms)
{
    enum resolver_state state;
    while ((state = ask(asker, after_ms)) == RESOLVER_WAITING)
        cr_assert_eq(curl_multi_poll(asker->multi, NULL, 0, 60000, NULL), CURLM_OK);
    return state;
}

static void finish(struct asker *asker)
{
    resolver_leave(&asker->wait);
    free(asker->answer.addresses);
    curl_multi_cleanup(asker->multi);
}

TestSuite(resolver, .init = set_up, .fini = tear_down);

Test(resolver, all_who_wait_have_one_look_up)
{
    struct asker askers[100] = {0};
    for (size_t i = 0; i < 100; i++)
        cr_assert_eq(ask(&askers[i], 0), RESOLVER_WAITING);
    wait_asked(1);
    finish(&askers[50]); /* stops waiting */
    cr_expect_eq(ask(&askers[0], 0), RESOLVER_WAITING);
    set(&allowed, 100);
    for (size_t i = 0; i < 100; i++) {
        if (i == 50)
            continue;
        cr_assert_eq(await(&askers[i], 0), RESOLVER_KNOWN);
        cr_expect_str_eq(askers[i].answer.addresses, "192.0.2.1");
        cr_expect_eq(ask(&askers[i], 1), RESOLVER_KNOWN);
        cr_expect_null(askers[i].answer.addresses, "it has them");
        finish(&askers[i]);
    }
    cr_expect_eq(get(&asked), 1);
}

Test(resolver, a_failure_is_told_to_all_who_wait_and_tried_anew)
{
    struct asker askers[3] = {0};
    error_now = EAI_AGAIN;
    for (size_t i = 0; i < 3; i++)
        cr_assert_eq(ask(&askers[i], 0), RESOLVER_WAITING);
    set(&allowed, 1);
    for (size_t i = 0; i < 3; i++) {
        cr_assert_eq(await(&askers[i], 0), RESOLVER_FAILED);
        cr_expect_eq(askers[i].error, EAI_AGAIN);
    }
    cr_expect_eq(get(&asked), 1);
    set(&error_now, 0);
    set(&allowed, 2);
    cr_expect_eq(await(&askers[0], 0), RESOLVER_KNOWN);
    cr_expect_eq(get(&asked), 2);
    for (size_t i = 0; i < 3; i++)
        finish(&askers[i]);
}

Test(resolver, both_families_are_told_in_their_order)
{
    struct asker asker = {0};
    addresses_now[0] = "2001:db8::1";
    addresses_now[1] = "192.0.2.7";
    set(&allowed, 1);
    cr_assert_eq(await(&asker, 0), RESOLVER_KNOWN);
    cr_expect_str_eq(asker.answer.addresses, "[2001:db8::1],192.0.2.7");
    finish(&asker);
}

Test(resolver, addresses_are_renewed_beside_the_calls_and_waited_for_once_they_are_old)
{
    struct asker asker = {0};
    set(&allowed, 1);
    cr_assert_eq(await(&asker, 0), RESOLVER_KNOWN);
    cr_expect_eq(ask(&asker, RESOLVER_RENEW_MS - 1000), RESOLVER_KNOWN);
    cr_expect_eq(get(&asked), 1, "they are young");
    cr_expect_eq(ask(&asker, RESOLVER_RENEW_MS + 5000), RESOLVER_KNOWN, "nobody waits for the new ones");
    wait_asked(2);
    cr_expect_eq(ask(&asker, RESOLVER_RENEW_MS + 5000), RESOLVER_KNOWN);
    addresses_now[0] = "192.0.2.2";
    cr_assert_eq(ask(&asker, RESOLVER_GOOD_MS + 5000), RESOLVER_WAITING, "too old: the look-up under way is waited for");
    cr_expect_eq(get(&asked), 2); /* read here: the answer is as old as the look-up, and the time used below is late enough for another */
    set(&allowed, 2);
    cr_assert_eq(await(&asker, RESOLVER_GOOD_MS + 5000), RESOLVER_KNOWN);
    cr_expect_str_eq(asker.answer.addresses, "192.0.2.2");
    finish(&asker);
}

Test(resolver, addresses_that_nobody_answers_at_are_looked_up_again)
{
    struct asker asker = {0}, other = {0};
    set(&allowed, 1);
    cr_assert_eq(await(&asker, 0), RESOLVER_KNOWN);
    resolver_doubt(host, asker.answer.version, start_ms);
    cr_expect_eq(ask(&asker, 0), RESOLVER_KNOWN, "they have only just come");
    resolver_doubt(host, asker.answer.version + 1, start_ms + 9000);
    cr_expect_eq(ask(&asker, 9000), RESOLVER_KNOWN, "others were doubted");
    addresses_now[0] = "192.0.2.2";
    resolver_doubt(host, asker.answer.version, start_ms + 9000);
    cr_expect_eq(ask(&asker, 9000), RESOLVER_WAITING);
    cr_expect_eq(ask(&other, 9000), RESOLVER_WAITING);
    set(&allowed, 2);
    cr_assert_eq(await(&asker, 9000), RESOLVER_KNOWN);
    cr_expect_str_eq(asker.answer.addresses, "192.0.2.2");
    cr_assert_eq(await(&other, 9000), RESOLVER_KNOWN);
    cr_expect_eq(get(&asked), 2);
    finish(&asker);
    finish(&other);
}

Test(resolver, the_last_addresses_stay_good_while_the_name_service_is_away_but_not_once_the_name_is_gone)
{
    struct asker asker = {0};
    set(&allowed, 99);
    cr_assert_eq(await(&asker, 0), RESOLVER_KNOWN);
    set(&error_now, EAI_AGAIN);
    cr_expect_eq(await(&asker, RESOLVER_GOOD_MS + 5000), RESOLVER_KNOWN);
    set(&error_now, EAI_NONAME);
    enum resolver_state state; /* a look-up that began before may still return the earlier error */
    for (int64_t until = clock_mono_ms() + 60000; (state = await(&asker, 2 * RESOLVER_GOOD_MS)) == RESOLVER_KNOWN && clock_mono_ms() < until;)
        curl_multi_poll(asker.multi, NULL, 0, 5, NULL);
    cr_expect_eq(state, RESOLVER_FAILED);
    cr_expect_eq(asker.error, EAI_NONAME);
    set(&error_now, EAI_AGAIN);
    cr_expect_eq(await(&asker, 2 * RESOLVER_GOOD_MS), RESOLVER_FAILED, "none are known now");
    finish(&asker);
}

Test(resolver, a_host_that_hangs_holds_no_other_up)
{
    struct asker asker = {0}, stuck = {0};
    cr_assert_eq(ask(&stuck, 0), RESOLVER_WAITING);
    wait_asked(1);
    struct resolver_host *first = host;
    host = resolver_host(resolver, "other.test");
    cr_expect_neq(host, first);
    cr_expect_eq(resolver_host(resolver, "OTHER.test"), host);
    cr_assert_eq(ask(&asker, 0), RESOLVER_WAITING);
    wait_asked(2);
    finish(&asker);
    finish(&stuck); /* the look-ups outlive the waiting calls, and the resolver */
}
