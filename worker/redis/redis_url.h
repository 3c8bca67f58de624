/* A Redis URL as its parts: pure.
 *   redis://[[user][:password]@]host[:port][/db]   rediss:// the same over TLS   unix://[user:password@]/path[?db=N]
 * User, password, host and path are percent-decoded; an IPv6 host is in brackets. A password may contain any character
 * unescaped, except %, which is written %25 (and, in unix://, @ before a slash). */
#ifndef CHAT_REDIS_REDIS_URL_H
#define CHAT_REDIS_REDIS_URL_H

#include <stdbool.h>

#include "base/error.h"

struct redis_url {
    bool tls;
    char *host; /* NULL: a unix socket */
    char *path; /* NULL: TCP */
    int port;
    int db;
    char *user;     /* NULL: none (the default user) */
    char *password; /* NULL: none */
    char *address;  /* host:port, [host]:port or path: for messages */
};

/* FAILED: malformed; *ret needn't be freed. The message names what is wrong, never the url itself, which
 * may contain a password. */
enum status redis_url_parse(const char *text, struct redis_url *ret, struct error *err) MUST_CHECK;
void redis_url_finish(struct redis_url *url);

#endif
