#include "server.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <event2/listener.h>
#include <event2/util.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include "answer.h"
#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "context.h"
#include "journal.h"
#include "stats.h"

#define HEAD_BYTES_MAX 65536
#define BODY_BYTES_MAX (INT64_C(64) << 20)
#define INPUT_BYTES_MAX 262144
#define BACKLOG 16384 /* the kernel cuts it to net.core.somaxconn */

enum conn_state { CONN_HEAD, CONN_BODY, CONN_ANSWER };
enum asked { ASKED_ELSE, ASKED_CHAT, ASKED_CONTEXT };

struct conn {
    LIST_ENTRY(conn) link;
    struct server *server;
    struct bufferevent *bev;
    struct event *timer; /* before a script's step */
    enum conn_state state;
    bool stale;      /* the next request's first bytes are met with a reset */
    bool keep_alive; /* what the client asked for in the current request */
    char *head, *body; /* of the current request; NULL once kept or done */
    size_t body_size, body_read;
    /* The answer being played: valid in CONN_ANSWER. */
    struct script script;
    size_t step, step_offset;
    int64_t step_repeated;
    bool writing; /* bytes of the script are on their way: the write callback moves on */
    bool held;    /* the next step waits for release() */
    char *message; /* owned; of a request whose answer is to be held, else NULL */
    enum asked asked; /* chat, context: counted in flight */
    struct journal_line line; /* what the journal will say of it */
    struct message_count *count;
    uint64_t count_epoch; /* count is void once the server's epoch has moved on */
};

struct server {
    struct server_options options;
    struct event_base *base;
    struct evconnlistener *listener;
    struct event *listen_again;
    struct fault_rules *rules;
    struct stats stats;
    struct journal *journal; /* NULL: none is kept */
    uint64_t number; /* chat requests since the start or the reset */
    uint64_t epoch;  /* resets */
    int64_t started_ms;
    LIST_HEAD(, conn) conns;
};

static void read_on(struct conn *c);
static void advance(struct conn *c);

/* ---- connections ------------------------------------------------------------------------------------ */

static void hold(struct conn *c, bool held)
{
    c->server->stats.held += held - c->held;
    c->held = held;
}

static void request_forget(struct conn *c)
{
    script_finish(&c->script);
    journal_line_finish(&c->line);
    free(c->head);
    free(c->body);
    free(c->message);
    c->message = NULL;
    hold(c, false);
    c->head = c->body = NULL;
    c->body_size = c->body_read = 0;
    c->count = NULL;
    c->asked = ASKED_ELSE;
}

static void conn_destroy(struct conn *c)
{
    LIST_REMOVE(c, link);
    c->server->stats.connections_open--;
    request_forget(c);
    event_free(c->timer);
    bufferevent_free(c->bev);
    free(c);
}

static void conn_reset(struct conn *c)
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

/* The request in hand is over, in one of three ways. */
static void request_over(struct conn *c, enum message_event event)
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

static void on_event(struct bufferevent *bev, short what, void *arg)
{
    (void)bev;
    (void)what; /* end, error: the client is gone either way */
    struct conn *c = arg;
    if (c->state == CONN_ANSWER)
        request_over(c, MESSAGE_ABORTED);
    conn_destroy(c);
}

/* ---- playing an answer ------------------------------------------------------------------------------- */

static void script_over(struct conn *c)
{
    enum script_end end = c->script.end;
    if (end == SCRIPT_HANG)
        return; /* in flight until the client goes away */

    request_over(c, c->script.broken ? MESSAGE_REQUEST : MESSAGE_ANSWERED);
    request_forget(c);
    if (end == SCRIPT_RESET) {
        conn_reset(c);
    } else if (end == SCRIPT_CLOSE || !c->keep_alive) {
        conn_destroy(c);
    } else {
        c->stale = end == SCRIPT_STALE;
        c->state = CONN_HEAD;
        if (evbuffer_get_length(bufferevent_get_input(c->bev)) > 0)
            read_on(c);
    }
}

static void step_send(struct conn *c)
{
    const struct script_step *step = &c->script.steps[c->step];
    if (step->size == 0) {
        c->step++;
        advance(c);
        return;
    }
    size_t size = c->script.drip_ms >= 0 ? 1 : step->size;
    c->writing = true;
    bufferevent_write(c->bev, step->bytes + c->step_offset, size);
    c->step_offset += size;
    if (c->step_offset < step->size)
        return;
    c->step_offset = 0;
    if (step->repeat >= 0 && c->step_repeated++ >= step->repeat) {
        c->step++;
        c->step_repeated = 0;
    }
}

