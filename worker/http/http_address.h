/* The server that a URL leads to, as libcurl reads it. Pure; any thread. */
#ifndef CHAT_HTTP_HTTP_ADDRESS_H
#define CHAT_HTTP_HTTP_ADDRESS_H

#include <stdbool.h>

#include "base/error.h"

struct http_address {
    char *scheme;   /* owned; "https" */
    char *host;     /* owned: in small letters, an IPv6 address without its brackets */
    char *port;     /* owned; the scheme's where the URL names none; NULL: that has none */
    bool names_port;
    bool is_literal; /* an IP address, or localhost: there is no name to look up */
    bool is_loopback; /* this machine itself, by its name or address */
};

/* url: what stands behind the host isn't looked at: placeholders may. FAILED, permanent `bad_url`: nothing that libcurl can ask; the
 * message says why, and quotes nothing of it (it may hold a password). Nothing to finish then. */
enum status http_address_parse(const char *url, struct http_address *ret, struct error *err) MUST_CHECK;
void http_address_finish(struct http_address *address); /* all zero is fine */

#endif
