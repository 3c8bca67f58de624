/* One request and its response: what is sent in which pieces, and what each end means. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "http/http_exchange.h"

#define HEAD "POST / HTTP/1.1\r\n\r\n"
#define GOOD "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
#define REFUSED "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno"

static void ignore_header(const char *line, size_t size, void *arg)
{
    (void)line;
    (void)size;
    (void)arg;
}

static bool take_body(const char *bytes, size_t size, void *arg)
{
    (void)bytes;
    (void)size;
    return arg == NULL;
}

static const struct http_receiver takes = {ignore_header, take_body, NULL};

static void begin(struct http_exchange *exchange, const char *body, bool on_kept)
{
    http_exchange_begin(exchange, xstrdup(HEAD), body, body != NULL ? strlen(body) : 0, on_kept);
}

/* All that is to be sent, in pieces of at most `most` bytes; the whole text, owned. */
static char *send_all(struct http_exchange *exchange, size_t room_size, size_t most)
{
    char *sent = xcalloc(1, 4096);
    AUTO_FREE char *room = xcalloc(1, room_size);
    const char *piece;
    size_t size, at = 0;
    while ((size = http_exchange_piece(exchange, room, room_size, &piece)) > 0) {
        size = size < most ? size : most;
        memcpy(sent + at, piece, size);
        at += size;
        http_exchange_sent(exchange, size);
    }
    cr_expect_not(http_exchange_has_unsent(exchange));
    return sent;
}

Test(http_exchange, sends_head_and_body_in_any_pieces)
{
    const char *bodies[] = {NULL, "", "b", "a body of thirty-two bytes, say."};
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++)
        for (size_t room = 1; room < 70; room++)
            for (size_t most = 1; most < 70; most += 3) {
                struct http_exchange exchange;
                begin(&exchange, bodies[i], false);
                AUTO_FREE char *sent = send_all(&exchange, room, most);
                AUTO_FREE char *want = xasprintf("%s%s", HEAD, bodies[i] != NULL ? bodies[i] : "");
                cr_assert_str_eq(sent, want, "room %zu, at most %zu", room, most);
                http_exchange_finish(&exchange);
            }
}

Test(http_exchange, a_small_request_goes_in_one_piece)
{
    struct http_exchange exchange;
    char room[64];
    const char *piece;
    begin(&exchange, "body", false);
    cr_expect_eq(http_exchange_piece(&exchange, room, sizeof room, &piece), strlen(HEAD "body"));
    http_exchange_finish(&exchange);
}

Test(http_exchange, a_good_one_keeps_the_connection)
{
    struct http_exchange exchange;
    begin(&exchange, "body", false);
    free(send_all(&exchange, 64, 64));
    cr_expect_eq(http_exchange_arrived(&exchange, GOOD, 9, &takes), HTTP_EXCHANGE_UNDER_WAY);
    cr_expect_eq(http_exchange_arrived(&exchange, &GOOD[9], sizeof GOOD - 1 - 9, &takes), HTTP_EXCHANGE_DONE);
    cr_expect(http_exchange_keeps_connection(&exchange));
    cr_expect_eq(exchange.response.status, 200);
    http_exchange_finish(&exchange);
}

Test(http_exchange, a_refusal_before_all_is_sent_ends_sending_and_is_read)
{
    struct http_exchange exchange;
    begin(&exchange, "body", false);
    http_exchange_sent(&exchange, strlen(HEAD) + 1);
    cr_expect_eq(http_exchange_arrived(&exchange, REFUSED, sizeof REFUSED - 2, &takes), HTTP_EXCHANGE_UNDER_WAY);
    cr_expect_not(http_exchange_has_unsent(&exchange));
    cr_expect_eq(http_exchange_arrived(&exchange, &REFUSED[sizeof REFUSED - 2], 1, &takes), HTTP_EXCHANGE_DONE);
    cr_expect_not(http_exchange_keeps_connection(&exchange), "the server may still expect the rest of the body");
    http_exchange_finish(&exchange);
}

Test(http_exchange, an_early_good_answer_does_not_end_sending)
{
    struct http_exchange exchange;
    begin(&exchange, "body", false);
    http_exchange_sent(&exchange, strlen(HEAD));
    cr_expect_eq(http_exchange_arrived(&exchange, GOOD, sizeof GOOD - 3, &takes), HTTP_EXCHANGE_UNDER_WAY);
    cr_expect(http_exchange_has_unsent(&exchange));
    http_exchange_finish(&exchange);
}

