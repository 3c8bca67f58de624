#include "service/admin_request.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define PASSWORD_BYTES_MAX 1024

/* ---- the head ---- */

/* "http://host" before the path: whom the request is for, whatever Host says. */
static void take_authority(char *colon, const char *path, struct admin_request *ret)
{
    size_t size = (size_t)(path - colon) - 3;
    memmove(colon, colon + 3, size);
    colon[size] = '\0';
    ret->host = colon;
}

/* "GET /path?query HTTP/1.1", with any host before the path. */
static bool read_line(char *line, struct admin_request *ret)
{
    char *rest = line;
    char *method = strsep(&rest, " "), *target = strsep(&rest, " ");
    if (target == NULL || rest == NULL || strncmp(rest, "HTTP/1.", 7) != 0)
        return false;
    char *host = strstr(target, "://");
    char *path = host != NULL && host < target + strcspn(target, "/?") + 1 ? strchr(host + 3, '/') : target;
    if (path == NULL || *path != '/')
        return false;
    if (path != target)
        take_authority(host, path, ret);
    path[strcspn(path, "#")] = '\0';
    char *query = strchr(path, '?');
    if (query != NULL)
        *query++ = '\0';
    ret->method = method;
    ret->path = path;
    ret->query = query != NULL ? query : "";
    return true;
}

/* No client of this machine's own says such a thing twice: what says another was put beside it on the way. */
static void take_once(const char **header, const char *value, struct admin_request *ret)
{
    if (*header == NULL)
        *header = value;
    else if (strcmp(*header, value) != 0)
        ret->forwarded = true;
}

static void take_header(char *line, struct admin_request *ret)
{
    char *value = strchr(line, ':');
    if (value == NULL)
        return;
    *value++ = '\0';
    value += strspn(value, " \t");
    for (size_t size = strlen(value); size > 0 && strchr(" \t", value[size - 1]) != NULL;)
        value[--size] = '\0';
    if (strcasecmp(line, "Authorization") == 0)
        ret->authorization = value;
    else if (strcasecmp(line, "Host") == 0)
        take_once(&ret->host, value, ret);
    else if (strcasecmp(line, "Sec-Fetch-Site") == 0)
        take_once(&ret->site, value, ret);
    else if (strcasecmp(line, "Origin") == 0)
        take_once(&ret->origin, value, ret);
    else if (strcasecmp(line, "Forwarded") == 0 || strncasecmp(line, "X-Forwarded-", 12) == 0 || strcasecmp(line, "X-Real-IP") == 0 || strcasecmp(line, "Via") == 0)
        ret->forwarded = true;
}

bool admin_request_read(char *head, struct admin_request *ret)
{
    *ret = (struct admin_request){.method = "GET", .path = "", .query = ""};
    char *rest = head, *line = strsep(&rest, "\n");
    line[strcspn(line, "\r")] = '\0';
    if (!read_line(line, ret))
        return false;
    while (rest != NULL && (line = strsep(&rest, "\n")) != NULL) {
        line[strcspn(line, "\r")] = '\0';
        take_header(line, ret);
    }
    return true;
}

bool admin_request_number(const struct admin_request *request, const char *name, long long min, long long max, long long otherwise, long long *ret)
{
    size_t length = strlen(name);
    *ret = otherwise;
    for (const char *at = request->query; *at != '\0'; at += strcspn(at, "&"), at += *at == '&') {
        if (strncmp(at, name, length) != 0 || at[length] != '=')
            continue;
        char *end;
        errno = 0;
        *ret = strtoll(at + length + 1, &end, 10);
        return end != at + length + 1 && (*end == '\0' || *end == '&') && errno == 0 && *ret >= min && *ret <= max;
    }
    return true;
}

/* ---- who may ---- */

static bool is_loopback_v4(const struct in_addr *v4)
{
    return ntohl(v4->s_addr) >> 24 == IN_LOOPBACKNET;
}

static bool is_loopback_v6(const struct in6_addr *v6)
{
    return IN6_IS_ADDR_LOOPBACK(v6) || (IN6_IS_ADDR_V4MAPPED(v6) && v6->s6_addr[12] == IN_LOOPBACKNET);
}

