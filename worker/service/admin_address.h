/* Where the admin port listens: admin.listen as an address, and a socket bound to it. Main thread, at the start and for --check-config; looks the host up,
 * which blocks as long as the name service does. And whether a connection is this machine's own: any thread, at once. */
#ifndef CHAT_SERVICE_ADMIN_ADDRESS_H
#define CHAT_SERVICE_ADMIN_ADDRESS_H

#include <stdbool.h>
#include <sys/socket.h>

#include "base/error.h"

/* *ret: a bound socket that doesn't listen yet, owned by the caller; -1 with OK: another process has the port, and may_be_taken. FAILED,
 * permanent: the address is malformed, not this machine's or taken. */
enum status admin_address_bind(const char *listen, bool may_be_taken, int *ret, struct error *err) MUST_CHECK;
/* Sets the error of an address that can't be used, and why. Returns FAILED. */
enum status admin_address_refuse(const char *listen, const char *why, struct error *err);
/* Is the connection from loopback to loopback? from: its other end. A sidecar may connect from loopback to an address at which others reach the machine. */
bool admin_address_is_from_here(int fd, const struct sockaddr *from);

#endif
