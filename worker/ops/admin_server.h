/* The admin port: GET /healthz (200 while the process works), /readyz (200 once started and in the group),
 * /metrics (Prometheus text). One thread (libevent's evhttp). Shows no keys and no message text. */
#ifndef CHAT_OPS_ADMIN_SERVER_H
#define CHAT_OPS_ADMIN_SERVER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

struct admin_server;
struct admin_probes {
    bool (*ready)(void *arg);
    bool (*healthy)(void *arg, char *why, size_t size); /* false: *why says what fails */
    void *arg;
};

/* listen: host:port, [v6]:port; port 0: any free one. port_file (NULL: none) gets the port, written whole.
 * FAILED: the address is malformed or taken. */
enum status admin_server_start(const char *listen, const char *port_file, const struct admin_probes *probes,
                               struct admin_server **ret, struct error *err) MUST_CHECK;
void admin_server_stop(struct admin_server *server); /* NULL is fine */

#endif
