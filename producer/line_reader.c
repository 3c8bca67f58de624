#include "line_reader.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/byte_order_mark.h"
#include "command.h"
#include "text_form.h"

#define READ_BYTES ((size_t)64 << 10)

struct line_reader line_reader_start(int fd, const char *name)
{
    return (struct line_reader){.fd = fd, .name = name};
}

void line_reader_finish(struct line_reader *reader)
{
    free(reader->buffer);
    *reader = (struct line_reader){.fd = -1};
}

static void make_room(struct line_reader *reader)
{
    if (reader->start > 0) {
        memmove(reader->buffer, reader->buffer + reader->start, reader->size - reader->start);
        reader->size -= reader->start;
        reader->searched -= reader->start;
        reader->start = 0;
    }
    /* One byte more for the NUL of a last line without newline. */
    reader->buffer = xgrow(reader->buffer, &reader->capacity, reader->size + READ_BYTES + 1, 1);
}

static enum status refill(struct line_reader *reader, int wait_ms, struct error *err)
{
    struct pollfd ready = {.fd = reader->fd, .events = POLLIN};
    int got = poll(&ready, 1, wait_ms);
    if (got == 0 || (got < 0 && errno == EINTR))
        return STATUS_AGAIN;
    make_room(reader);
    ssize_t n = read(reader->fd, reader->buffer + reader->size, READ_BYTES);
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return STATUS_AGAIN;
    if (n < 0)
        return error_set(err, ERROR_PERMANENT, "unreadable", "%s: %s", reader->name, strerror(errno));
    reader->ended = n == 0;
    reader->size += (size_t)n;
    reader->bytes += n;
    return STATUS_OK;
}

/* The line from start to end; `next` is where the one after it begins. */
static enum status give(struct line_reader *reader, size_t end, size_t next, char **ret_line, size_t *ret_size)
{
    if (end > reader->start)
        reader->start += byte_order_mark_size(reader->buffer + reader->start, end - reader->start);
    *ret_line = reader->buffer + reader->start;
    *ret_size = end - reader->start;
    if (*ret_size > 0 && reader->buffer[end - 1] == '\r')
        --*ret_size;
    (*ret_line)[*ret_size] = '\0';
    reader->start = reader->searched = next;
    reader->line++;
    return STATUS_OK;
}

enum status line_reader_next(struct line_reader *reader, int wait_ms, char **ret_line, size_t *ret_size, struct error *err)
{
    for (;;) {
        char *newline = NULL;
        const char *fault = reader->line == 0 && reader->size > 0 ? text_form_fault(reader->buffer + reader->start, reader->size - reader->start) : NULL;
        if (fault != NULL)
            return error_set(err, ERROR_PERMANENT, "text_form", "%s is %s", reader->name, fault);
        if (reader->searched < reader->size)
            newline = memchr(reader->buffer + reader->searched, '\n', reader->size - reader->searched);
        size_t end = newline != NULL ? (size_t)(newline - reader->buffer) : reader->size;
        if (end - reader->start > MESSAGE_BYTES_MAX)
            return error_set(err, ERROR_PERMANENT, "line_too_long", "%s:%" PRId64 ": a line over %zu bytes", reader->name,
                             reader->line + 1, MESSAGE_BYTES_MAX);
        if (newline != NULL)
            return give(reader, end, end + 1, ret_line, ret_size);
        if (reader->ended)
            return reader->start < reader->size ? give(reader, end, end, ret_line, ret_size) : STATUS_CLOSED;
        reader->searched = reader->size;
        enum status status = refill(reader, wait_ms, err);
        if (status != STATUS_OK)
            return status;
    }
}
