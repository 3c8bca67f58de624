/* Clients on an event loop, against a server of the test's own on the same loop: when their owner is called back, and what becomes of connections. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "http/http_loop.h"
#include "http/http_pool.h"
#include "telemetry/loop_turns.h"

#define GOOD "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
#define LIMIT_MS 60000 /* of a wait for what must come */
#define CLIENTS 5

static struct event_base *base;
static struct http_loop *loop;
static struct http_pool *world, *pool;
static int listener;
static char *url;

static void no_wake(void *arg)
{
    (void)arg;
}

static void set_up(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    struct error err;
    listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    cr_assert_eq(bind(listener, (struct sockaddr *)&address, size), 0);
    cr_assert_eq(listen(listener, 64), 0);
    cr_assert_eq(getsockname(listener, (struct sockaddr *)&address, &size), 0);
    url = xasprintf("http://127.0.0.1:%d", ntohs(address.sin_port));
    struct http_target target = {.name = "t", .url = url, .connect_timeout_ms = LIMIT_MS, .response_bytes_max = 1000000};
    cr_assert_eq(http_pool_create(&target, 1, 0, &world, &err), STATUS_OK, "%s", err.message);
    base = event_base_new();
    loop = http_loop_create(base, 2, &(struct http_wake){no_wake, NULL}); /* several shards */
    pool = http_pool_of_loop(world, loop);
}

static void tear_down(void)
{
    http_pool_destroy(pool);
    http_loop_destroy(loop);
    event_base_free(base);
    http_pool_destroy(world);
    close(listener);
    free(url);
}

TestSuite(http_loop, .init = set_up, .fini = tear_down);

/* A client's owner: looks whenever it is called back. */
struct owner {
    struct http_client *client;
    struct http_request request;
    enum http_event event;
    int called;
};

static void look(void *arg)
{
    struct owner *owner = arg;
    size_t target;
    int64_t next_ms;
    owner->called++;
    owner->event = http_client_look(owner->client, INT64_MAX, NULL, &target, &next_ms);
    if (owner->event == HTTP_WAITING)
        http_loop_wait(owner->client, next_ms, look, owner);
}

static void begin(struct owner *owner, int64_t within_ms)
{
    struct error err;
    if (owner->client == NULL)
        cr_assert_eq(http_pool_take(pool, &owner->client, &err), STATUS_OK);
    owner->request = (struct http_request){.body = "body", .until_ms = clock_mono_ms() + within_ms};
    cr_assert_eq(http_call_start(owner->client, 0, &owner->request, &err), STATUS_OK, "%s", err.message);
    look(owner);
}

static void turn(void)
{
    struct timeval soon = {.tv_usec = 1000};
    event_base_loopexit(base, &soon);
    event_base_loop(base, EVLOOP_ONCE);
}

/* The next connection with a request on it; for keep: on this one. */
static int serve(int keep)
{
    char room[4096];
    int64_t limit_ms = clock_mono_ms() + LIMIT_MS;
    int connection = keep;
    while (connection < 0 || recv(connection, room, sizeof room, MSG_DONTWAIT) <= 0) {
        cr_assert_lt(clock_mono_ms(), limit_ms, "a request comes");
        turn();
        if (connection < 0)
            connection = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    }
    cr_assert_eq(send(connection, GOOD, strlen(GOOD), MSG_NOSIGNAL), (ssize_t)strlen(GOOD));
    return connection;
}

static void wait_for(struct owner *owner, enum http_event event)
{
    int64_t limit_ms = clock_mono_ms() + LIMIT_MS;
    while (owner->event == HTTP_WAITING) {
        cr_assert_lt(clock_mono_ms(), limit_ms);
        turn();
    }
    cr_expect_eq(owner->event, event);
}

static void expect_good(struct owner *owner)
{
    wait_for(owner, HTTP_ENDED);
    cr_expect_eq(http_call_status(http_client_call(owner->client, 0)), 200, "%s", http_client_call(owner->client, 0)->problem);
    http_call_end(owner->client, 0);
}

Test(http_loop, a_call_is_answered_and_the_next_goes_over_its_connection)
{
    struct owner owner = {0};
    begin(&owner, LIMIT_MS);
    int connection = serve(-1);
    expect_good(&owner);
    begin(&owner, LIMIT_MS);
    serve(connection);
    expect_good(&owner);
    cr_expect_eq(accept4(listener, NULL, NULL, 0), -1, "no other connection");
    http_pool_give(pool, &owner.client);
    close(connection);
}

Test(http_loop, an_idle_connection_that_its_server_closes_is_closed)
{
    struct owner owner = {0};
    begin(&owner, LIMIT_MS);
    int connection = serve(-1);
    expect_good(&owner);
    const struct http_connection *kept = &http_client_call(owner.client, 0)->connection;
    http_pool_give(pool, &owner.client);
    cr_assert(http_connection_is_open(kept));
    close(connection);
    for (int64_t limit_ms = clock_mono_ms() + LIMIT_MS; http_connection_is_open(kept); turn())
        cr_assert_lt(clock_mono_ms(), limit_ms, "seen without a call");
}