/* What was sent has left: wait for the next step's time, or until it is let go, or send it, or end. */
static void advance(struct conn *c)
{
    if (c->step == c->script.count) {
        script_over(c);
        return;
    }
    if (c->script.steps[c->step].held) {
        hold(c, true);
        return;
    }
    int64_t delay_ms = c->step_offset > 0 ? c->script.drip_ms : c->script.steps[c->step].delay_ms;
    if (delay_ms > 0) {
        struct timeval delay = {.tv_sec = delay_ms / 1000, .tv_usec = delay_ms % 1000 * 1000};
        evtimer_add(c->timer, &delay);
    } else {
        step_send(c);
    }
}

/* Lets go what is held and has text in its message. Returns how many those were. */
static int64_t release(struct server *s, const char *text)
{
    int64_t released = 0;
    struct conn *next;
    for (struct conn *c = LIST_FIRST(&s->conns); c != NULL; c = next) {
        next = LIST_NEXT(c, link); /* an answer's end may be its connection's */
        if (!c->held || strstr(c->message, text) == NULL)
            continue;
        released++;
        hold(c, false);
        c->script.steps[c->step].held = false;
        advance(c);
    }
    return released;
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    step_send(arg);
}

static void on_written(struct bufferevent *bev, void *arg)
{
    (void)bev;
    struct conn *c = arg;
    if (!c->writing) /* a 100 Continue has left */
        return;
    c->writing = false;
    advance(c);
}

/* c->script is filled in. */
static void play(struct conn *c)
{
    c->state = CONN_ANSWER;
    c->step = c->step_offset = 0;
    c->step_repeated = 0;
    c->writing = false;
    advance(c);
}

static void refuse(struct conn *c, int status, const char *message)
{
    c->keep_alive = false;
    answer_error(&c->script, status, "openai", NULL, message);
    play(c);
}

/* ---- routes --------------------------------------------------------------------------------------------- */

/* The value of a header in the request's head, up to its line's end; *ret_size is its length. NULL: absent. */
static const char *header(const char *head, const char *name, size_t *ret_size)
{
    size_t name_size = strlen(name);
    for (const char *line = strstr(head, "\r\n"); line != NULL; line = strstr(line, "\r\n")) {
        line += 2;
        if (strncasecmp(line, name, name_size) == 0 && line[name_size] == ':') {
            line += name_size + 1;
            line += strspn(line, " \t");
            *ret_size = strcspn(line, "\r\n");
            return line;
        }
    }
    return NULL;
}

static bool header_is(const char *head, const char *name, const char *value)
{
    size_t size;
    const char *got = header(head, name, &size);
    return got != NULL && size == strlen(value) && strncasecmp(got, value, size) == 0;
}

static bool key_matches(const char *head, const char *key, const struct dialect *dialect)
{
    size_t size;
    const char *got = header(head, "authorization", &size);
    if (got != NULL && (dialect == NULL || !dialect->key_in_header) && size == strlen(key) + 7 && strncasecmp(got, "Bearer ", 7) == 0 && memcmp(got + 7, key, size - 7) == 0)
        return true;
    got = header(head, "api-key", &size);
    return got != NULL && (dialect == NULL || dialect->key_in_header) && size == strlen(key) && memcmp(got, key, size) == 0;
}

/* What a dialect's server refuses before it looks at the prompt. The name of the refusal; NULL: it is taken. */
static const char *dialect_objection(const struct server *s, const struct ask *ask, const char *segment, size_t segment_size, struct dialect_values *values)
{
    const struct dialect *dialect = s->options.plan.dialect;
    if (dialect == NULL)
        return NULL;
    if (dialect->refused != NULL && json_object_get(ask->root, dialect->refused) != NULL) {
        values->member = dialect->refused;
        return "refused-member";
    }
    const char *model = segment != NULL ? segment : ask->model;
    size_t size = segment != NULL ? segment_size : strlen(model);
    values->model = ask->model;
    bool known = !s->options.only_model || (size == strlen(s->options.model) && memcmp(model, s->options.model, size) == 0);
    return known ? NULL : "unknown-model";
}

