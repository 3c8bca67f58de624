#include "service/admin_server.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <event2/thread.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/log.h"
#include "service/admin_address.h"
#include "service/admin_pages.h"
#include "service/admin_request.h"
#include "service/admin_trace.h"
#include "service/port_file.h"
#include "telemetry/metrics.h"
#include "telemetry/watchdog.h"

#define HEAD_BYTES_MAX 8192
#define AFTER_BYTES_MAX (1024 * 1024) /* behind a request: read and thrown away up to here, then the connection is closed, since reading on would cost a processor */
#define BACKLOG 128
#define TRACE_SEND_S_MAX 30 /* for a trace to be sent, after its seconds */
#define PAUSE_MS 100 /* after an accept that failed because there were no descriptors: the socket stays readable, and would be tried for ever */

/* One connection, from its accept: it brings a request, gets an answer, and is closed. */
struct visit {
    struct admin_server *server;
    struct visit *older, *newer;
    struct bufferevent *bev;
    evutil_socket_t fd;
    struct event *timeout;
    bool local; /* from this machine */
    bool answered;
    size_t unread; /* bytes that came behind the request */
    bool heard_all; /* the client has shut down its side; the response may still be sent */
};

struct admin_server {
    struct event_base *base;
    struct evconnlistener *listener;
    struct event *resume;
    struct event *look;
    pthread_t thread;
    struct admin_probes probes;
    char *port_file;
    char *token; /* NULL: none is set */
    struct visit *traced;      /* a trace is recorded, or sent, for it; NULL: none is */
    struct admin_trace *trace; /* NULL: it isn't recorded any more */
    struct event *trace_due;
    struct visit *oldest, *newest;
    size_t visits;
};

/* ---- visits ---- */

static struct admin_page end_trace(struct admin_server *server)
{
    struct admin_trace *trace = server->trace;
    server->trace = NULL;
    evtimer_del(server->trace_due);
    return admin_trace_end(trace);
}

/* Nobody waits for it any more. */
static void drop_trace(struct admin_server *server)
{
    if (server->trace != NULL)
        free(end_trace(server).text);
    server->traced = NULL;
}

static void visit_end(struct visit *visit)
{
    struct admin_server *server = visit->server;
    if (server->traced == visit)
        drop_trace(server);
    *(visit->older != NULL ? &visit->older->newer : &server->oldest) = visit->newer;
    *(visit->newer != NULL ? &visit->newer->older : &server->newest) = visit->older;
    server->visits--;
    event_free(visit->timeout);
    bufferevent_disable(visit->bev, EV_READ | EV_WRITE);
    bufferevent_free(visit->bev);
    close(visit->fd); /* not by libevent: it would close only after all waiting connections were accepted */
    free(visit);
}

static void visit_cut(struct visit *visit)
{
    METRIC_ADD(admin_cut_total, !visit->answered);
    visit_end(visit);
}

static void on_timeout(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    visit_cut(arg);
}

static void on_visit_event(struct bufferevent *bev, short what, void *arg)
{
    struct visit *visit = arg;
    visit->heard_all = true;
    if (!(what & BEV_EVENT_EOF) || evbuffer_get_length(bufferevent_get_output(bev)) == 0)
        visit_end(visit);
}

/* ---- answers ---- */

static const char *reason_of(int status)
{
    switch (status) {
    case 200: return "OK";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 409: return "Conflict";
    case 431: return "Request Header Fields Too Large";
    default: return "Service Unavailable";
    }
}

/* The response is sent; now the client is to close, and what it still sends is thrown away: closed with unread bytes, the kernel would reset
 * the connection, and the client might lose the response. */
static void on_sent(struct bufferevent *bev, void *arg)
{
    (void)bev;
    struct visit *visit = arg;
    if (visit->server->traced == visit)
        visit->server->traced = NULL;
    if (visit->heard_all)
        visit_end(visit);
    else
        shutdown(visit->fd, SHUT_WR);
}

static void on_after(struct bufferevent *bev, void *arg)
{
    struct visit *visit = arg;
    visit->unread += evbuffer_get_length(bufferevent_get_input(bev));
    evbuffer_drain(bufferevent_get_input(bev), SIZE_MAX);
    if (visit->unread > AFTER_BYTES_MAX)
        visit_end(visit);
}

/* A page may load what this port serves, and nothing else; nobody frames it, and no answer is kept. */
static const char guards[] = "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
                             "frame-ancestors 'none'\r\nX-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\nCross-Origin-Resource-Policy: same-origin\r\nCache-Control: no-store\r\n";

static void free_text(const void *text, size_t size, void *arg)
{
    (void)size, (void)arg;
    free((void *)(uintptr_t)text);
}