Test(http_loop, calls_of_several_shards_are_under_way_at_once)
{
    struct owner owners[CLIENTS] = {0};
    int connections[CLIENTS];
    for (int i = 0; i < CLIENTS; i++)
        begin(&owners[i], LIMIT_MS);
    for (int i = 0; i < CLIENTS; i++)
        connections[i] = serve(-1);
    for (int i = 0; i < CLIENTS; i++) {
        expect_good(&owners[i]);
        http_pool_give(pool, &owners[i].client);
        close(connections[i]);
    }
}

Test(http_loop, a_call_without_an_answer_ends_when_its_time_is_over)
{
    struct owner owner = {0};
    begin(&owner, 30);
    wait_for(&owner, HTTP_ENDED);
    cr_expect_eq(http_client_call(owner.client, 0)->end, HTTP_TIMED_OUT);
    http_pool_give(pool, &owner.client);
}

Test(http_loop, a_server_that_cannot_be_reached_ends_the_call)
{
    struct owner owner = {0};
    close(listener);
    begin(&owner, LIMIT_MS);
    wait_for(&owner, HTTP_ENDED);
    cr_expect_eq(http_client_call(owner.client, 0)->code, CURLE_COULDNT_CONNECT);
    http_pool_give(pool, &owner.client);
    listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

Test(http_loop, who_has_given_its_client_back_is_not_called)
{
    struct owner owner = {0};
    begin(&owner, 30);
    int called = owner.called;
    http_pool_give(pool, &owner.client);
    for (int64_t until_ms = clock_mono_ms() + 60; clock_mono_ms() < until_ms; turn()) /* past the call's time, for which the loop's timer was set */
        ;
    cr_expect_eq(owner.called, called);
}

Test(http_loop, clients_that_broke_while_they_were_idle_are_lent_to_nobody)
{
    struct http_client *clients[CLIENTS];
    struct owner owner = {0};
    struct error err;
    for (int i = 0; i < CLIENTS; i++)
        cr_assert_eq(http_pool_take(pool, &clients[i], &err), STATUS_OK);
    for (int i = 0; i < CLIENTS; i++) {
        struct http_client *idle = clients[i];
        http_pool_give(pool, &clients[i]);
        idle->broken = true; /* as libcurl's failure leaves all clients of its handle */
    }
    begin(&owner, LIMIT_MS);
    int connection = serve(-1);
    expect_good(&owner);
    http_pool_give(pool, &owner.client);
    close(connection);
}

/* ---- what isn't looked at doesn't wake the loop on and on ---- */

static int64_t turns(void)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    loop_turns_print(out);
    fclose(out);
    int64_t value = 0;
    for (const char *count = text; (count = strstr(count, "chat_loop_turn_seconds_count{")) != NULL; count++)
        value += strtoll(strchr(count, ' '), NULL, 10);
    free(text);
    return value;
}

/* Not even with everything that is ready now. */
static void expect_rest(void)
{
    event_base_loop(base, EVLOOP_ONCE | EVLOOP_NONBLOCK); /* what was still to be said */
    int64_t before = turns();
    for (int i = 0; i < 10; i++)
        event_base_loop(base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
    cr_expect_eq(turns(), before, "%lld callbacks", (long long)(turns() - before));
}

static void set_send_buffer(const struct owner *owner, int bytes)
{
    cr_assert_eq(setsockopt(http_client_call(owner->client, 0)->connection.socket, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes), 0);
}

Test(http_loop, an_idle_connection_whose_last_request_waited_for_room_lets_the_loop_rest)
{
    static char body[100001];
    struct owner owner = {0};
    struct error err;
    memset(body, 'x', sizeof body - 1);
    begin(&owner, LIMIT_MS);
    int connection = serve(-1);
    expect_good(&owner);

    set_send_buffer(&owner, 1); /* the least there can be */
    owner.request.body = body;
    owner.request.until_ms = clock_mono_ms() + LIMIT_MS;
    cr_assert_eq(http_call_start(owner.client, 0, &owner.request, &err), STATUS_OK);
    look(&owner);
    cr_assert(http_exchange_has_unsent(&http_client_call(owner.client, 0)->exchange));
    set_send_buffer(&owner, 1000000); /* for all the rest: the same turn sends that and reads the answer */
    cr_assert_eq(send(connection, GOOD, strlen(GOOD), MSG_NOSIGNAL), (ssize_t)strlen(GOOD));
    expect_good(&owner);
    cr_assert(http_connection_is_open(&http_client_call(owner.client, 0)->connection));
    expect_rest();
    http_pool_give(pool, &owner.client);
    close(connection);
}

Test(http_loop, an_answer_that_nobody_waits_for_yet_lets_the_loop_rest)
{
    struct owner owner = {0};
    begin(&owner, LIMIT_MS);
    int connection = serve(-1);
    expect_good(&owner);
    begin(&owner, LIMIT_MS);
    http_loop_leave(owner.client); /* its owner waits for something else */
    int called = owner.called;
    serve(connection);
    expect_rest();
    cr_expect_eq(owner.called, called);
    http_loop_wait(owner.client, INT64_MAX, look, &owner);
    expect_good(&owner);
    http_pool_give(pool, &owner.client);
    close(connection);
}