/* segment: of the path, where a dialect has the model there; NULL: it hasn't. */
static void route_chat(struct conn *c, const char *segment, size_t segment_size)
{
    struct server *s = c->server;
    struct error err = {0};
    struct ask ask;
    if (ask_parse(c->body, c->body_size, &ask, &err) != STATUS_OK) {
        answer_error(&c->script, 400, "openai", err.code, err.message);
        return;
    }
    uint64_t number = ++s->number;
    s->stats.requests++;
    if (++s->stats.in_flight > s->stats.in_flight_max)
        s->stats.in_flight_max = s->stats.in_flight;
    c->asked = ASKED_CHAT;
    int64_t seen = stats_message(&s->stats, ask.message, &c->count);
    c->count_epoch = s->epoch;

    struct fault fault = {0};
    fault_rules_in_flight(s->rules, s->stats.in_flight);
    struct dialect_values values = {.number = number};
    const char *objection = dialect_objection(s, &ask, segment, segment_size, &values);
    if (objection != NULL && answer_refusal(&c->script, s->options.plan.dialect, objection, &values)) {
        stats_fault(&s->stats, objection);
    } else if (fault_pick(s->rules, ask.message, seen, number, s->options.plan.seed, &fault, &err) != STATUS_OK) {
        answer_error(&c->script, 400, "openai", err.code, err.message);
    } else {
        if (s->options.plan.ctx > 0 && ask.prompt_words > s->options.plan.ctx)
            s->stats.overflows++;
        else if (fault.name[0] != '\0')
            stats_fault(&s->stats, fault.name);
        answer_chat(&c->script, &s->options.plan, &ask, &fault, number, clock_wall_ms() / 1000);
        if (fault.kind == FAULT_HOLD)
            c->message = xstrdup(ask.message);
    }
    if (s->journal != NULL)
        journal_line_start(&c->line, &ask, number, &c->script, clock_wall_ms());
    ask_finish(&ask);
    stats_keep(&s->stats, number, steal_ptr(&c->head), steal_ptr(&c->body), c->body_size);
}

static void route_context(struct conn *c, const char *method, const char *path, const char *query)
{
    struct server *s = c->server;
    struct error err = {0};
    struct context_ask ask;
    if (strcmp(method, "GET") != 0) {
        answer_error(&c->script, 405, "openai", NULL, "GET only");
        return;
    }
    if (context_parse(path, query, &ask, &err) != STATUS_OK) {
        answer_error(&c->script, 400, "openai", err.code, err.message);
        return;
    }
    s->stats.contexts++;
    if (++s->stats.contexts_in_flight > s->stats.contexts_in_flight_max)
        s->stats.contexts_in_flight_max = s->stats.contexts_in_flight;
    c->asked = ASKED_CONTEXT;
    context_answer(&c->script, &ask);
    if (s->journal != NULL)
        journal_line_start_context(&c->line, &ask, clock_wall_ms());
    context_finish(&ask);
}

static void route_sim(struct conn *c, const char *method, const char *path, const char *query)
{
    struct server *s = c->server;
    struct evkeyvalq pairs;
    TAILQ_INIT(&pairs);
    if (query[0] != '\0')
        evhttp_parse_query_str(query, &pairs);
    bool get = strcmp(method, "GET") == 0;

    AUTO_FREE char *json = NULL;
    if (get && strcmp(path, "/sim/stats") == 0) {
        json = stats_json(&s->stats, evhttp_find_header(&pairs, "message"));
    } else if (get && strcmp(path, "/sim/messages") == 0) {
        json = stats_messages_json(&s->stats);
    } else if (get && strcmp(path, "/sim/requests") == 0) {
        const char *last = evhttp_find_header(&pairs, "last");
        json = stats_requests_json(&s->stats, last != NULL ? (size_t)strtoul(last, NULL, 10) : 1);
    } else if (!get && strcmp(path, "/sim/reset") == 0) {
        stats_reset(&s->stats);
        s->epoch++;
        s->number = 0;
        json = xstrdup("{}");
    } else if (!get && strcmp(path, "/sim/release") == 0) {
        json = xasprintf("{\"released\":%lld}", (long long)release(s, c->body != NULL ? c->body : ""));
    } else if (!get && strcmp(path, "/sim/faults") == 0) {
        struct fault_rules *rules;
        struct error err = {0};
        if (fault_rules_parse(c->body != NULL ? c->body : "", &rules, &err) == STATUS_OK) {
            fault_rules_destroy(s->rules);
            s->rules = rules;
            json = xstrdup("{}");
        } else {
            answer_error(&c->script, 400, "openai", err.code, err.message);
        }
    } else {
        answer_error(&c->script, 404, "openai", "not_found", "no such page of the simulator");
    }
    if (json != NULL)
        answer_plain(&c->script, 200, "", json);
    evhttp_clear_headers(&pairs);
}

