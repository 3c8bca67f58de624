/* The file with an embedded cluster's address, so that chat-producer finds it without an option:
 * $XDG_RUNTIME_DIR/chat-worker/bootstrap, else /tmp/chat-worker-<uid>/bootstrap. The folder is private
 * (mode 0700, our user's); any other is refused, since its owner could redirect our jobs. */
#ifndef CHAT_WIRE_EMBEDDED_ADDRESS_H
#define CHAT_WIRE_EMBEDDED_ADDRESS_H

#include "base/error.h"

/* Owned by the caller. */
char *embedded_address_folder(void);
/* FAILED: ERROR_UNAVAILABLE: no worker with an embedded cluster runs; ERROR_PERMANENT: the folder isn't private. */
enum status embedded_address_read(char **ret, struct error *err) MUST_CHECK;
/* Would publishing the address fail? Leaves nothing behind. */
enum status embedded_address_check(struct error *err) MUST_CHECK;
enum status embedded_address_publish(const char *bootstrap, struct error *err) MUST_CHECK;
void embedded_address_withdraw(void);

#endif
