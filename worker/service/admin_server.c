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
#include "service/port_file.h"
#include "telemetry/metrics.h"
#include "telemetry/watchdog.h"

#define HEAD_BYTES_MAX 8192
#define AFTER_BYTES_MAX (1024 * 1024) /* behind a request: read and thrown away up to here, then the connection is closed, since reading on would cost a processor */
#define BACKLOG 128
#define PAUSE_MS 100 /* after an accept that failed because there were no descriptors: the socket stays readable, and would be tried for ever */

/* One connection, from its accept: it brings a request, gets an answer, and is closed. */
struct visit {
    struct admin_server *server;
    struct visit *older, *newer;
    struct bufferevent *bev;
    evutil_socket_t fd;
    struct event *timeout;
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
    struct visit *oldest, *newest;
    size_t visits;
};

/* ---- visits ---- */

static void visit_end(struct visit *visit)
{
    struct admin_server *server = visit->server;
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
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
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

static void send_answer(struct visit *visit, struct admin_page *answer, bool with_body)
{
    struct evbuffer *out = bufferevent_get_output(visit->bev);
    visit->answered = true;
    evbuffer_add_printf(out, "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n%sConnection: close\r\n\r\n", answer->status, reason_of(answer->status),
                        answer->type, answer->size, answer->status == 405 ? "Allow: GET, HEAD\r\n" : "");
    if (with_body)
        evbuffer_add(out, answer->text, answer->size);
    free(answer->text);
    bufferevent_setcb(visit->bev, on_after, on_sent, on_visit_event, visit);
    on_after(visit->bev, visit);
}

/* ---- requests ---- */

/* "GET /path?query HTTP/1.1", with any host before the path. False: it is none. */
static bool read_line(char *line, const char **ret_method, char **ret_path)
{
    char *rest = line;
    char *method = strsep(&rest, " "), *target = strsep(&rest, " ");
    if (target == NULL || rest == NULL || strncmp(rest, "HTTP/1.", 7) != 0)
        return false;
    char *host = strstr(target, "://");
    char *path = host != NULL && host < target + strcspn(target, "/?") + 1 ? strchr(host + 3, '/') : target;
    if (path == NULL || *path != '/')
        return false;
    path[strcspn(path, "?#")] = '\0';
    *ret_method = method;
    *ret_path = path;
    return true;
}

static void take_request(struct visit *visit, char *line)
{
    const char *method = "GET";
    char *path = NULL;
    struct admin_page answer;
    bool understood = read_line(line, &method, &path);
    bool reads = strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;
    if (!understood)
        answer = admin_page_plain(400, "that is no HTTP request");
    else if (!reads)
        answer = admin_page_plain(405, "only GET and HEAD");
    else
        answer = admin_page_of(&visit->server->probes, path);
    send_answer(visit, &answer, strcmp(method, "HEAD") != 0);
}

/* The request is answered once all headers have come; neither headers nor a body matter. */
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
    char *line = evbuffer_readln(in, NULL, EVBUFFER_EOL_CRLF);
    take_request(visit, line);
    free(line);
}

/* ---- accepting ---- */

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *address, int size, void *arg)
{
    (void)listener, (void)address, (void)size;
    const struct timeval timeout = {.tv_sec = ADMIN_REQUEST_S_MAX};
    struct admin_server *server = arg;
    /* The oldest is closed for the new one: a probe sends its request at once, and needs its place for a moment. */
    if (server->visits == ADMIN_CONNECTIONS_MAX)
        visit_cut(server->oldest);
    struct visit *visit = xcalloc(1, sizeof *visit);
    *visit = (struct visit){.server = server, .older = server->newest, .fd = fd, .bev = bufferevent_socket_new(server->base, fd, 0),
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
    if (server->base != NULL)
        event_base_free(server->base);
    free(server->port_file);
    free(server);
}

enum status admin_server_start(const char *listen, const char *port_file, const struct admin_probes *probes,
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
    server->base = event_base_new();
    server->listener = server->base == NULL ? NULL : evconnlistener_new(server->base, on_accept, server, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, BACKLOG, fd);
    server->resume = server->listener == NULL ? NULL : evtimer_new(server->base, on_resume, server);
    server->look = server->resume == NULL ? NULL : event_new(server->base, -1, EV_PERSIST, on_look, server);
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
