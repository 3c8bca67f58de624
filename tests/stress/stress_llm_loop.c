/* Event loops with many calls each ask one misbehaving provider, while another thread cancels at random: stress_llm_client.c for the loop's driver, for
 * ThreadSanitizer and AddressSanitizer. As engine_loop.c does it: a cancel comes through the loop's inbox. Arguments: calls at once (64, of each of 2 loops), calls in
 * each place (100). Exit 0: every call ended in one of the expected ways, and each way occurred. */
#include <event2/event.h>
#include <event2/event_struct.h>
#include <sys/eventfd.h>

#include "base/alloc.h"
#include "http/http_loop.h"
#include "llm/http_targets.h"
#include "telemetry/loop_turns.h"
#include "../lib/ask_one.h"
#include "bad_provider.h"

#define LOOPS 2
#define CALLS_PER_SHARD 16

/* libcurl 7.88 closes a socket that is still connecting before it tells its loop so: what want_socket takes out of the loop's epoll instance has a number that
 * another thread's new socket may have by then, and the kernel says that it isn't in there. No other race of an epoll instance with a descriptor is seen here. */
/* NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp): ThreadSanitizer's name for it */
const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void)
{
    return "race:epoll_ctl\n";
}
/* NOLINTEND(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */

struct loop;

/* A place for calls, one after the other. */
struct place {
    struct loop *loop;
    struct http_cancel *cancel;
    atomic_bool unwanted; /* set by the thread that cancels */
    int left;
    struct llm_asking *asking; /* NULL: none */
    struct llm_question question;
    struct llm_answer answer;
    struct llm_outcome outcome;
    struct error err;
};

struct loop {
    int index;
    pthread_t thread;
    struct event_base *base;
    struct http_loop *http;
    struct http_pool *pool;
    int told;
    struct event inbox;
    struct place *places;
    int going; /* places with calls left */
};

static struct settings settings;
static struct provider_settings provider;
static struct llm_client *client;
static struct http_pool *world;
static struct provider_slots *slots;
static struct provider_times *times;
static int places_each = 64, calls_each = 100;
static atomic_int loops_going = LOOPS;

static void tell(struct loop *loop)
{
    uint64_t one = 1;
    (void)!write(loop->told, &one, sizeof one);
}

static void address_is_known(void *arg)
{
    tell(arg);
}

static void begin(struct place *place)
{
    static const size_t first = 0;
    static char body[] = BODY;
    place->answer = (struct llm_answer){0};
    place->err = (struct error){0};
    http_cancel_reset(place->cancel);
    place->question = (struct llm_question){.settings = &settings, .client = client, .pool = place->loop->pool, .slots = slots, .times = times, .cancel = place->cancel,
                                            .candidates = &first, .count = 1, .until_ms = clock_mono_ms() + 60000, .encode = ask_one_body, .skip = ask_one_skip, .arg = body};
    place->asking = llm_asking_begin(&place->question, &place->answer, &place->outcome, &place->err);
}

static void end(struct place *place)
{
    enum status rc = llm_asking_end(&place->asking);
    struct llm_failure none = {.retry_after_ms = -1, .should_retry = -1};
    count_end(rc, &place->answer, place->outcome.tried_count > 0 ? &place->outcome.tried[place->outcome.reported].failure : &none, &place->err);
    llm_outcome_finish(&place->outcome);
    llm_answer_finish(&place->answer);
}

/* Until the place waits, or has no calls left. */
static void go_on(void *arg)
{
    struct place *place = arg;
    int64_t next_ms;
    for (; place->left > 0; place->left--) {
        if (place->asking == NULL)
            begin(place);
        if (llm_asking_go_on(place->asking, &next_ms) != LLM_ASKING_OVER) {
            http_loop_wait(llm_asking_client(place->asking), next_ms, go_on, place);
            return;
        }
        end(place);
    }
    place->loop->going--;
}

static void inbox_fired(evutil_socket_t fd, short what, void *arg)
{
    struct loop *loop = arg;
    uint64_t told;
    (void)what;
    (void)!read(fd, &told, sizeof told);
    for (int i = 0; i < places_each; i++) {
        struct place *place = &loop->places[i];
        bool unwanted = atomic_exchange(&place->unwanted, false);
        if (place->asking == NULL)
            continue;
        if (unwanted)
            http_cancel_fire(place->cancel);
        if (unwanted || http_loop_is_unresolved(llm_asking_client(place->asking)))
            go_on(place);
    }
}

static void *loop_main(void *arg)
{
    struct loop *loop = arg;
    loop_turns_are_of(loop->index);
    for (int i = 0; i < places_each; i++)
        go_on(&loop->places[i]);
    while (loop->going > 0)
        event_base_loop(loop->base, EVLOOP_ONCE);
    loops_going--;
    return NULL;
}

static void loop_start(struct loop *loop, int index)
{
    *loop = (struct loop){.index = index, .base = event_base_new(), .told = eventfd(0, EFD_NONBLOCK), .going = places_each, .places = xcalloc((size_t)places_each, sizeof *loop->places)};
    event_assign(&loop->inbox, loop->base, loop->told, EV_READ | EV_PERSIST, inbox_fired, loop);
    event_add(&loop->inbox, NULL);
    loop->http = http_loop_create(loop->base, CALLS_PER_SHARD, &(struct http_wake){address_is_known, loop});
    loop->pool = http_pool_of_loop(world, loop->http);
    for (int i = 0; i < places_each; i++) {
        loop->places[i].loop = loop;
        loop->places[i].cancel = http_cancel_create();
        loop->places[i].left = calls_each;
    }
}

static void loop_end(struct loop *loop)
{
    pthread_join(loop->thread, NULL);
    for (int i = 0; i < places_each; i++)
        http_cancel_destroy(loop->places[i].cancel);
    http_pool_destroy(loop->pool);
    http_loop_destroy(loop->http);
    event_del(&loop->inbox);
    close(loop->told);
    event_base_free(loop->base);
    free(loop->places);
}

int main(int argc, char **argv)
{
    static struct loop loops[LOOPS];
    struct error err = {0};
    places_each = argc > 1 ? atoi(argv[1]) : places_each;
    calls_each = argc > 2 ? atoi(argv[2]) : calls_each;
    if (places_each < 1 || calls_each < 1)
        return 2;
    bad_provider_start(&settings, &provider);
    if (http_targets_pool(&settings, &world, &err) != STATUS_OK)
        return 2;
    client = llm_client_create(&settings);
    slots = provider_slots_create(&settings);
    times = provider_times_create(&settings);
    for (int i = 0; i < LOOPS; i++)
        loop_start(&loops[i], i);
    for (int i = 0; i < LOOPS; i++)
        loops[i].thread = small_thread(loop_main, &loops[i]);
    /* Some cancels hit a running call, some one that just began or ended. */
    unsigned seed = 1;
    for (; loops_going > 0; usleep(200)) {
        if (!cancel_is_due())
            continue;
        struct loop *loop = &loops[rand_r(&seed) % LOOPS];
        atomic_store(&loop->places[rand_r(&seed) % places_each].unwanted, true);
        tell(loop);
    }
    for (int i = 0; i < LOOPS; i++)
        loop_end(&loops[i]);
    provider_slots_destroy(slots);
    provider_times_destroy(times);
    llm_client_destroy(client);
    http_pool_destroy(world);
    bad_provider_stop();
    return ends_are_right() ? 0 : 1;
}