static const struct {
    const char *heard;
    CURLcode why;
    bool on_kept;
    enum http_exchange_state state;
    CURLcode code;
} ends[] = {
    {"", CURLE_OK, true, HTTP_EXCHANGE_AGAIN, CURLE_OK},
    {"", CURLE_RECV_ERROR, true, HTTP_EXCHANGE_AGAIN, CURLE_OK},
    {"", CURLE_SEND_ERROR, true, HTTP_EXCHANGE_AGAIN, CURLE_OK},
    {"H", CURLE_RECV_ERROR, true, HTTP_EXCHANGE_FAILED, CURLE_RECV_ERROR},
    {"", CURLE_OK, false, HTTP_EXCHANGE_FAILED, CURLE_GOT_NOTHING},
    {"", CURLE_RECV_ERROR, false, HTTP_EXCHANGE_FAILED, CURLE_RECV_ERROR},
    {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nhi", CURLE_OK, false, HTTP_EXCHANGE_FAILED, CURLE_PARTIAL_FILE},
    {"HTTP/1.1 200 OK\r\n\r\nhi", CURLE_OK, true, HTTP_EXCHANGE_DONE, CURLE_OK},
    {"HTTP/1.1 200 OK\r\n\r\nhi", CURLE_RECV_ERROR, true, HTTP_EXCHANGE_FAILED, CURLE_RECV_ERROR},
};

Test(http_exchange, what_the_end_of_the_connection_means)
{
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        struct http_exchange exchange;
        begin(&exchange, "body", ends[i].on_kept);
        free(send_all(&exchange, 64, 64));
        if (ends[i].heard[0] != '\0')
            cr_expect_eq(http_exchange_arrived(&exchange, ends[i].heard, strlen(ends[i].heard), &takes), HTTP_EXCHANGE_UNDER_WAY);
        enum http_exchange_state state = http_exchange_closed(&exchange, ends[i].why);
        cr_expect_eq(state, ends[i].state, "%zu: %d", i, state);
        if (state == HTTP_EXCHANGE_FAILED)
            cr_expect_eq(exchange.code, ends[i].code, "%zu: %d", i, exchange.code);
        if (state == HTTP_EXCHANGE_DONE)
            cr_expect_not(http_exchange_keeps_connection(&exchange));
        http_exchange_finish(&exchange);
    }
}

Test(http_exchange, is_repeated_once_and_whole)
{
    struct http_exchange exchange;
    begin(&exchange, "body", true);
    http_exchange_sent(&exchange, 5);
    cr_expect_eq(http_exchange_closed(&exchange, CURLE_OK), HTTP_EXCHANGE_AGAIN);
    http_exchange_repeat(&exchange);
    AUTO_FREE char *sent = send_all(&exchange, 64, 64);
    cr_expect_str_eq(sent, HEAD "body");
    cr_expect_eq(http_exchange_closed(&exchange, CURLE_OK), HTTP_EXCHANGE_FAILED);
    http_exchange_finish(&exchange);
}

Test(http_exchange, what_cannot_be_read_is_named)
{
    static const struct {
        const char *heard;
        CURLcode code;
        bool refuses;
    } bad[] = {{"SSH-2.0\r\n", CURLE_UNSUPPORTED_PROTOCOL, false},
               {"HTTP/1.1 200 OK\r\nContent-Length: x\r\n", CURLE_WEIRD_SERVER_REPLY, false},
               {GOOD, CURLE_WRITE_ERROR, true}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct http_exchange exchange;
        const struct http_receiver receiver = {ignore_header, take_body, bad[i].refuses ? &exchange : NULL};
        begin(&exchange, "body", false);
        cr_expect_eq(http_exchange_arrived(&exchange, bad[i].heard, strlen(bad[i].heard), &receiver), HTTP_EXCHANGE_FAILED);
        cr_expect_eq(exchange.code, bad[i].code);
        cr_expect_eq(exchange.problem != NULL, !bad[i].refuses);
        http_exchange_finish(&exchange);
    }
}
