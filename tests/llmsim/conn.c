#include "conn.h"

#include <event2/buffer.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "head.h"
#include "play.h"
#include "routes.h"

#define HEAD_BYTES_MAX 65536
#define BODY_BYTES_MAX (INT64_C(64) << 20)
#define INPUT_BYTES_MAX 262144

void conn_hold(struct conn *c, bool held)
{
    c->server->stats.held += held - c->held;
    c->held = held;
}

void conn_forget_request(struct conn *c)
{
    script_finish(&c->script);
    journal_line_finish(&c->line);
    free(c->head);
    free(c->body);
    free(c->message);
    c->message = NULL;
    conn_hold(c, false);
    c->head = c->body = NULL;
    c->body_size = c->body_read = 0;
    c->count = NULL;
    c->asked = ASKED_ELSE;
}

void conn_destroy(struct conn *c)
{
    LIST_REMOVE(c, link);
    c->server->stats.connections_open--;
    conn_forget_request(c);
    event_free(c->timer);
    bufferevent_free(c->bev);
    free(c);
}

void conn_reset(struct conn *c)
{
    struct linger now = {.l_onoff = 1, .l_linger = 0};
    setsockopt(bufferevent_getfd(c->bev), SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    conn_destroy(c);
}

static void chat_over(struct conn *c, enum message_event event)
{
    struct stats *stats = &c->server->stats;
    stats->in_flight--;
    stats->answered += event == MESSAGE_ANSWERED;
    stats->broken_by_sim += event == MESSAGE_REQUEST;
    stats->aborted_by_client += event == MESSAGE_ABORTED;
    if (c->count_epoch == c->server->epoch)
        stats_message_event(c->count, event);
}

static void context_over(struct conn *c, enum message_event event)
{
    c->server->stats.contexts_in_flight--;
    c->server->stats.contexts_aborted += event == MESSAGE_ABORTED;
}

void conn_request_over(struct conn *c, enum message_event event)
{
    if (c->asked == ASKED_ELSE)
        return;
    if (c->asked == ASKED_CHAT)
        chat_over(c, event);
    else
        context_over(c, event);
    journal_write(c->server->journal, &c->line,
                  event == MESSAGE_ANSWERED ? "answered" : event == MESSAGE_ABORTED ? "aborted" : "broken", clock_wall_ms());
    c->asked = ASKED_ELSE;
}

static void conn_event(struct bufferevent *bev, short what, void *arg)
{
    (void)bev;
    (void)what; /* EOF or error: the client has closed either way */
    struct conn *c = arg;
    if (c->state == CONN_ANSWER)
        conn_request_over(c, MESSAGE_ABORTED);
    conn_destroy(c);
}

/* ---- reading ---- */

/* True: a whole head was read into c->head and the body's size is known. */
static bool head_read(struct conn *c, struct evbuffer *input)
{
    struct evbuffer_ptr end = evbuffer_search(input, "\r\n\r\n", 4, NULL);
    if (end.pos < 0 || end.pos > HEAD_BYTES_MAX) {
        if (end.pos > 0 || evbuffer_get_length(input) > HEAD_BYTES_MAX) {
            evbuffer_drain(input, evbuffer_get_length(input));
            route_refuse(c, 431, "the request's head is too long");
        }
        return false;
    }
    size_t size = (size_t)end.pos;
    c->head = xcalloc(1, size + 1);
    evbuffer_remove(input, c->head, size);
    evbuffer_drain(input, 4);

    const char *line_end = strstr(c->head, "\r\n");
    size_t line_size = line_end != NULL ? (size_t)(line_end - c->head) : size;
    c->keep_alive = line_size > 8 && memcmp(c->head + line_size - 8, "HTTP/1.1", 8) == 0 &&
                    !head_is(c->head, "connection", "close");
    if (head_value(c->head, "transfer-encoding", &size) != NULL) {
        route_refuse(c, 411, "chunked requests are not understood");
        return false;
    }
    const char *length = head_value(c->head, "content-length", &size);
    long long body_size = length != NULL ? strtoll(length, NULL, 10) : 0;
    if (body_size < 0 || body_size > BODY_BYTES_MAX) {
        route_refuse(c, 413, "the request's body is too large");
        return false;
    }
    c->body_size = (size_t)body_size;
    c->body_read = 0;
    if (body_size > 0) {
        c->body = xcalloc(1, c->body_size + 1);
        if (head_is(c->head, "expect", "100-continue"))
            bufferevent_write(c->bev, "HTTP/1.1 100 Continue\r\n\r\n", 25);
    }
    c->state = CONN_BODY;
    return true;
}

void conn_read_on(struct conn *c)
{
    struct evbuffer *input = bufferevent_get_input(c->bev);
    if (c->state == CONN_ANSWER)
        return; /* a pipelined request waits; INPUT_BYTES_MAX bounds it */
    if (c->stale) {
        stats_fault(&c->server->stats, "stale-reset");
        conn_reset(c);
        return;
    }
    if (c->state == CONN_HEAD && !head_read(c, input))
        return;
    if (c->body_read < c->body_size) {
        int got = evbuffer_remove(input, c->body + c->body_read, c->body_size - c->body_read);
        c->body_read += got > 0 ? (size_t)got : 0;
    }
    if (c->body_read == c->body_size)
        route_request(c);
}

static void conn_input(struct bufferevent *bev, void *arg)
{
    (void)bev;
    conn_read_on(arg);
}

void conn_create(struct server *s, evutil_socket_t fd)
{
    struct conn *c = xcalloc(1, sizeof(*c));
    c->server = s;
    c->bev = bufferevent_socket_new(s->base, fd, BEV_OPT_CLOSE_ON_FREE);
    c->timer = evtimer_new(s->base, play_timer, c);
    if (c->bev == NULL || c->timer == NULL)
        abort(); /* out of memory */
    bufferevent_setcb(c->bev, conn_input, play_written, conn_event, c);
    bufferevent_setwatermark(c->bev, EV_READ, 0, INPUT_BYTES_MAX);
    bufferevent_enable(c->bev, EV_READ | EV_WRITE);
    LIST_INSERT_HEAD(&s->conns, c, link);
    s->stats.connections++;
    s->stats.connections_open++;
}
