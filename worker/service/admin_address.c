#include "service/admin_address.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "service/admin_request.h"

enum status admin_address_refuse(const char *listen, const char *why, struct error *err)
{
    return error_set(err, ERROR_PERMANENT, "admin_listen", "admin.listen: \"%.100s\" %s", listen, why);
}

/* "host:port" -> both. */
static enum status split(const char *listen, char *host, size_t host_size, char port[8], struct error *err)
{
    const char *colon = strrchr(listen, ':');
    size_t length = colon != NULL ? (size_t)(colon - listen) : 0;
    size_t digits = colon != NULL ? strspn(colon + 1, "0123456789") : 0;
    if (length == 0)
        return admin_address_refuse(listen, "is no host:port; 127.0.0.1:9464 is this machine alone, [::]:9464 is all", err);
    if (digits == 0 || digits > 5 || colon[1 + digits] != '\0' || atoi(colon + 1) > 65535)
        return admin_address_refuse(listen, "has no port from 0 to 65535 behind its last colon", err);
    bool bracketed = listen[0] == '[' && listen[length - 1] == ']';
    if (!bracketed && memchr(listen, ':', length) != NULL)
        return admin_address_refuse(listen, "is no host:port; an IPv6 address stands in brackets: [::1]:9464", err);
    if (bracketed) {
        listen++;
        length -= 2;
    }
    if (length == 0 || length >= host_size)
        return admin_address_refuse(listen, "names no host", err);
    memcpy(host, listen, length);
    host[length] = '\0';
    snprintf(port, 8, "%s", colon + 1);
    return STATUS_OK;
}

/* A socket bound to it, or -1 with errno. "::" is every address, those of IPv4 too, whatever net.ipv6.bindv6only says. */
static int bind_to(const struct addrinfo *address)
{
    const int on = 1, off = 0;
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
        (address->ai_family != AF_INET6 || setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off) == 0) &&
        bind(fd, address->ai_addr, address->ai_addrlen) == 0)
        return fd;
    int failed = errno;
    close(fd);
    errno = failed;
    return -1;
}

enum status admin_address_bind(const char *listen, bool may_be_taken, int *ret, struct error *err)
{
    char host[256], port[8];
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    *ret = -1;
    if (split(listen, host, sizeof host, port, err) != STATUS_OK)
        return STATUS_FAILED;
    int unknown = getaddrinfo(host, port, &hints, &found);
    if (unknown != 0)
        return admin_address_refuse(listen, gai_strerror(unknown), err);
    int fd = bind_to(found);
    int failed = errno;
    freeaddrinfo(found);
    if (fd >= 0) {
        *ret = fd;
        return STATUS_OK;
    }
    if (failed == EAFNOSUPPORT && strcmp(host, "::") == 0) { /* a kernel without IPv6: every address is one of IPv4 */
        AUTO_FREE char *rest = xasprintf("0.0.0.0:%s", port);
        return admin_address_bind(rest, may_be_taken, ret, err);
    }
    if (failed == EADDRINUSE && may_be_taken)
        return STATUS_OK;
    AUTO_FREE char *why = xasprintf("can't be listened on: %s", strerror(failed));
    return admin_address_refuse(listen, why, err);
}

bool admin_address_is_from_here(int fd, const struct sockaddr *from)
{
    struct sockaddr_storage to;
    socklen_t size = sizeof to;
    return admin_address_is_local(from) && getsockname(fd, (struct sockaddr *)&to, &size) == 0 && admin_address_is_local((const struct sockaddr *)&to);
}
