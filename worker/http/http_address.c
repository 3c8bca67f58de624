#include "http/http_address.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/cleanup.h"

static char *part_of(CURLU *parsed, CURLUPart which, unsigned flags)
{
    char *part = NULL;
    char *copy = curl_url_get(parsed, which, &part, flags) == CURLUE_OK ? xstrdup(part) : NULL;
    curl_free(part);
    return copy;
}

char *http_address_front(const char *url)
{
    const char *begin = strstr(url, "://");
    size_t size = begin != NULL ? (size_t)(begin + 3 - url) : 0;
    return xmemdup0(url, size + strcspn(url + size, "/?#"));
}

/* Removes brackets, lower case; false: not ASCII, since libcurl's handling of such names depends on the locale. */
static bool make_plain(char *host)
{
    size_t size = strlen(host);
    if (host[0] == '[' && size > 2 && host[size - 1] == ']') {
        memmove(host, host + 1, size - 2);
        host[size - 2] = '\0';
    }
    for (char *c = host; *c != '\0'; c++) {
        if ((unsigned char)*c >= 0x80)
            return false;
        *c = (char)tolower((unsigned char)*c);
    }
    return true;
}

/* "localhost" and names below ".localhost" (RFC 6761). */
static bool names_localhost(const char *host)
{
    static const char name[] = "localhost";
    size_t size = strlen(host), own = sizeof name - 1;
    return size >= own && strncasecmp(host + size - own, name, own) == 0 && (size == own || host[size - own - 1] == '.');
}

static bool is_loopback_v4(uint32_t address) /* in the host's byte order; 0.0.0.0 is this machine, too */
{
    return address >> 24 == 127 || address == 0;
}

/* A numeric address, also in short form (127.1): sets *ret_loopback. False: it isn't one. */
static bool is_number(const char *host, bool *ret_loopback)
{
    struct in_addr v4;
    struct in6_addr v6;
    char plain[INET6_ADDRSTRLEN + 1];
    size_t size = strcspn(host, "%"); /* without a scope */
    if (inet_aton(host, &v4) != 0) {
        *ret_loopback = is_loopback_v4(ntohl(v4.s_addr));
        return true;
    }
    if (size >= sizeof plain)
        return false;
    memcpy(plain, host, size);
    plain[size] = '\0';
    if (inet_pton(AF_INET6, plain, &v6) != 1)
        return false;
    uint32_t last;
    memcpy(&last, v6.s6_addr + 12, sizeof last);
    *ret_loopback = IN6_IS_ADDR_LOOPBACK(&v6) || IN6_IS_ADDR_UNSPECIFIED(&v6) || (IN6_IS_ADDR_V4MAPPED(&v6) && is_loopback_v4(ntohl(last)));
    return true;
}

/* libcurl knows the address of localhost, but not with a trailing dot, which it would look up for each call. */
static void judge(struct http_address *address)
{
    AUTO_FREE char *host = xstrdup(address->host);
    size_t size = strlen(host);
    bool dotted = host[size - 1] == '.';
    host[size - dotted] = '\0';
    bool known = is_number(host, &address->is_loopback);
    if (!known)
        known = address->is_loopback = names_localhost(host);
    address->is_literal = known && !dotted;
}

enum status http_address_parse(const char *url, struct http_address *ret, struct error *err)
{
    AUTO_FREE char *front = http_address_front(url);
    CURLU *parsed = curl_url();
    if (parsed == NULL)
        abort(); /* memory */
    *ret = (struct http_address){0};
    CURLUcode code = curl_url_set(parsed, CURLUPART_URL, front, CURLU_NON_SUPPORT_SCHEME);
    if (code == CURLUE_OK) {
        ret->scheme = part_of(parsed, CURLUPART_SCHEME, 0);
        ret->host = part_of(parsed, CURLUPART_HOST, 0);
        ret->port = part_of(parsed, CURLUPART_PORT, 0);
        ret->names_port = ret->port != NULL;
        if (!ret->names_port)
            ret->port = part_of(parsed, CURLUPART_PORT, CURLU_DEFAULT_PORT);
    }
    curl_url_cleanup(parsed);
    if (code == CURLUE_OK && ret->scheme != NULL && ret->host != NULL && ret->host[0] != '\0') {
        /* In CURLOPT_RESOLVE, through which libcurl gets the addresses, such a sign in front has a meaning. */
        bool begins_well = ret->host[0] != '-' && ret->host[0] != '+', plain = make_plain(ret->host);
        if (begins_well && plain) {
            judge(ret);
            return STATUS_OK;
        }
        http_address_finish(ret);
        return error_set(err, ERROR_PERMANENT, "bad_url", begins_well ? "names a host beyond ASCII: write it as xn--..." : "names a host that begins with - or +");
    }
    http_address_finish(ret);
    return error_set(err, ERROR_PERMANENT, "bad_url", "is no address that can be asked: %s", code != CURLUE_OK ? curl_url_strerror(code) : "the host is missing");
}

void http_address_finish(struct http_address *address)
{
    free(address->scheme);
    free(address->host);
    free(address->port);
    *address = (struct http_address){0};
}
