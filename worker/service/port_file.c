#include "service/port_file.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"

static enum status refuse(const char *file, const char *why, struct error *err)
{
    return error_set(err, ERROR_PERMANENT, "admin_port_file", "admin.port_file: %s can't be written: %s", file, why);
}

/* A rename replaces whatever has that name, even /dev/null. */
static bool is_something_else(const char *file)
{
    struct stat found;
    return stat(file, &found) == 0 && !S_ISREG(found.st_mode);
}

enum status port_file_write(const char *port_file, int fd, struct error *err)
{
    struct sockaddr_storage address;
    socklen_t size = sizeof address;
    if (getsockname(fd, (struct sockaddr *)&address, &size) != 0)
        return refuse(port_file, strerror(errno), err);
    /* NOLINTNEXTLINE(clang-analyzer-core.*): getsockname has filled it */
    uint16_t port = ntohs(address.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&address)->sin6_port
                                                       : ((struct sockaddr_in *)&address)->sin_port);
    AUTO_FREE char *part = xasprintf("%s.part", port_file);
    if (is_something_else(port_file))
        return refuse(port_file, "it is there, and no regular file", err);
    FILE *out = fopen(part, "we");
    if (out == NULL || fprintf(out, "%d\n", port) < 0 || fclose(out) != 0 || rename(part, port_file) != 0)
        return refuse(port_file, strerror(errno), err);
    return STATUS_OK;
}

enum status port_file_check(const char *port_file, struct error *err)
{
    AUTO_FREE char *part = xasprintf("%s.part.%ld", port_file, (long)getpid());
    if (is_something_else(port_file))
        return refuse(port_file, "it is there, and no regular file", err);
    int fd = open(part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return refuse(port_file, strerror(errno), err);
    close(fd);
    unlink(part);
    return STATUS_OK;
}
