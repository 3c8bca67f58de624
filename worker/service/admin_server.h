/* The admin port: GET /healthz (200 while the process works), /readyz (200 while started and in the group),
 * /metrics (Prometheus text): admin_pages.h. One thread (libevent), which judges all the others (telemetry/watchdog.h).
 *
 * It takes nothing from the jobs: it holds ADMIN_CONNECTIONS_MAX connections at most, so that descriptors for Kafka, Redis and providers stay free. A connection
 * brings one request of 8 KiB at most and has ADMIN_REQUEST_S_MAX seconds from its accept to the answer's last byte, however many bytes it
 * drips; when there are too many, the oldest is closed, and one that sends more than 1 MiB behind its request at once. So a probe, which sends its request
 * at once, is answered at once. */
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
    bool (*healthy)(void *arg, char *why, size_t size); /* false: *why says what fails */
    void (*look)(void *arg); /* every WATCHDOG_LOOK_MS, whether somebody asks or not */
    void *arg;
};

/* listen: host:port, [v6]:port; port 0: any free one. port_file (NULL: none) gets the port, written whole.
 * FAILED, permanent: the address is malformed, not ours or taken, or the file can't be written. */
enum status admin_server_start(const char *listen, const char *port_file, const struct admin_probes *probes,
                               struct admin_server **ret, struct error *err) MUST_CHECK;
void admin_server_stop(struct admin_server *server); /* NULL is fine */

/* Would a start be refused? That another process has the port at the moment is no reason: it may be this worker's own. */
enum status admin_server_check(const char *listen, const char *port_file, struct error *err) MUST_CHECK;

#endif