static void send_answer(struct visit *visit, struct admin_page *answer, bool with_body)
{
    struct evbuffer *out = bufferevent_get_output(visit->bev);
    visit->answered = true;
    evbuffer_add_printf(out, "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n%s", answer->status, reason_of(answer->status), answer->type, answer->size, guards);
    if (answer->status == 405)
        evbuffer_add_printf(out, "Allow: %s\r\n", answer->allow);
    if (answer->status == 401)
        evbuffer_add_printf(out, "WWW-Authenticate: Basic realm=\"chat-worker\", charset=\"UTF-8\"\r\n");
    evbuffer_add_printf(out, "Connection: close\r\n\r\n");
    if (!with_body || evbuffer_add_reference(out, answer->text, answer->size, free_text, NULL) != 0)
        free(answer->text);
    bufferevent_setcb(visit->bev, on_after, on_sent, on_visit_event, visit);
    on_after(visit->bev, visit);
}

/* ---- requests ---- */

/* What a trace is asked for: the answer comes when its time is over. */
static void begin_trace(struct visit *visit, const struct admin_request *request)
{
    struct admin_server *server = visit->server;
    struct error err;
    long long seconds;
    struct admin_page answer;
    if (!admin_request_number(request, "seconds", 1, TRACE_SECONDS_MAX, TRACE_SECONDS_DEFAULT, &seconds)) {
        answer = admin_page_plain(400, "seconds: from 1 to 60");
    } else if (server->traced != NULL) {
        answer = admin_page_plain(409, "another trace is being recorded, or sent: one at a time");
    } else if (admin_trace_start(&server->trace, &err) != STATUS_OK) {
        answer = admin_page_plain(503, err.message);
    } else {
        const struct timeval due = {.tv_sec = seconds}, most = {.tv_sec = seconds + TRACE_SEND_S_MAX};
        server->traced = visit;
        evtimer_add(server->trace_due, &due);
        evtimer_add(visit->timeout, &most);
        bufferevent_setcb(visit->bev, on_after, NULL, on_visit_event, visit);
        return;
    }
    send_answer(visit, &answer, true);
}

static void on_trace_due(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct admin_server *server = arg;
    struct admin_page answer = end_trace(server);
    send_answer(server->traced, &answer, true); /* until that is gone, its memory is taken */
}

/* NULL: it may go on. */
static const char *refuse(const struct admin_request *request, enum admin_access access, bool is_trace, int *ret_status)
{
    bool reads = strcmp(request->method, "GET") == 0 || strcmp(request->method, "HEAD") == 0;
    *ret_status = access == ADMIN_NO_ACCESS ? 403 : access == ADMIN_NO_TOKEN ? 401 : 405;
    if (access == ADMIN_NO_ACCESS)
        return "from here that needs admin.token, which isn't set";
    if (access == ADMIN_NO_TOKEN)
        return "that needs admin.token, as Authorization: Bearer, or as a password";
    if (is_trace)
        return strcmp(request->method, "POST") == 0 ? NULL : "only POST";
    return reads ? NULL : "only GET and HEAD";
}

static void take_request(struct visit *visit, char *head)
{
    struct admin_request request;
    struct admin_page answer;
    int status = 400;
    bool understood = admin_request_read(head, &request);
    bool is_trace = strcmp(request.path, "/trace") == 0;
    const char *why = "that is no HTTP request";
    if (understood)
        why = refuse(&request, admin_request_access(&request, visit->local, visit->server->token), is_trace, &status);
    if (why == NULL && is_trace) {
        begin_trace(visit, &request);
        return;
    }
    answer = why != NULL ? admin_page_plain(status, why) : admin_page_of(&visit->server->probes, &request);
    answer.allow = is_trace ? "POST" : "GET, HEAD";
    send_answer(visit, &answer, strcmp(request.method, "HEAD") != 0);
}

/* The request is answered once all headers have come; a body doesn't matter. */
static void on_read(struct bufferevent *bev, void *arg)
{
    struct visit *visit = arg;
    struct evbuffer *in = bufferevent_get_input(bev);
    struct evbuffer_ptr end = evbuffer_search(in, "\r\n\r\n", 4, NULL), bare = evbuffer_search(in, "\n\n", 2, NULL);
    if (end.pos < 0 && bare.pos < 0) {
        if (evbuffer_get_length(in) < HEAD_BYTES_MAX)
            return;
        struct admin_page answer = admin_page_plain(431, "the request is too long");
        send_answer(visit, &answer, true);
        return;
    }
    size_t size = (size_t)(end.pos < 0 || (bare.pos >= 0 && bare.pos < end.pos) ? bare.pos : end.pos);
    char *head = xmemdup0(evbuffer_pullup(in, (ev_ssize_t)size + 1), size);
    if (strlen(head) < size)
        *head = '\0'; /* a NUL ends no text here: headers behind it wouldn't be read */
    take_request(visit, head);
    free(head);
}

/* ---- accepting ---- */

/* The one that gives its place to a new one: the oldest, but not the one that a trace is for. It is asked for by who may, and is there for long; else whoever
 * reaches the port would end it. */
