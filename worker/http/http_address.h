/* The server of a URL, as libcurl parses it. Pure; any thread. */
#ifndef CHAT_HTTP_HTTP_ADDRESS_H
#define CHAT_HTTP_HTTP_ADDRESS_H

#include <stdbool.h>

#include "base/error.h"

struct http_address {
    char *scheme;   /* owned; "https" */
    char *host;     /* owned: in small letters, an IPv6 address without its brackets */
    char *port;     /* owned; the scheme's default if the URL has none; NULL: no default */
    bool names_port;
    bool is_literal; /* an IP address, or localhost: there is no name to look up */
    bool is_loopback; /* this machine, by name or address */
};

/* url: the part behind the host isn't checked, since it may contain placeholders. FAILED, permanent `bad_url`: libcurl can't use it; the
 * message contains why, but no part of the URL (it may contain a password). Then *ret needn't be finished. */
enum status http_address_parse(const char *url, struct http_address *ret, struct error *err) MUST_CHECK;
/* The URL up to the end of its host, owned by the caller. */
char *http_address_front(const char *url);
void http_address_finish(struct http_address *address); /* all zero is fine */

#endif
