/* The file that tells which port was got, where admin.listen asks for any (admin.port_file). Main thread; blocks for the file system alone. */
#ifndef CHAT_SERVICE_PORT_FILE_H
#define CHAT_SERVICE_PORT_FILE_H

#include "base/error.h"

/* Writes fd's port whole, in the place of a regular file or none. FAILED, permanent: it can't be written. */
enum status port_file_write(const char *port_file, int fd, struct error *err) MUST_CHECK;
/* Could it be written? Leaves nothing behind. */
enum status port_file_check(const char *port_file, struct error *err) MUST_CHECK;

#endif
