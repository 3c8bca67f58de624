#include "service/admin_server.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <event2/thread.h>
#include <fcntl.h>
#include <netdb.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "telemetry/held_back.h"
#include "telemetry/labelled_metrics.h"
#include "telemetry/metrics.h"
#include "telemetry/watchdog.h"

#define HEAD_BYTES_MAX 8192
#define AFTER_BYTES_MAX (1024 * 1024) /* whoever floods costs a processor: more than a request's body it isn't */
#define BACKLOG 128
#define PAUSE_MS 100 /* after an accept that failed for want of descriptors: the socket stays readable, and would be tried for ever */

/* One connection, from its accept: it brings a request, gets an answer, and is closed. */
struct visit {
    struct admin_server *server;
    struct visit *older, *newer;
    struct bufferevent *bev;
    evutil_socket_t fd;
    struct event *patience;
    bool answered;
    size_t unread; /* bytes that came behind the request */
    bool heard_all; /* the other side has ended; what we say may still go out */
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
    event_free(visit->patience);
    bufferevent_disable(visit->bev, EV_READ | EV_WRITE);
    bufferevent_free(visit->bev);
    close(visit->fd); /* not libevent's to do: it would wait until all who queue have been accepted */
    free(visit);
}

static void visit_cut(struct visit *visit)
{
    METRIC_ADD(admin_cut_total, !visit->answered);
    visit_end(visit);
}

static void on_patience(evutil_socket_t fd, short what, void *arg)
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

struct answer {
    int status;
    const char *type;
    char *text; /* owned */
    size_t size;
};

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

static struct answer plain(int status, const char *text)
{
    char *line = xasprintf("%s\n", text);
    return (struct answer){.status = status, .type = "text/plain; charset=utf-8", .text = line, .size = strlen(line)};
}

static struct answer healthz(const struct admin_probes *probes)
{
    char why[512] = "failing";
    bool healthy = probes->healthy(probes->arg, why, sizeof why);
    return plain(healthy ? 200 : 503, healthy ? "ok" : why);
}

static struct answer readyz(const struct admin_probes *probes)
{
    bool ready = probes->ready(probes->arg);
    return plain(ready ? 200 : 503, ready ? "ready" : "not in the group, draining, or failed");
}

static struct answer metrics(void)
{
    struct answer answer = {.status = 200, .type = "text/plain; version=0.0.4"};
    FILE *out = open_memstream(&answer.text, &answer.size);
    metrics_print(out);
    labelled_metrics_print(out);
    held_back_print(out);
    fclose(out);
    return answer;
}

/* path: without its query. */
static struct answer answer_to(const struct admin_probes *probes, const char *path)
{
    return strcmp(path, "/healthz") == 0   ? healthz(probes)
           : strcmp(path, "/readyz") == 0  ? readyz(probes)
           : strcmp(path, "/metrics") == 0 ? metrics()
                                           : plain(404, "there are /healthz, /readyz and /metrics");
}

/* All of it has gone out: the other side may end, and what it still says isn't read. Closed with unread bytes, the kernel would take
 * the answer back. */
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

static void send_answer(struct visit *visit, struct answer *answer, bool with_body)
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
    struct answer answer;
    bool understood = read_line(line, &method, &path);
    bool reads = strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;
    if (!understood)
        answer = plain(400, "that is no HTTP request");
    else if (!reads)
        answer = plain(405, "only GET and HEAD");
    else
        answer = answer_to(&visit->server->probes, path);
    send_answer(visit, &answer, strcmp(method, "HEAD") != 0);
}

