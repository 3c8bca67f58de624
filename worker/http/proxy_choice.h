/* Which proxy, if any, is used for a URL. By default none: the environment's is often meant for people's
 * browsers, and a proxy can read all that isn't encrypted, keys and prompts included. Pure, except for getenv; any thread. */
#ifndef CHAT_HTTP_PROXY_CHOICE_H
#define CHAT_HTTP_PROXY_CHOICE_H

#include <stdbool.h>

#include "base/error.h"

/* setting: a `proxy` setting: NULL or "none", "environment", or the proxy's URL (http, https, socks5h). "environment" is read
 * as curl does: http_proxy for http (not HTTP_PROXY, which a request could set for a CGI program), https_proxy or HTTPS_PROXY for
 * https, else all_proxy or ALL_PROXY, unless no_proxy or NO_PROXY names the host.
 *
 * OK: *ret is the proxy's URL, owned by the caller; NULL: none. For this machine itself no proxy is used. FAILED, permanent: an
 * invalid proxy; the message names the variable, without any value. */
enum status proxy_choose(const char *setting, const char *url, char **ret, struct error *err) MUST_CHECK;

/* ---- its parts, for tests ---- */

/* list: no_proxy's: names, each with its subdomains, addresses, networks as 10.0.0.0/8; "*" is everything. */
bool no_proxy_names(const char *list, const char *host);

#endif
