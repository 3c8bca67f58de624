/* Files that settings name (settings themselves, secrets, certificates), read whole.
 *
 * At start, any thread. Never blocks for long and never holds more than bytes_max: a regular file, through links too, is read as it is;
 * a pipe (a shell's <(command)) may keep its reader waiting TEXT_FILE_WAIT_MS between two pieces. Folders, devices and sockets are
 * refused, since what they bring may have no end. */
#ifndef CHAT_BASE_TEXT_FILE_H
#define CHAT_BASE_TEXT_FILE_H

#include <stddef.h>

#include "base/error.h"

#define TEXT_FILE_WAIT_MS 5000

/* *ret_text: the caller's, with a NUL behind its *ret_size bytes. FAILED: *ret_why says what is wrong, to be put behind the file's
 * name ("can't be read: Permission denied", "is longer than 16 bytes"); untouched then: the other two. */
enum status text_file_read(const char *path, size_t bytes_max, char **ret_text, size_t *ret_size, char ret_why[128]) MUST_CHECK;

#endif
