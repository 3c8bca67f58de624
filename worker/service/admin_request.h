/* The head of a request to the admin port, and who may ask for what. Pure.
 *
 *   /healthz, /readyz, /metrics   everybody: probes and scrapers bring no token, and no key or job is shown
 *   all else                      this machine itself, and whoever brings admin.token: as "Authorization: Bearer TOKEN", or as the password of Basic, which
 *                                 browsers ask for
 *
 * This machine is a connection from loopback to loopback: a mesh's sidecar passes on from loopback (Istio's from 127.0.0.6) what came to the machine's own
 * address. A request that a browser or a proxy makes there for somebody else is none of this machine: it names another site (Sec-Fetch-Site, Origin), a host
 * other than loopback (Host: names that were bound to 127.0.0.1 anew, addresses that others reach), whom it was made for or by (Forwarded, X-Forwarded-...,
 * X-Real-IP, Via), or two of one of these. What passes a request on and says nothing of it can't be told from this machine. */
#ifndef CHAT_SERVICE_ADMIN_REQUEST_H
#define CHAT_SERVICE_ADMIN_REQUEST_H

#include <stdbool.h>
#include <sys/socket.h>

struct admin_request {
    const char *method, *path;
    const char *query;         /* without its "?"; "": none */
    const char *authorization; /* these: as they came; NULL: not given */
    const char *host, *site, *origin; /* host: of the line, if it names one */
    bool forwarded;
};

enum admin_access { ADMIN_ALLOWED, ADMIN_NO_TOKEN /* a token is needed, and none or another came */, ADMIN_NO_ACCESS /* a token is needed, and none is set */ };

/* head: the request line and the headers, NUL-terminated; changed, and borrowed by *ret. False: that is no HTTP request; *ret has the method GET. */
bool admin_request_read(char *head, struct admin_request *ret);
/* token: NULL: none is set. local: admin_address_is_local of both of the connection's addresses. */
enum admin_access admin_request_access(const struct admin_request *request, bool local, const char *token);
/* Is the address one of loopback? */
bool admin_address_is_local(const struct sockaddr *address);
/* The number that the query gives by this name; otherwise: `otherwise`. No number, or one out of [min, max]: false. */
bool admin_request_number(const struct admin_request *request, const char *name, long long min, long long max, long long otherwise, long long *ret);

#endif
