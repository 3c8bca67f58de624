#include "service/admin_address.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"

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
        return admin_address_refuse(listen, "is no host:port; 127.0.0.1:9464 is this machine alone, 0.0.0.0:9464 is all", err);
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

enum status admin_address_bind(const char *listen, bool may_be_taken, int *ret, struct error *err)
{
    char host[256], port[8];
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    const int on = 1;
    struct addrinfo *found = NULL;
    *ret = -1;
    if (split(listen, host, sizeof host, port, err) != STATUS_OK)
        return STATUS_FAILED;
    int unknown = getaddrinfo(host, port, &hints, &found);
    if (unknown != 0)
        return admin_address_refuse(listen, gai_strerror(unknown), err);
    int fd = socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    bool bound = fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 && bind(fd, found->ai_addr, found->ai_addrlen) == 0;
    int failed = errno;
    freeaddrinfo(found);
    if (bound) {
        *ret = fd;
        return STATUS_OK;
    }
    if (fd >= 0)
        close(fd);
    if (failed == EADDRINUSE && may_be_taken)
        return STATUS_OK;
    AUTO_FREE char *why = xasprintf("can't be listened on: %s", strerror(failed));
    return admin_address_refuse(listen, why, err);
}
