/* The file with the number of the port that was bound, where admin.listen asks for any (admin.port_file). Main thread; blocks for the file system alone. */
#ifndef CHAT_SERVICE_PORT_FILE_H
#define CHAT_SERVICE_PORT_FILE_H

#include "base/error.h"

/* Writes the port of fd, atomically; replaces a regular file only. FAILED, permanent: it can't be written. */
enum status port_file_write(const char *port_file, int fd, struct error *err) MUST_CHECK;
/* Could it be written? Leaves nothing behind. */
enum status port_file_check(const char *port_file, struct error *err) MUST_CHECK;

#endif
