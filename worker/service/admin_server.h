/* The admin port: GET /healthz (200 while the process works), /readyz (200 while started and in the group),
 * /metrics (Prometheus text), /threads, /lanes: admin_pages.h; POST /trace: admin_trace.h. Who may ask for what: admin_request.h. One thread (libevent),
 * which also runs the watchdog of all other threads (telemetry/watchdog.h).
 *
 * At most ADMIN_CONNECTIONS_MAX connections are open, so that descriptors for Kafka, Redis and providers stay free. A connection
 * carries one request of 8 KiB at most and has ADMIN_REQUEST_S_MAX seconds from accept to the response's last byte, however slowly it
 * sends; one that waits for a trace has that time, and half a minute. One connection too many closes the oldest that no trace is for; one that sends more than 1 MiB behind its request is closed at once. So a probe, which sends its
 * request at once, is answered at once. */
#ifndef CHAT_SERVICE_ADMIN_SERVER_H
#define CHAT_SERVICE_ADMIN_SERVER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

#define ADMIN_CONNECTIONS_MAX 32
#define ADMIN_REQUEST_S_MAX 5

struct admin_server;
struct admin_probes {
    bool (*ready)(void *arg);
    bool (*healthy)(void *arg, char *why, size_t size); /* false: *why names what fails */
    void (*look)(void *arg); /* called every WATCHDOG_LOOK_MS, also without a request */
    void *arg;
};

/* listen: host:port, [v6]:port; port 0: any free one. port_file (NULL: none) gets the port, written whole. token: admin.token, NULL: none.
 * FAILED, permanent: the address is malformed, not this machine's or taken, or the file can't be written. */
enum status admin_server_start(const char *listen, const char *port_file, const char *token, const struct admin_probes *probes,
                               struct admin_server **ret, struct error *err) MUST_CHECK;
void admin_server_stop(struct admin_server *server); /* NULL is fine */

/* Would a start be refused? Not because another process has the port at the moment: it may be this worker, running. */
enum status admin_server_check(const char *listen, const char *port_file, struct error *err) MUST_CHECK;

#endif
