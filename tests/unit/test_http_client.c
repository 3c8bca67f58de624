/* A client's calls against a server of the test's own: how each ends, and what the next one finds. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../lib/deep_stack.h"
#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/thread_memory.h"
#include "http/http_pool.h"

#define GOOD "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
#define LIMIT_MS 60000 /* of a wait for what must come */

/* ---- a server, and a client of it ---- */

struct place {
    int listener;
    char *url;
    struct http_pool *pool;
    struct http_client *client;
};

/* proxy: the server is the proxy of https://example.invalid. */
static struct place open_place(bool proxy)
{
    struct place place = {.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    struct error err;
    cr_assert_eq(bind(place.listener, (struct sockaddr *)&address, size), 0);
    cr_assert_eq(listen(place.listener, 8), 0);
    cr_assert_eq(getsockname(place.listener, (struct sockaddr *)&address, &size), 0);
    place.url = xasprintf("http://127.0.0.1:%d", ntohs(address.sin_port));
    struct http_target target = {.name = "t", .url = proxy ? "https://example.invalid/" : place.url, .proxy = proxy ? place.url : NULL,
                                 .connect_timeout_ms = LIMIT_MS, .response_bytes_max = 1000000};
    cr_assert_eq(http_pool_create(&target, 1, 0, &place.pool, &err), STATUS_OK, "%s", err.message);
    cr_assert_eq(http_pool_take(place.pool, &place.client, &err), STATUS_OK);
    return place;
}

static void close_place(struct place *place)
{
    http_pool_give(place->pool, &place->client);
    http_pool_destroy(place->pool);
    close(place->listener);
    free(place->url);
}

static struct http_request request_of(const char *url)
{
    return (struct http_request){.url = url, .body = "body", .until_ms = clock_mono_ms() + LIMIT_MS};
}

static void start(struct place *place, const struct http_request *request)
{
    struct error err;
    cr_assert_eq(http_call_start(place->client, 0, request, &err), STATUS_OK, "%s", err.message);
}

static enum http_event wait_for_end(struct place *place)
{
    size_t target;
    return http_client_wait(place->client, INT64_MAX, NULL, &target);
}

/* The connection that the started call makes, as soon as the client has sent on it. */
static int accept_from(struct place *place)
{
    size_t target;
    char byte;
    int connection = -1;
    int64_t limit_ms = clock_mono_ms() + LIMIT_MS;
    while (connection < 0 || recv(connection, &byte, 1, MSG_PEEK | MSG_DONTWAIT) <= 0) {
        cr_assert_lt(clock_mono_ms(), limit_ms);
        cr_assert_eq(http_client_wait(place->client, clock_mono_ms() + 1, NULL, &target), HTTP_TIME);
        if (connection < 0)
            connection = accept4(place->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    }
    return connection;
}

static void answer(int connection, const char *text)
{
    char room[4096];
    while (recv(connection, room, sizeof room, MSG_DONTWAIT) > 0)
        ;
    cr_assert_eq(send(connection, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

/* ---- how calls end ---- */

Test(http_client, a_url_that_cannot_be_parsed_ends_its_call_only)
{
    struct place place = open_place(false);
    AUTO_FREE char *bad_url = xasprintf("%s/a b", place.url);
    struct http_request good = request_of(NULL), bad = request_of(bad_url);
    const struct http_call *call = http_client_call(place.client, 0);
    int connection = -1;
    for (int i = 0; i < 2; i++) { /* without a connection, and with one that was kept */
        start(&place, &bad);
        cr_expect_eq(wait_for_end(&place), HTTP_ENDED);
        cr_expect_eq(call->code, CURLE_URL_MALFORMAT);
        cr_expect_eq(http_call_status(call), 0, "of the call before");
        cr_expect_not(http_call_was_sent(call));
        http_call_end(place.client, 0);

        start(&place, &good);
        close(connection);
        connection = accept_from(&place);
        answer(connection, GOOD);
        cr_expect_eq(wait_for_end(&place), HTTP_ENDED);
        cr_expect_eq(http_call_status(call), 200);
        http_call_end(place.client, 0);
    }
    close(connection);
    close_place(&place);
}

Test(http_client, a_proxy_that_refused_the_call_before_has_not_refused_this_one)
{
    struct place place = open_place(true);
    struct http_request request = request_of(NULL), bad = request_of("https://example.invalid/a b");
    const struct http_call *call = http_client_call(place.client, 0);
    start(&place, &request);
    int connection = accept_from(&place);
    answer(connection, "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
    cr_expect_eq(wait_for_end(&place), HTTP_ENDED);
    cr_expect(http_call_was_refused_by_proxy(call));
    http_call_end(place.client, 0);

    start(&place, &bad);
    cr_expect_eq(wait_for_end(&place), HTTP_ENDED);
    cr_expect_eq(call->code, CURLE_URL_MALFORMAT);
    cr_expect_not(http_call_was_refused_by_proxy(call));
    close(connection);
    close_place(&place);
}

/* ---- a server that sends without end, faster than it is read ---- */

#define PIECES_MAX 100000
#define TURN_BYTES_MAX 131072 /* of JSON, some milliseconds, which an event loop's other jobs wait for */

struct endless {
    int connection;
    struct http_cancel *cancel;
    size_t pieces, bytes;
};

/* With each piece that it takes the next one arrives. */
static bool take_endless(struct http_call *call, const char *data, size_t size, void *arg)
{
    static const char more[16384];
    struct endless *endless = arg;
    (void)call;
    (void)data;
    endless->bytes += size;
    while (send(endless->connection, more, sizeof more, MSG_NOSIGNAL) > 0)
        ;
    http_cancel_fire(endless->cancel);
    return ++endless->pieces < PIECES_MAX;
}

static enum http_shape is_stream(bool typed, const char *bytes, size_t size)
{
    (void)typed;
    (void)bytes;
    (void)size;
    return HTTP_SHAPE_STREAM;
}

Test(http_client, a_cancel_ends_a_stream_that_arrives_faster_than_it_is_read)
{
    struct place place = open_place(false);
    struct endless endless = {.cancel = http_cancel_create()};
    struct http_request request = request_of(NULL);
    size_t target;
    request.sink = take_endless;
    request.look = is_stream;
    request.sink_arg = &endless;
    start(&place, &request);
    endless.connection = accept_from(&place);
    answer(endless.connection, "HTTP/1.1 200 OK\r\n\r\ndata: ");
    cr_expect_eq(http_client_wait(place.client, INT64_MAX, endless.cancel, &target), HTTP_CANCELLED);
    cr_expect_lt(endless.pieces, PIECES_MAX);
    close_place(&place);
    http_cancel_destroy(endless.cancel);
    close(endless.connection);
}

Test(http_client, a_look_takes_no_more_than_a_share_of_a_fast_stream)
{
    struct place place = open_place(false);
    struct endless endless = {.cancel = http_cancel_create()};
    struct http_request request = request_of(NULL);
    size_t target;
    int64_t next_ms;
    request.sink = take_endless;
    request.look = is_stream;
    request.sink_arg = &endless;
    start(&place, &request);
    endless.connection = accept_from(&place);
    answer(endless.connection, "HTTP/1.1 200 OK\r\n\r\ndata: ");
    for (int64_t limit_ms = clock_mono_ms() + LIMIT_MS; endless.pieces == 0;) {
        cr_assert_lt(clock_mono_ms(), limit_ms);
        http_client_block(place.client, limit_ms, NULL);
        cr_assert_eq(http_client_look(place.client, INT64_MAX, NULL, &target, &next_ms), HTTP_WAITING);
    }
    endless.bytes = 0;
    cr_assert_eq(http_client_look(place.client, INT64_MAX, NULL, &target, &next_ms), HTTP_WAITING);
    cr_expect_gt(endless.bytes, TURN_BYTES_MAX / 4, "a stream that goes on comes in large pieces");
    cr_expect_leq(endless.bytes, TURN_BYTES_MAX);
    cr_expect_leq(next_ms, clock_mono_ms(), "it goes on at once");
    close_place(&place);
    http_cancel_destroy(endless.cancel);
    close(endless.connection);
}

/* ---- two servers ---- */

#define LIBCURL_LOOKS_MS 1000 /* libcurl looks for dead connections when it makes one, once in this time */

/* Starts a call to the target, whose server answers it; other: a connection of another server, which nothing is sent to. -1: none. */
static int ask(struct http_client *client, size_t target, int listener, int other)
{
    struct http_request request = request_of(NULL);
    struct error err;
    size_t ended;
    char byte;
    int connection = -1;
    cr_assert_eq(http_call_start(client, target, &request, &err), STATUS_OK, "%s", err.message);
    while (connection < 0 || recv(connection, &byte, 1, MSG_PEEK | MSG_DONTWAIT) <= 0) {
        cr_assert_eq(http_client_wait(client, clock_mono_ms() + 1, NULL, &ended), HTTP_TIME, "a request comes");
        cr_assert_leq(recv(other, &byte, 1, MSG_PEEK | MSG_DONTWAIT), 0, "the request came to another server");
        if (connection < 0)
            connection = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    }
    answer(connection, GOOD);
    cr_expect_eq(http_client_wait(client, INT64_MAX, NULL, &ended), HTTP_ENDED);
    cr_expect_eq(ended, target);
    http_call_end(client, target);
    return connection;
}

/* libcurl closes such a connection when it makes the other one, which gets its descriptor: the next call to the first server would go to the second. */
Test(http_client, a_kept_connection_that_its_server_closed_is_not_taken_for_that_to_another)
{
    struct place places[2] = {open_place(false), open_place(false)};
    struct http_target targets[2];
    struct http_pool *pool;
    struct http_client *client;
    struct error err;
    for (int i = 0; i < 2; i++) {
        fcntl(places[i].listener, F_SETFL, O_NONBLOCK);
        targets[i] = (struct http_target){.name = "t", .url = places[i].url, .connect_timeout_ms = LIMIT_MS, .response_bytes_max = 1000000};
    }
    cr_assert_eq(http_pool_create(targets, 2, 0, &pool, &err), STATUS_OK, "%s", err.message);
    cr_assert_eq(http_pool_take(pool, &client, &err), STATUS_OK);

    int64_t asked_ms = clock_mono_ms();
    close(ask(client, 0, places[0].listener, -1));
    while (clock_mono_ms() <= asked_ms + LIBCURL_LOOKS_MS)
        usleep(10000);
    int second = ask(client, 1, places[1].listener, -1);
    close(ask(client, 0, places[0].listener, second));
    close(second);
    http_pool_give(pool, &client);
    http_pool_destroy(pool);
    close_place(&places[0]);
    close_place(&places[1]);
}

/* ---- bodies of any size ---- */

#define BODY_BYTES_MAX 100000

static void fill(char *body, size_t size)
{
    for (size_t i = 0; i < size; i++)
        body[i] = (char)('a' + i * 7 % 26);
    body[size] = '\0';
}

/* Answers each request by its own body, until the connection is closed. */
static void *echo_main(void *arg)
{
    const struct place *place = arg;
    char *room = xcalloc(1, BODY_BYTES_MAX + 4096);
    int connection = accept4(place->listener, NULL, NULL, SOCK_CLOEXEC);
    for (size_t had = 0;;) {
        ssize_t got = recv(connection, room + had, BODY_BYTES_MAX + 4095 - had, 0);
        if (got <= 0)
            break;
        room[had += (size_t)got] = '\0';
        const char *length = strstr(room, "Content-Length: "), *end = strstr(room, "\r\n\r\n");
        if (length == NULL || end == NULL || had < (size_t)(end + 4 - room) + strtoul(length + 16, NULL, 10))
            continue;
        AUTO_FREE char *response = xasprintf("HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%s", strlen(end + 4), end + 4);
        if (send(connection, response, strlen(response), MSG_NOSIGNAL) != (ssize_t)strlen(response))
            break;
        had = 0;
    }
    close(connection);
    free(room);
    return NULL;
}

Test(http_client, requests_and_responses_of_any_size_arrive_whole)
{
    static const size_t sizes[] = {0, 1, 1000, 1800, 1900, 1950, 2000, 2047, 2048, 2049, 2100, 4096, 16383, 16384, 16385, 18432, 20000, 65536, BODY_BYTES_MAX};
    static char body[BODY_BYTES_MAX + 1];
    struct place place = open_place(false);
    pthread_t server;
    cr_assert_eq(pthread_create(&server, NULL, echo_main, &place), 0);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct http_request request = request_of(NULL);
        const struct http_call *call = http_client_call(place.client, 0);
        fill(body, sizes[i]);
        request.body = body;
        start(&place, &request);
        cr_assert_eq(wait_for_end(&place), HTTP_ENDED);
        cr_assert_eq(http_call_status(call), 200, "%zu", sizes[i]);
        cr_assert_eq(call->body_size, sizes[i]);
        cr_assert(sizes[i] == 0 || memcmp(call->body, body, sizes[i]) == 0, "%zu", sizes[i]);
        http_call_end(place.client, 0);
    }
    shutdown(place.listener, SHUT_RDWR);
    close_place(&place);
    pthread_join(server, NULL);
}

#ifndef CHAT_SANITIZED /* which keep their own state there */

/* ---- a thread's stack ---- */

#define SHALLOW_BYTES 12288 /* of what a call on a kept connection uses: the pages below are those of a large frame */

/* On a kept connection nothing is given back, nor is much used. */
static void *wait_twice(void *arg)
{
    struct place *place = arg;
    struct http_request request = request_of(NULL);
    int connection = -1;
    for (int i = 0; i < 2; i++) { /* with a connection that it makes, then with the kept one */
        uintptr_t deep = deep_stack_touch();
        cr_expect(deep_stack_is_resident(deep));
        start(place, &request);
        if (connection < 0)
            connection = accept_from(place);
        answer(connection, GOOD);
        cr_expect_eq(wait_for_end(place), HTTP_ENDED);
        cr_expect_eq(deep_stack_is_resident(deep), i == 1, "%d", i);
        http_call_end(place->client, 0);
    }
    uintptr_t here = (uintptr_t)__builtin_frame_address(0);
    (void)thread_memory_trim_stack();
    start(place, &request);
    (void)http_client_wait(place->client, clock_mono_ms(), NULL, &(size_t){0}); /* it is sent */
    answer(connection, GOOD);
    cr_expect_eq(wait_for_end(place), HTTP_ENDED);
    http_call_end(place->client, 0);
    for (uintptr_t at = here - SHALLOW_BYTES; at > here - DEEP_STACK_BYTES; at -= 4096)
        cr_expect_not(deep_stack_is_resident(at), "%zu below", (size_t)(here - at));
    close(connection);
    return NULL;
}

Test(http_client, a_thread_that_has_connected_gives_back_its_stack_while_it_waits)
{
    struct place place = open_place(false);
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, wait_twice, &place), 0);
    pthread_join(thread, NULL);
    close_place(&place);
}

#endif
