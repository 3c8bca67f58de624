#include "server.h"

#include <event2/util.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "conn.h"

#define BACKLOG 16384 /* the kernel cuts it to net.core.somaxconn */

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *from, int from_size, void *arg)
{
    (void)listener;
    (void)from;
    (void)from_size;
    struct server *s = arg;
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    conn_create(s, fd);
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
