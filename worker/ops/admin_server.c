#include "ops/admin_server.h"

#include <arpa/inet.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/thread.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "ops/labelled_metrics.h"
#include "ops/metrics.h"

struct admin_server {
    struct event_base *base;
    struct evhttp *http;
    pthread_t thread;
    struct admin_probes probes;
    char *port_file;
};

static void answer(struct evhttp_request *request, int status, const char *text)
{
    struct evbuffer *body = evbuffer_new();
    evbuffer_add_printf(body, "%s\n", text);
    evhttp_add_header(evhttp_request_get_output_headers(request), "Content-Type", "text/plain; charset=utf-8");
    evhttp_send_reply(request, status, NULL, body);
    evbuffer_free(body);
}

static void on_healthz(struct evhttp_request *request, void *arg)
{
    const struct admin_probes *probes = arg;
    char why[512] = "failing";
    bool healthy = probes->healthy(probes->arg, why, sizeof why);
    answer(request, healthy ? 200 : 503, healthy ? "ok" : why);
}

static void on_readyz(struct evhttp_request *request, void *arg)
{
    const struct admin_probes *probes = arg;
    bool ready = probes->ready(probes->arg);
    answer(request, ready ? 200 : 503, ready ? "ready" : "not in the group yet, or draining");
}

static void on_metrics(struct evhttp_request *request, void *arg)
{
    (void)arg;
    AUTO_FREE char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    metrics_print(out);
    labelled_metrics_print(out);
    fclose(out);
    struct evbuffer *body = evbuffer_new();
    evbuffer_add(body, text, size);
    evhttp_add_header(evhttp_request_get_output_headers(request), "Content-Type", "text/plain; version=0.0.4");
    evhttp_send_reply(request, 200, NULL, body);
    evbuffer_free(body);
}

static void on_other(struct evhttp_request *request, void *arg)
{
    (void)arg;
    answer(request, 404, "there are /healthz, /readyz and /metrics");
}

static void *admin_main(void *arg)
{
    struct admin_server *server = arg;
    pthread_setname_np(pthread_self(), "chat-admin");
    event_base_loop(server->base, EVLOOP_NO_EXIT_ON_EMPTY);
    return NULL;
}

/* "host:port" -> both; false: malformed. */
static bool split(const char *listen, char *host, size_t host_size, uint16_t *port)
{
    const char *colon = strrchr(listen, ':');
    char *end = NULL;
    if (colon == NULL || colon[1] == '\0')
        return false;
    long number = strtol(colon + 1, &end, 10);
    size_t length = (size_t)(colon - listen);
    if (*end != '\0' || number < 0 || number > 65535 || length == 0 || length >= host_size)
        return false;
    if (listen[0] == '[' && listen[length - 1] == ']') {
        listen++;
        length -= 2;
    }
    memcpy(host, listen, length);
    host[length] = '\0';
    *port = (uint16_t)number;
    return true;
}

static enum status write_port(struct admin_server *server, struct evhttp_bound_socket *bound, struct error *err)
{
    struct sockaddr_storage address;
    socklen_t size = sizeof address;
    getsockname(evhttp_bound_socket_get_fd(bound), (struct sockaddr *)&address, &size);
    uint16_t port = ntohs(address.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&address)->sin6_port
                                                       : ((struct sockaddr_in *)&address)->sin_port);
    AUTO_FREE char *part = xasprintf("%s.part", server->port_file);
    FILE *out = fopen(part, "w");
    if (out == NULL || fprintf(out, "%d\n", port) < 0 || fclose(out) != 0 || rename(part, server->port_file) != 0)
        return error_set(err, ERROR_FATAL, "admin_port_file", "admin.port_file: %s can't be written", server->port_file);
    return STATUS_OK;
}

enum status admin_server_start(const char *listen, const char *port_file, const struct admin_probes *probes,
                               struct admin_server **ret, struct error *err)
{
    char host[256];
    uint16_t port;
    if (!split(listen, host, sizeof host, &port))
        return error_set(err, ERROR_PERMANENT, "admin_listen", "admin.listen: \"%s\" is no host:port", listen);
    evthread_use_pthreads();
    struct admin_server *server = xcalloc(1, sizeof *server);
    server->probes = *probes;
    server->port_file = port_file ? xstrdup(port_file) : NULL;
    server->base = event_base_new();
    server->http = evhttp_new(server->base);
    evhttp_set_allowed_methods(server->http, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD);
    evhttp_set_max_body_size(server->http, 1024);
    evhttp_set_max_headers_size(server->http, 8192);
    evhttp_set_timeout(server->http, 10);
    evhttp_set_cb(server->http, "/healthz", on_healthz, &server->probes);
    evhttp_set_cb(server->http, "/readyz", on_readyz, &server->probes);
    evhttp_set_cb(server->http, "/metrics", on_metrics, NULL);
    evhttp_set_gencb(server->http, on_other, NULL);
    struct evhttp_bound_socket *bound = evhttp_bind_socket_with_handle(server->http, host, port);
    enum status status = STATUS_OK;
    if (bound == NULL)
        status = error_set(err, ERROR_PERMANENT, "admin_listen", "admin.listen: can't listen on %s; is the port taken?", listen);
    if (status == STATUS_OK && port_file != NULL)
        status = write_port(server, bound, err);
    if (status == STATUS_OK && pthread_create(&server->thread, NULL, admin_main, server) != 0)
        status = error_set(err, ERROR_FATAL, "thread_start", "admin thread: can't be started");
    if (status != STATUS_OK) {
        evhttp_free(server->http);
        event_base_free(server->base);
        free(server->port_file);
        free(server);
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
    evhttp_free(server->http);
    event_base_free(server->base);
    if (server->port_file != NULL)
        unlink(server->port_file);
    free(server->port_file);
    free(server);
}