static bool ends_with(const char *text, const char *end)
{
    size_t text_size = strlen(text), end_size = strlen(end);
    return text_size >= end_size && strcmp(text + text_size - end_size, end) == 0;
}

/* The request is read whole: head and body. */
static void route(struct conn *c)
{
    struct server *s = c->server;
    char method[16] = "", target[4096] = "";
    if (sscanf(c->head, "%15s %4095s", method, target) != 2) {
        refuse(c, 400, "the request line is not understood");
        return;
    }
    char *query = strchr(target, '?');
    if (query != NULL)
        *query++ = '\0';

    const struct dialect *dialect = s->options.plan.dialect;
    bool post = strcmp(method, "POST") == 0;
    const char *segment = NULL;
    size_t segment_size = 0;
    struct dialect_values values = {.path = target, .model = s->options.model};

    if (strncmp(target, "/sim/", 5) == 0) {
        route_sim(c, method, target, query != NULL ? query : "");
    } else if (strncmp(target, "/context/", 9) == 0) {
        route_context(c, method, target + 9, query != NULL ? query : ""); /* another service's, so to speak: no key, no loading */
    } else if (clock_mono_ms() - s->started_ms < s->options.loading_ms) {
        answer_error(&c->script, 503, "llamacpp", NULL, "Loading model");
    } else if (strcmp(target, "/health") == 0) {
        answer_plain(&c->script, 200, "", "{\"status\":\"ok\"}");
    } else if (dialect != NULL && post && !dialect_serves(dialect, target, query, &segment, &segment_size)) {
        if (!answer_refusal(&c->script, dialect, "no-such-path", &values))
            answer_error(&c->script, 404, "openai", "not_found", "no such path in this dialect (chat-llmsim --dialect list)");
    } else if (s->options.api_key != NULL && !key_matches(c->head, s->options.api_key, dialect)) {
        s->stats.unauthorized++;
        if (dialect == NULL || !answer_refusal(&c->script, dialect, "bad-key", &values))
            answer_error(&c->script, 401, "openai", NULL, "Incorrect API key provided.");
    } else if (strcmp(method, "GET") == 0 && ends_with(target, "/models")) {
        AUTO_FREE char *json = xasprintf("{\"object\":\"list\",\"data\":[{\"id\":\"%s\",\"object\":\"model\","
                                         "\"created\":1767225600,\"owned_by\":\"chat-llmsim\"}]}",
                                         s->options.model);
        answer_plain(&c->script, 200, "", json);
    } else if (ends_with(target, "/chat/completions")) {
        if (post)
            route_chat(c, segment, segment_size);
        else
            answer_error(&c->script, 405, "openai", NULL, "POST only");
    } else {
        answer_error(&c->script, 404, "openai", "not_found", "no such path");
    }
    play(c);
}

/* ---- reading ----------------------------------------------------------------------------------------------- */

