#include "http/http_head.h"

#include <curl/curl.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/decimal.h"

static CURLU *parsed(const char *url)
{
    CURLU *ret = curl_url();
    if (ret == NULL)
        abort(); /* memory */
    if (curl_url_set(ret, CURLUPART_URL, url, 0) == CURLUE_OK)
        return ret;
    curl_url_cleanup(ret);
    return NULL;
}

/* NULL: the URL has no such part. */
static char *part_of(CURLU *url, CURLUPart which, unsigned flags)
{
    char *part = NULL;
    char *copy = curl_url_get(url, which, &part, flags) == CURLUE_OK ? xstrdup(part) : NULL;
    curl_free(part);
    return copy;
}

/* ---- the request line's target ---- */

/* An http proxy forwards plain requests itself; to https servers and through socks there is a tunnel. */
static bool is_forwarded(CURLU *url, const char *proxy)
{
    AUTO_FREE char *scheme = part_of(url, CURLUPART_SCHEME, 0);
    return proxy != NULL && strncasecmp(proxy, "socks", 5) != 0 && strcasecmp(scheme, "http") == 0;
}

static char *whole_url(CURLU *url)
{
    static const CURLUPart hidden[] = {CURLUPART_USER, CURLUPART_PASSWORD, CURLUPART_FRAGMENT};
    for (size_t i = 0; i < sizeof hidden / sizeof hidden[0]; i++)
        curl_url_set(url, hidden[i], NULL, 0);
    return part_of(url, CURLUPART_URL, CURLU_NO_DEFAULT_PORT);
}

char *http_head_target(const char *url, const char *proxy)
{
    CURLU *parts = parsed(url);
    if (parts == NULL)
        return NULL;
    AUTO_FREE char *path = part_of(parts, CURLUPART_PATH, 0), *query = part_of(parts, CURLUPART_QUERY, 0);
    char *target = is_forwarded(parts, proxy) ? whole_url(parts)
                                              : xasprintf("%s%s%s", path != NULL ? path : "/", query != NULL ? "?" : "", query != NULL ? query : "");
    curl_url_cleanup(parts);
    return target;
}

/* ---- headers ---- */

struct lines {
    char *text; /* owned */
    size_t size, capacity;
};

static void add_text(struct lines *lines, const char *text)
{
    size_t size = strlen(text);
    lines->text = xgrow(lines->text, &lines->capacity, lines->size + size + 1, 1);
    memcpy(lines->text + lines->size, text, size + 1);
    lines->size += size;
}

static void add_line(struct lines *lines, const char *name, const char *value)
{
    add_text(lines, name);
    add_text(lines, ": ");
    add_text(lines, value);
    add_text(lines, "\r\n");
}

static bool is_among(const char *name, const char *const *headers)
{
    size_t size = strlen(name);
    for (; headers != NULL && *headers != NULL; headers++)
        if (strncasecmp(*headers, name, size) == 0 && (*headers)[size] == ':')
            return true;
    return false;
}

/* Basic (RFC 7617); NULL: the URL has no user. */
static char *credentials_of(CURLU *url)
{
    AUTO_FREE char *user = part_of(url, CURLUPART_USER, CURLU_URLDECODE), *password = part_of(url, CURLUPART_PASSWORD, CURLU_URLDECODE);
    if (user == NULL && password == NULL)
        return NULL;
    AUTO_FREE char *plain = xasprintf("%s:%s", user != NULL ? user : "", password != NULL ? password : "");
    size_t size = strlen(plain);
    AUTO_FREE char *encoded = xcalloc(1, (size + 2) / 3 * 4 + 1);
    EVP_EncodeBlock((unsigned char *)encoded, (const unsigned char *)plain, (int)size);
    return xasprintf("Basic %s", encoded);
}

static char *host_of(CURLU *url)
{
    AUTO_FREE char *host = part_of(url, CURLUPART_HOST, 0), *port = part_of(url, CURLUPART_PORT, CURLU_NO_DEFAULT_PORT);
    return xasprintf("%s%s%s", host, port != NULL ? ":" : "", port != NULL ? port : "");
}

static void add_own(struct lines *lines, const char *name, const char *value, const char *const *headers)
{
    if (value != NULL && !is_among(name, headers))
        add_line(lines, name, value);
}

static void add_proxy_credentials(struct lines *lines, CURLU *url, const char *const *headers, const char *proxy)
{
    CURLU *parts = is_forwarded(url, proxy) ? parsed(proxy) : NULL;
    AUTO_FREE char *credentials = parts != NULL ? credentials_of(parts) : NULL;
    add_own(lines, "Proxy-Authorization", credentials, headers);
    curl_url_cleanup(parts);
}

char *http_head_headers(const char *url, const char *const *headers, const char *proxy)
{
    struct lines lines = {0};
    CURLU *parts = parsed(url);
    if (parts == NULL)
        return NULL;
    AUTO_FREE char *host = host_of(parts), *credentials = credentials_of(parts);
    add_own(&lines, "Host", host, headers);
    add_proxy_credentials(&lines, parts, headers, proxy);
    add_own(&lines, "Authorization", credentials, headers);
    add_own(&lines, "User-Agent", "chat-worker/" CHAT_RELEASE, headers);
    add_own(&lines, "Accept", "*/*", headers);
    /* Without it any encoding is allowed; a body that is compressed all the same is decompressed. */
    add_own(&lines, "Accept-Encoding", "identity", headers);
    for (; headers != NULL && *headers != NULL; headers++) {
        add_text(&lines, *headers);
        add_text(&lines, "\r\n");
    }
    curl_url_cleanup(parts);
    return lines.text;
}

#define OTHER_BYTES 80 /* the request line's other parts, and Content-Length */

char *http_head(const char *method, const char *target, const char *headers, size_t body_size)
{
    struct lines head = {0};
    char length[DECIMAL_SIZE];
    decimal_write((int64_t)body_size, length);
    head.text = xgrow(NULL, &head.capacity, strlen(target) + strlen(headers) + OTHER_BYTES, 1); /* all of it, at once */
    add_text(&head, method);
    add_text(&head, " ");
    add_text(&head, target);
    add_text(&head, " HTTP/1.1\r\n");
    add_text(&head, headers);
    if (strcmp(method, "GET") != 0)
        add_line(&head, "Content-Length", length);
    add_text(&head, "\r\n");
    return head.text;
}
