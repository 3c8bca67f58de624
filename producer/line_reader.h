/* Lines from a file or a pipe, without ever blocking for long: while no line comes, delivery reports must be
 * served, and Ctrl-C must end the wait. One thread. */
#ifndef CHAT_PRODUCER_LINE_READER_H
#define CHAT_PRODUCER_LINE_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct line_reader {
    int fd; /* borrowed */
    const char *name; /* for messages; borrowed */
    char *buffer;
    size_t size, capacity; /* bytes */
    size_t start;          /* where the next line begins */
    size_t searched;       /* no newline before this */
    int64_t line;          /* number of the last line returned, from 1 */
    int64_t bytes;         /* read so far */
    bool ended;
};

struct line_reader line_reader_start(int fd, const char *name);
/* OK: *ret_line (NUL-terminated, without its newline nor a byte order mark before it, which files that were joined have in their middle; valid until the next
 * call) and its size. AGAIN: nothing
 * came in wait_ms, or a signal did. CLOSED: no more. FAILED: can't be read, is no UTF-8 by its first bytes (text_form.h), or a line is over MESSAGE_BYTES_MAX. */
enum status line_reader_next(struct line_reader *reader, int wait_ms, char **ret_line, size_t *ret_size,
                             struct error *err) MUST_CHECK;
void line_reader_finish(struct line_reader *reader);

#endif