bool admin_address_is_local(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET)
        return is_loopback_v4(&((const struct sockaddr_in *)(const void *)address)->sin_addr);
    return address->sa_family == AF_INET6 && is_loopback_v6(&((const struct sockaddr_in6 *)(const void *)address)->sin6_addr);
}

/* localhost, or an address of loopback: no name that somebody else may bind to another address, and no address at which others reach this machine. */
static bool is_loopback(const char *host)
{
    char name[64];
    struct in_addr v4;
    struct in6_addr v6;
    bool bracketed = host[0] == '[';
    size_t length = strcspn(host + bracketed, bracketed ? "]" : ":");
    if (length >= sizeof name)
        return false;
    memcpy(name, host + bracketed, length);
    name[length] = '\0';
    if (bracketed)
        return inet_pton(AF_INET6, name, &v6) == 1 && is_loopback_v6(&v6);
    return strcasecmp(name, "localhost") == 0 || (inet_pton(AF_INET, name, &v4) == 1 && is_loopback_v4(&v4));
}

/* Did a page of another site make it? Browsers say so by Sec-Fetch-Site to loopback and over TLS, elsewhere by Origin alone, and not of what they only load. */
static bool is_of_another_site(const struct admin_request *request)
{
    if (request->site != NULL && strcmp(request->site, "same-origin") != 0 && strcmp(request->site, "none") != 0)
        return true;
    const char *colon = request->origin != NULL ? strstr(request->origin, "://") : NULL;
    return request->origin != NULL && (colon == NULL || request->host == NULL || strcasecmp(colon + 3, request->host) != 0);
}

static bool is_for_itself(const struct admin_request *request)
{
    return !is_of_another_site(request) && !request->forwarded && (request->host == NULL || is_loopback(request->host));
}

static int sextet(char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c != '\0' ? strchr(digits, c) : NULL;
    return at != NULL ? (int)(at - digits) : -1;
}

/* The password of "user:password" in base64. False: there is none. */
static bool read_password(const char *base64, char ret[PASSWORD_BYTES_MAX])
{
    char pair[PASSWORD_BYTES_MAX];
    size_t size = 0;
    unsigned bits = 0;
    for (int count = 0, value; (value = sextet(*base64)) >= 0; base64++) {
        bits = (bits << 6 | (unsigned)value) & 0xffffff;
        count += 6;
        if (count < 8)
            continue;
        count -= 8;
        if (size + 1 == sizeof pair)
            return false;
        pair[size++] = (char)(bits >> count);
    }
    pair[size] = '\0';
    const char *colon = strchr(pair, ':');
    if (colon != NULL)
        memcpy(ret, colon + 1, strlen(colon + 1) + 1);
    return colon != NULL;
}

/* As long for each wrong token of the same length. */
static bool is_equal(const char *given, const char *token)
{
    size_t length = strlen(token);
    unsigned char differs = 0;
    if (strlen(given) != length)
        return false;
    for (size_t i = 0; i < length; i++)
        differs |= (unsigned char)(given[i] ^ token[i]);
    return !differs;
}

static bool brings_token(const struct admin_request *request, const char *token)
{
    char password[PASSWORD_BYTES_MAX];
    const char *given = request->authorization;
    if (given == NULL)
        return false;
    if (strncasecmp(given, "Bearer ", 7) == 0)
        return is_equal(given + 7, token);
    /* A browser brings a password that it knows along with what another site's page sends. */
    if (strcmp(request->method, "POST") == 0 && is_of_another_site(request))
        return false;
    return strncasecmp(given, "Basic ", 6) == 0 && read_password(given + 6, password) && is_equal(password, token);
}

static bool is_open(const char *path)
{
    return strcmp(path, "/healthz") == 0 || strcmp(path, "/readyz") == 0 || strcmp(path, "/metrics") == 0;
}

enum admin_access admin_request_access(const struct admin_request *request, bool local, const char *token)
{
    if (is_open(request->path) || (local && is_for_itself(request)))
        return ADMIN_ALLOWED;
    if (token == NULL)
        return ADMIN_NO_ACCESS;
    return brings_token(request, token) ? ADMIN_ALLOWED : ADMIN_NO_TOKEN;
}
