#include "base/text_file.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"

#define WHY_SIZE 128

static enum status unreadable(char *why, const char *reason)
{
    snprintf(why, WHY_SIZE, "can't be read: %s", reason);
    return STATUS_FAILED;
}

/* Waits for more, or the end. A pipe without a writer returns the end at once: the writer may be about to open it. */
static enum status wait_for_more(int fd, char *why)
{
    struct pollfd more = {.fd = fd, .events = POLLIN};
    int ready;
    while ((ready = poll(&more, 1, TEXT_FILE_WAIT_MS)) < 0 && errno == EINTR)
        ;
    if (ready > 0)
        return STATUS_OK;
    snprintf(why, WHY_SIZE, "can't be read: it is a pipe that nothing came from for %d s", TEXT_FILE_WAIT_MS / 1000);
    return STATUS_FAILED;
}

static enum status read_all(int fd, bool is_pipe, char *text, size_t bytes_max, size_t *ret_size, char *why)
{
    size_t size = 0;
    while (size <= bytes_max) {
        if (is_pipe && wait_for_more(fd, why) != STATUS_OK)
            return STATUS_FAILED;
        ssize_t got = read(fd, text + size, bytes_max + 1 - size);
        if (got == 0)
            break;
        if (got > 0)
            size += (size_t)got;
        else if (errno != EINTR && errno != EAGAIN)
            return unreadable(why, strerror(errno));
    }
    if (size > bytes_max) {
        snprintf(why, WHY_SIZE, "is longer than %zu bytes", bytes_max);
        return STATUS_FAILED;
    }
    *ret_size = size;
    return STATUS_OK;
}

static enum status read_opened(int fd, size_t bytes_max, char **ret_text, size_t *ret_size, char *why)
{
    struct stat found;
    size_t size = 0;
    if (fstat(fd, &found) != 0)
        return unreadable(why, strerror(errno));
    if (S_ISDIR(found.st_mode))
        return unreadable(why, strerror(EISDIR));
    if (!S_ISREG(found.st_mode) && !S_ISFIFO(found.st_mode))
        return unreadable(why, "it is no regular file");
    AUTO_FREE char *text = xcalloc(1, bytes_max + 2);
    if (read_all(fd, S_ISFIFO(found.st_mode), text, bytes_max, &size, why) != STATUS_OK)
        return STATUS_FAILED;
    text[size] = '\0';
    *ret_size = size;
    *ret_text = xrealloc(steal_ptr(&text), size + 1);
    return STATUS_OK;
}

enum status text_file_read(const char *path, size_t bytes_max, char **ret_text, size_t *ret_size, char ret_why[128])
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY); /* a pipe without a writer would block, a device may */
    if (fd < 0)
        return unreadable(ret_why, strerror(errno));
    enum status status = read_opened(fd, bytes_max, ret_text, ret_size, ret_why);
    close(fd);
    return status;
}