/* The line is used once all the headers have come; they say nothing that matters here, a body neither. */
static void on_read(struct bufferevent *bev, void *arg)
{
    struct visit *visit = arg;
    struct evbuffer *in = bufferevent_get_input(bev);
    struct evbuffer_ptr end = evbuffer_search(in, "\r\n\r\n", 4, NULL), bare = evbuffer_search(in, "\n\n", 2, NULL);
    if (end.pos < 0 && bare.pos < 0) {
        if (evbuffer_get_length(in) < HEAD_BYTES_MAX)
            return;
        struct answer answer = plain(431, "the request is too long");
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
    const struct timeval patience = {.tv_sec = ADMIN_REQUEST_S_MAX};
    struct admin_server *server = arg;
    /* Whoever is slow makes room: a probe sends its request at once, and needs its place for a moment. */
    if (server->visits == ADMIN_CONNECTIONS_MAX)
        visit_cut(server->oldest);
    struct visit *visit = xcalloc(1, sizeof *visit);
    *visit = (struct visit){.server = server, .older = server->newest, .fd = fd, .bev = bufferevent_socket_new(server->base, fd, 0),
                            .patience = evtimer_new(server->base, on_patience, visit)};
    if (visit->bev == NULL || visit->patience == NULL)
        abort(); /* memory */
    *(server->newest != NULL ? &server->newest->newer : &server->oldest) = visit;
    server->newest = visit;
    server->visits++;
    evtimer_add(visit->patience, &patience); /* for all of it: no byte prolongs it */
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

/* ---- the address ---- */

static enum status refuse_address(const char *listen, const char *why, struct error *err)
{
    return error_set(err, ERROR_PERMANENT, "admin_listen", "admin.listen: \"%.100s\" %s", listen, why);
}

/* "host:port" -> both. */
static enum status split(const char *listen, char *host, size_t host_size, char port[8], struct error *err)
{
    const char *colon = strrchr(listen, ':');
    size_t length = colon != NULL ? (size_t)(colon - listen) : 0;
    size_t digits = colon != NULL ? strspn(colon + 1, "0123456789") : 0;
    if (length == 0)
        return refuse_address(listen, "is no host:port; 127.0.0.1:9464 is this machine alone, 0.0.0.0:9464 is all", err);
    if (digits == 0 || digits > 5 || colon[1 + digits] != '\0' || atoi(colon + 1) > 65535)
        return refuse_address(listen, "has no port from 0 to 65535 behind its last colon", err);
    bool bracketed = listen[0] == '[' && listen[length - 1] == ']';
    if (!bracketed && memchr(listen, ':', length) != NULL)
        return refuse_address(listen, "is no host:port; an IPv6 address stands in brackets: [::1]:9464", err);
    if (bracketed) {
        listen++;
        length -= 2;
    }
    if (length == 0 || length >= host_size)
        return refuse_address(listen, "names no host", err);
    memcpy(host, listen, length);
    host[length] = '\0';
    snprintf(port, 8, "%s", colon + 1);
    return STATUS_OK;
}

/* Bound, not yet listening: *ret; -1 with OK: somebody else has the port, and may_be_taken. */
static enum status bind_address(const char *listen, bool may_be_taken, int *ret, struct error *err)
{
    char host[256], port[8];
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    const int on = 1;
    struct addrinfo *found = NULL;
    *ret = -1;
    if (split(listen, host, sizeof host, port, err) != STATUS_OK)
        return STATUS_FAILED;
    int unknown = getaddrinfo(host, port, &hints, &found);
    if (unknown != 0)
        return refuse_address(listen, gai_strerror(unknown), err);
    int fd = socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    bool bound = fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 && bind(fd, found->ai_addr, found->ai_addrlen) == 0;
    int failed = errno;
    freeaddrinfo(found);
    if (bound) {
        *ret = fd;
        return STATUS_OK;
    }
    if (fd >= 0)
        close(fd);
    if (failed == EADDRINUSE && may_be_taken)
        return STATUS_OK;
    AUTO_FREE char *why = xasprintf("can't be listened on: %s", strerror(failed));
    return refuse_address(listen, why, err);
}

/* ---- the port file ---- */

static enum status refuse_port_file(const char *file, const char *why, struct error *err)
{
    return error_set(err, ERROR_PERMANENT, "admin_port_file", "admin.port_file: %s can't be written: %s", file, why);
}

/* A file takes the place of what has its name: of /dev/null, too, were it let. */
static bool is_something_else(const char *file)
{
    struct stat found;
    return stat(file, &found) == 0 && !S_ISREG(found.st_mode);
}

static enum status write_port(const char *port_file, int fd, struct error *err)
{
    struct sockaddr_storage address;
    socklen_t size = sizeof address;
    if (getsockname(fd, (struct sockaddr *)&address, &size) != 0)
        return refuse_port_file(port_file, strerror(errno), err);
    /* NOLINTNEXTLINE(clang-analyzer-core.*): getsockname has filled it */
    uint16_t port = ntohs(address.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&address)->sin6_port
                                                       : ((struct sockaddr_in *)&address)->sin_port);
    AUTO_FREE char *part = xasprintf("%s.part", port_file);
    if (is_something_else(port_file))
        return refuse_port_file(port_file, "it is there, and no regular file", err);
    FILE *out = fopen(part, "we");
    if (out == NULL || fprintf(out, "%d\n", port) < 0 || fclose(out) != 0 || rename(part, port_file) != 0)
        return refuse_port_file(port_file, strerror(errno), err);
    return STATUS_OK;
}

static enum status check_port_file(const char *port_file, struct error *err)
{
    AUTO_FREE char *part = xasprintf("%s.part.%ld", port_file, (long)getpid());
    if (is_something_else(port_file))
        return refuse_port_file(port_file, "it is there, and no regular file", err);
    int fd = open(part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return refuse_port_file(port_file, strerror(errno), err);
    close(fd);
    unlink(part);
    return STATUS_OK;
}

/* ---- the whole ---- */

enum status admin_server_check(const char *listen, const char *port_file, struct error *err)
{
    int fd;
    if (bind_address(listen, true, &fd, err) != STATUS_OK)
        return STATUS_FAILED;
    if (fd >= 0)
        close(fd);
    return port_file != NULL ? check_port_file(port_file, err) : STATUS_OK;
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
    if (bind_address(listen, false, &fd, err) != STATUS_OK)
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
        status = refuse_address(listen, "can't be listened on; is the port taken?", err);
        if (server->listener == NULL)
            close(fd);
    }
    if (status == STATUS_OK && port_file != NULL)
        status = write_port(port_file, fd, err);
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