/* True: a whole head was read into c->head and the body's size is known. */
static bool head_read(struct conn *c, struct evbuffer *input)
{
    struct evbuffer_ptr end = evbuffer_search(input, "\r\n\r\n", 4, NULL);
    if (end.pos < 0 || end.pos > HEAD_BYTES_MAX) {
        if (end.pos > 0 || evbuffer_get_length(input) > HEAD_BYTES_MAX) {
            evbuffer_drain(input, evbuffer_get_length(input));
            refuse(c, 431, "the request's head is too long");
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
                    !header_is(c->head, "connection", "close");
    if (header(c->head, "transfer-encoding", &size) != NULL) {
        refuse(c, 411, "chunked requests are not understood");
        return false;
    }
    const char *length = header(c->head, "content-length", &size);
    long long body_size = length != NULL ? strtoll(length, NULL, 10) : 0;
    if (body_size < 0 || body_size > BODY_BYTES_MAX) {
        refuse(c, 413, "the request's body is too large");
        return false;
    }
    c->body_size = (size_t)body_size;
    c->body_read = 0;
    if (body_size > 0) {
        c->body = xcalloc(1, c->body_size + 1);
        if (header_is(c->head, "expect", "100-continue"))
            bufferevent_write(c->bev, "HTTP/1.1 100 Continue\r\n\r\n", 25);
    }
    c->state = CONN_BODY;
    return true;
}

static void read_on(struct conn *c)
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
        route(c);
}

static void on_input(struct bufferevent *bev, void *arg)
{
    (void)bev;
    read_on(arg);
}

/* ---- the server --------------------------------------------------------------------------------------------- */

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *from, int from_size, void *arg)
{
    (void)listener;
    (void)from;
    (void)from_size;
    struct server *s = arg;
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));

    struct conn *c = xcalloc(1, sizeof(*c));
    c->server = s;
    c->bev = bufferevent_socket_new(s->base, fd, BEV_OPT_CLOSE_ON_FREE);
    c->timer = evtimer_new(s->base, on_timer, c);
    if (c->bev == NULL || c->timer == NULL)
        abort(); /* out of memory */
    bufferevent_setcb(c->bev, on_input, on_written, on_event, c);
    bufferevent_setwatermark(c->bev, EV_READ, 0, INPUT_BYTES_MAX);
    bufferevent_enable(c->bev, EV_READ | EV_WRITE);
    LIST_INSERT_HEAD(&s->conns, c, link);
    s->stats.connections++;
    s->stats.connections_open++;
}

/* Out of descriptors, most likely: let some go before the next try. */
static void on_accept_error(struct evconnlistener *listener, void *arg)
{
    struct server *s = arg;
    log_warn("accept_failed", F_STR("why", evutil_socket_error_to_string(EVUTIL_SOCKET_ERROR())));
    evconnlistener_disable(listener);
    struct timeval pause = {.tv_usec = 100000};
    evtimer_add(s->listen_again, &pause);
}

static void on_listen_again(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct server *s = arg;
    evconnlistener_enable(s->listener);
}

enum status server_create(struct event_base *base, const struct server_options *options, struct fault_rules **rules,
                          struct server **ret, struct error *err)
{
    struct sockaddr_storage address;
    int address_size = sizeof(address);
    if (evutil_parse_sockaddr_port(options->host, (struct sockaddr *)&address, &address_size) != 0)
        return error_set(err, ERROR_FATAL, "bad_address", "'%s' is not a numeric address", options->host);
    if (address.ss_family == AF_INET6)
        ((struct sockaddr_in6 *)&address)->sin6_port = htons((uint16_t)options->port);
    else
        ((struct sockaddr_in *)&address)->sin_port = htons((uint16_t)options->port);

    struct server *s = xcalloc(1, sizeof(*s));
    s->options = *options;
    s->base = base;
    s->started_ms = clock_mono_ms();
    LIST_INIT(&s->conns);
    s->listen_again = evtimer_new(base, on_listen_again, s);
    s->listener = evconnlistener_new_bind(base, on_accept, s, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC | LEV_OPT_REUSEABLE,
                                          BACKLOG, (struct sockaddr *)&address, address_size);
    if (s->listener == NULL) {
        error_set(err, ERROR_FATAL, "cannot_listen", "%s port %d: %s", options->host, options->port,
                  evutil_socket_error_to_string(EVUTIL_SOCKET_ERROR()));
        event_free(s->listen_again);
        free(s);
        return STATUS_FAILED;
    }
    evconnlistener_set_error_cb(s->listener, on_accept_error);
    s->journal = options->journal;
    stats_init(&s->stats, options->keep);
    s->rules = steal_ptr(rules);
    *ret = s;
    return STATUS_OK;
}

int server_port(const struct server *server)
{
    struct sockaddr_storage address;
    socklen_t size = sizeof(address);
    if (getsockname(evconnlistener_get_fd(server->listener), (struct sockaddr *)&address, &size) != 0)
        return -1;
    /* NOLINTNEXTLINE(clang-analyzer-core.*): getsockname fills it */
    return ntohs(address.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&address)->sin6_port
                                               : ((struct sockaddr_in *)&address)->sin_port);
}

void server_destroy(struct server *server)
{
    if (server == NULL)
        return;
    evconnlistener_free(server->listener);
    event_free(server->listen_again);
    while (!LIST_EMPTY(&server->conns))
        conn_reset(LIST_FIRST(&server->conns)); /* NOLINT(clang-analyzer-unix.Malloc): it leaves the list before it is freed */
    fault_rules_destroy(server->rules);
    stats_finish(&server->stats);
    free(server);
}