static struct visit *whom_to_cut(const struct admin_server *server)
{
    return server->oldest == server->traced ? server->oldest->newer : server->oldest;
}

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *address, int size, void *arg)
{
    (void)listener, (void)size;
    const struct timeval timeout = {.tv_sec = ADMIN_REQUEST_S_MAX};
    struct admin_server *server = arg;
    /* The oldest is closed for the new one: a probe sends its request at once, and needs its place for a moment. */
    if (server->visits == ADMIN_CONNECTIONS_MAX)
        visit_cut(whom_to_cut(server));
    struct visit *visit = xcalloc(1, sizeof *visit);
    *visit = (struct visit){.server = server, .older = server->newest, .fd = fd, .local = admin_address_is_from_here(fd, address), .bev = bufferevent_socket_new(server->base, fd, 0),
                            .timeout = evtimer_new(server->base, on_timeout, visit)};
    if (visit->bev == NULL || visit->timeout == NULL)
        abort(); /* memory */
    *(server->newest != NULL ? &server->newest->newer : &server->oldest) = visit;
    server->newest = visit;
    server->visits++;
    evtimer_add(visit->timeout, &timeout); /* for all of it: no byte prolongs it */
    bufferevent_setcb(visit->bev, on_read, NULL, on_visit_event, visit);
    bufferevent_setwatermark(visit->bev, EV_READ, 0, HEAD_BYTES_MAX);
    bufferevent_enable(visit->bev, EV_READ | EV_WRITE);
}

static void on_accept_failed(struct evconnlistener *listener, void *arg)
{
    const struct timeval pause = {.tv_usec = PAUSE_MS * 1000};
    struct admin_server *server = arg;
    log_warn("admin_accept_failed", F_STR("error", strerror(errno)));
    evconnlistener_disable(listener);
    evtimer_add(server->resume, &pause);
}

static void on_resume(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    evconnlistener_enable(((struct admin_server *)arg)->listener);
}

static void on_look(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    const struct admin_probes *probes = &((struct admin_server *)arg)->probes;
    probes->look(probes->arg);
    admin_pages_look();
}

static void *admin_main(void *arg)
{
    struct admin_server *server = arg;
    pthread_setname_np(pthread_self(), "chat-admin");
    event_base_loop(server->base, EVLOOP_NO_EXIT_ON_EMPTY);
    return NULL;
}

/* ---- the whole ---- */

enum status admin_server_check(const char *listen, const char *port_file, struct error *err)
{
    int fd;
    if (admin_address_bind(listen, true, &fd, err) != STATUS_OK)
        return STATUS_FAILED;
    if (fd >= 0)
        close(fd);
    return port_file != NULL ? port_file_check(port_file, err) : STATUS_OK;
}

static void server_free(struct admin_server *server)
{
    while (server->oldest != NULL)
        visit_end(server->oldest); /* NOLINT(clang-analyzer-unix.Malloc): it leaves the list before it is freed */
    if (server->listener != NULL)
        evconnlistener_free(server->listener);
    if (server->resume != NULL)
        event_free(server->resume);
    if (server->look != NULL)
        event_free(server->look);
    if (server->trace_due != NULL)
        event_free(server->trace_due);
    if (server->base != NULL)
        event_base_free(server->base);
    free(server->port_file);
    free(server->token);
    free(server);
}

enum status admin_server_start(const char *listen, const char *port_file, const char *token, const struct admin_probes *probes,
                               struct admin_server **ret, struct error *err)
{
    const struct timeval look_every = {.tv_usec = WATCHDOG_LOOK_MS * 1000};
    int fd;
    if (admin_address_bind(listen, false, &fd, err) != STATUS_OK)
        return STATUS_FAILED;
    evthread_use_pthreads();
    struct admin_server *server = xcalloc(1, sizeof *server);
    server->probes = *probes;
    server->port_file = port_file ? xstrdup(port_file) : NULL;
    server->token = token ? xstrdup(token) : NULL;
    server->base = event_base_new();
    server->listener = server->base == NULL ? NULL : evconnlistener_new(server->base, on_accept, server, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, BACKLOG, fd);
    server->resume = server->listener == NULL ? NULL : evtimer_new(server->base, on_resume, server);
    server->trace_due = server->resume == NULL ? NULL : evtimer_new(server->base, on_trace_due, server);
    server->look = server->trace_due == NULL ? NULL : event_new(server->base, -1, EV_PERSIST, on_look, server);
    enum status status = STATUS_OK;
    if (server->look == NULL || event_add(server->look, &look_every) != 0) {
        status = admin_address_refuse(listen, "can't be listened on; is the port taken?", err);
        if (server->listener == NULL)
            close(fd);
    }
    if (status == STATUS_OK && port_file != NULL)
        status = port_file_write(port_file, fd, err);
    if (status == STATUS_OK) {
        evconnlistener_set_error_cb(server->listener, on_accept_failed);
        if (pthread_create(&server->thread, NULL, admin_main, server) != 0)
            status = error_set(err, ERROR_FATAL, "thread_start", "admin thread: can't be started");
    }
    if (status != STATUS_OK) {
        server_free(server);
        return status;
    }
    *ret = server;
    return STATUS_OK;
}

void admin_server_stop(struct admin_server *server)
{
    if (server == NULL)
        return;
    /* Not loopbreak: one that comes before the loop has begun is forgotten. */
    event_base_loopexit(server->base, NULL);
    pthread_join(server->thread, NULL);
    if (server->port_file != NULL)
        unlink(server->port_file);
    server_free(server);
}
