/* Files that settings name (settings themselves, secrets, certificates), read whole.
 *
 * At start, any thread. Never blocks for long and never reads more than bytes_max: regular files, also by links;
 * a pipe (a shell's <(command)) may block TEXT_FILE_WAIT_MS between two pieces. Directories, devices and sockets are
 * refused, since they may have no end. */
#ifndef CHAT_BASE_TEXT_FILE_H
#define CHAT_BASE_TEXT_FILE_H

#include <stddef.h>

#include "base/error.h"

#define TEXT_FILE_WAIT_MS 5000

/* *ret_text: owned by the caller, with a NUL behind its *ret_size bytes. FAILED: *ret_why contains what is wrong, to follow the file's
 * name ("can't be read: Permission denied", "is longer than 16 bytes"); the other two are untouched then. */
enum status text_file_read(const char *path, size_t bytes_max, char **ret_text, size_t *ret_size, char ret_why[128]) MUST_CHECK;

#endif
