/* Through which proxy, if any, a URL is asked. By default none: what stands in the environment is often meant for people's
 * browsers, and a proxy on the way reads whatever isn't encrypted, keys and prompts included. Pure but for getenv; any thread. */
#ifndef CHAT_HTTP_PROXY_CHOICE_H
#define CHAT_HTTP_PROXY_CHOICE_H

#include <stdbool.h>

#include "base/error.h"

/* setting: what a `proxy` setting says: NULL or "none", "environment", or the proxy's URL (http, https, socks5h). "environment" is what
 * curl makes of it: http_proxy for http (not HTTP_PROXY, which a request could set for a CGI program), https_proxy or HTTPS_PROXY for
 * https, else all_proxy or ALL_PROXY, unless no_proxy or NO_PROXY names the host.
 *
 * OK: *ret is the proxy's URL, owned by the caller; NULL: none. This machine itself is never asked through a proxy. FAILED, permanent: a
 * proxy that can't be one; the message names the variable, and neither's value. */
enum status proxy_choose(const char *setting, const char *url, char **ret, struct error *err) MUST_CHECK;

/* ---- its parts, for tests ---- */

/* list: no_proxy's: names, each with what lies below it, addresses, networks as 10.0.0.0/8; "*" is everything. */
bool no_proxy_names(const char *list, const char *host);

#endif
