#include "redis/redis_url.h"

#include <ctype.h>
#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"

#define FORM "redis://[user:password@]host[:port][/db] or unix:///path[?db=N], in a password %25 for %, %23 #, %2F /, %3F ?, %40 @"

static enum status malformed(struct error *err, const char *what)
{
    return error_set(err, ERROR_PERMANENT, "redis_url", "redis.url: %s; expected %s", what, FORM);
}

/* NULL: a bad escape, which libcurl would leave as it is, a control character or a NUL among the bytes. */
static char *percent_decode(const char *from, size_t size)
{
    int length = 0;
    for (size_t i = 0; i < size; i++)
        if (from[i] == '%' && (size - i < 3 || !isxdigit((unsigned char)from[i + 1]) || !isxdigit((unsigned char)from[i + 2])))
            return NULL;
    AUTO_FREE char *text = xmemdup0(from, size); /* to libcurl, a size of 0 means up to a NUL */
    char *plain = curl_easy_unescape(NULL, text, 0, &length);
    if (plain == NULL)
        abort(); /* memory */
    bool fine = true;
    for (int i = 0; i < length; i++)
        fine = fine && (unsigned char)plain[i] >= 0x20 && plain[i] != 0x7f;
    char *decoded = fine ? xmemdup0(plain, (size_t)length) : NULL;
    curl_free(plain);
    return decoded;
}

/* Digits only: strtol would take signs and spaces. */
static bool number_parse(const char *from, size_t size, int max, int *ret)
{
    int value = 0;
    if (size == 0 || size > 6)
        return false;
    for (size_t i = 0; i < size; i++) {
        if (from[i] < '0' || from[i] > '9')
            return false;
        value = value * 10 + (from[i] - '0');
    }
    if (value > max)
        return false;
    *ret = value;
    return true;
}

static enum status userinfo_parse(const char *from, size_t size, struct redis_url *url, struct error *err)
{
    const char *colon = memchr(from, ':', size);
    size_t user_size = colon ? (size_t)(colon - from) : size;
    if (!colon)
        return malformed(err, "a user needs a password (write user:password@, or :password@ for the default user)");
    url->password = percent_decode(colon + 1, size - user_size - 1);
    if (user_size)
        url->user = percent_decode(from, user_size);
    if (!url->password || (user_size && !url->user))
        return malformed(err, "user or password has a bad %-escape (a % itself is written %25)");
    if (!*url->password)
        return malformed(err, "the password is empty");
    return STATUS_OK;
}

static enum status host_parse(const char *from, size_t size, struct redis_url *url, struct error *err)
{
    const char *end = from + size;
    const char *host = from;
    const char *host_end;
    bool bracketed = size && *from == '[';
    if (bracketed) {
        host = from + 1;
        host_end = memchr(host, ']', size - 1);
        if (!host_end)
            return malformed(err, "[ without ]");
        from = host_end + 1;
    } else {
        const char *colon = memchr(from, ':', size);
        host_end = colon ? colon : end;
        from = host_end;
    }
    if (host == host_end)
        return malformed(err, "the host is missing");
    url->host = percent_decode(host, (size_t)(host_end - host));
    if (!url->host)
        return malformed(err, "the host has a bad %-escape");
    url->port = 6379;
    if (from < end && (*from != ':' || !number_parse(from + 1, (size_t)(end - from - 1), 65535, &url->port) || !url->port))
        return malformed(err, "the port is not a number from 1 to 65535 (an IPv6 host stands in brackets)");
    url->address = xasprintf(bracketed ? "[%s]:%d" : "%s:%d", url->host, url->port);
    return STATUS_OK;
}

static enum status tcp_parse(const char *rest, struct redis_url *url, struct error *err)
{
    /* Host and database, behind the last @, contain none: before it a password may contain any character. */
    const char *at = strrchr(rest, '@');
    if (at) {
        if (userinfo_parse(rest, (size_t)(at - rest), url, err) != STATUS_OK)
            return STATUS_FAILED;
        rest = at + 1;
    }
    size_t authority = strcspn(rest, "/?#");
    const char *path = rest + authority;
    if (host_parse(rest, authority, url, err) != STATUS_OK)
        return STATUS_FAILED;
    if (*path == '/' && path[1])
        if (!number_parse(path + 1, strlen(path + 1), 65535, &url->db))
            return malformed(err, "the database is not a number");
    if (*path && *path != '/')
        return malformed(err, "? and # have no meaning here");
    return STATUS_OK;
}

static enum status unix_parse(const char *rest, struct redis_url *url, struct error *err)
{
    /* The path begins at the first slash, behind user and password if there are any; an @ after that is part of the path. */
    const char *path = rest;
    if (*rest != '/') {
        const char *at = strstr(rest, "@/");
        if (!at)
            return malformed(err, "a socket's path is absolute: three slashes");
        if (userinfo_parse(rest, (size_t)(at - rest), url, err) != STATUS_OK)
            return STATUS_FAILED;
        path = at + 1;
    }
    if (!path[1] || path[1] == '?')
        return malformed(err, "the socket's path is missing");
    size_t size = strcspn(path, "?");
    const char *query = path + size;
    url->path = percent_decode(path, size);
    if (!url->path)
        return malformed(err, "the path has a bad %-escape");
    if (*query && (strncmp(query, "?db=", 4) != 0 || !number_parse(query + 4, strlen(query + 4), 65535, &url->db)))
        return malformed(err, "after ? only db=N is known");
    url->address = xstrdup(url->path);
    return STATUS_OK;
}

static const char *after(const char *text, const char *scheme)
{
    size_t size = strlen(scheme);
    return strncasecmp(text, scheme, size) == 0 ? text + size : NULL;
}

enum status redis_url_parse(const char *text, struct redis_url *ret, struct error *err)
{
    struct redis_url url = {0};
    enum status status;
    const char *rest;
    if ((rest = after(text, "redis://")) || (rest = after(text, "rediss://"))) {
        url.tls = rest - text == (long)strlen("rediss://");
        status = tcp_parse(rest, &url, err);
    } else if ((rest = after(text, "unix://"))) {
        status = unix_parse(rest, &url, err);
    } else {
        status = malformed(err, "no scheme that we know");
    }
    if (status == STATUS_OK)
        *ret = url;
    else
        redis_url_finish(&url);
    return status;
}

void redis_url_finish(struct redis_url *url)
{
    free(url->host);
    free(url->path);
    free(url->user);
    free(url->password);
    free(url->address);
    *url = (struct redis_url){0};
}
