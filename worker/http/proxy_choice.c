#include "http/proxy_choice.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "http/http_address.h"

/* ---- no_proxy ---- */

/* 4 or 16 bytes; 0: no address. */
static size_t address_bytes(const char *text, unsigned char bytes[16])
{
    return inet_pton(AF_INET, text, bytes) == 1 ? 4 : inet_pton(AF_INET6, text, bytes) == 1 ? 16 : 0;
}

static bool is_in_network(const unsigned char *address, const unsigned char *network, size_t bits)
{
    size_t whole = bits / 8, rest = bits % 8;
    return memcmp(address, network, whole) == 0 && (rest == 0 || (address[whole] ^ network[whole]) >> (8 - rest) == 0);
}

/* item: an address or a network. */
static bool covers(char *item, const char *host)
{
    unsigned char address[16], network[16];
    char *slash = strchr(item, '/');
    if (slash != NULL)
        *slash = '\0';
    size_t size = strlen(item);
    if (size > 2 && item[0] == '[' && item[size - 1] == ']') {
        item[size - 1] = '\0';
        item++;
    }
    size_t network_size = address_bytes(item, network), address_size = address_bytes(host, address);
    if (network_size == 0 || network_size != address_size)
        return false;
    char *end = NULL;
    unsigned long bits = slash != NULL ? strtoul(slash + 1, &end, 10) : network_size * 8;
    if (bits > network_size * 8 || (slash != NULL && (end == slash + 1 || *end != '\0')))
        return false;
    return is_in_network(address, network, bits);
}

static bool is_below(const char *item, const char *host, size_t host_size)
{
    unsigned char bytes[16];
    item += *item == '.';
    size_t size = strlen(item);
    size -= size > 0 && item[size - 1] == '.';
    if (size == 0 || size > host_size || strncasecmp(host + host_size - size, item, size) != 0)
        return false;
    return size == host_size || (host[host_size - size - 1] == '.' && address_bytes(host, bytes) == 0);
}

bool no_proxy_names(const char *list, const char *host)
{
    AUTO_FREE char *copy = xstrdup(list);
    size_t host_size = strlen(host);
    host_size -= host_size > 0 && host[host_size - 1] == '.';
    char *rest = copy;
    for (char *item; (item = strsep(&rest, ", \t")) != NULL;) {
        if (*item == '\0')
            continue;
        if (strcmp(item, "*") == 0 || is_below(item, host, host_size) || covers(item, host))
            return true;
    }
    return false;
}

/* ---- the choice ---- */

static const char *variable(const char *const *names, const char **ret_name)
{
    for (; *names != NULL; names++) {
        const char *value = getenv(*names);
        if (value != NULL && *value != '\0') {
            *ret_name = *names;
            return value;
        }
    }
    return NULL;
}

static const char *from_environment(const struct http_address *address, const char **ret_name)
{
    static const char *const http[] = {"http_proxy", "all_proxy", "ALL_PROXY", NULL};
    static const char *const https[] = {"https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", NULL};
    static const char *const none[] = {"no_proxy", "NO_PROXY", NULL};
    const char *except = variable(none, ret_name);
    if (except != NULL && no_proxy_names(except, address->host))
        return NULL;
    return variable(strcasecmp(address->scheme, "https") == 0 ? https : http, ret_name);
}

/* Not the socks schemes without remote look-up: both the proxy's and the server's name would have to be looked up here. */
static bool is_known_scheme(const char *scheme)
{
    return strcasecmp(scheme, "http") == 0 || strcasecmp(scheme, "https") == 0 || strcasecmp(scheme, "socks5h") == 0;
}

static enum status check_proxy(const char *proxy, const char *name, struct error *err)
{
    struct http_address address;
    struct error why = {0};
    if (http_address_parse(proxy, &address, &why) != STATUS_OK)
        return error_set(err, ERROR_PERMANENT, "bad_proxy", "%s %s", name, why.message);
    bool known = is_known_scheme(address.scheme);
    http_address_finish(&address);
    return known ? STATUS_OK : error_set(err, ERROR_PERMANENT, "bad_proxy", "%s is no proxy that can be used: it must be http://, https:// or socks5h://host:port", name);
}

enum status proxy_choose(const char *setting, const char *url, char **ret, struct error *err)
{
    struct http_address address;
    const char *name = "the setting", *proxy = setting;
    *ret = NULL;
    if (setting == NULL || strcmp(setting, "none") == 0)
        return STATUS_OK;
    if (http_address_parse(url, &address, err) != STATUS_OK)
        return STATUS_FAILED;
    if (strcmp(setting, "environment") == 0)
        proxy = from_environment(&address, &name);
    bool direct = proxy == NULL || address.is_loopback;
    http_address_finish(&address);
    if (proxy == NULL)
        return STATUS_OK;
    AUTO_FREE char *whole = strstr(proxy, "://") != NULL ? xstrdup(proxy) : xasprintf("http://%s", proxy);
    if (check_proxy(whole, name, err) != STATUS_OK)
        return STATUS_FAILED;
    if (!direct)
        *ret = steal_ptr(&whole);
    return STATUS_OK;
}
