/* What a history needs of a message: its role, and whether it is empty. Private to history*.c, except history_message_is_system. Pure; any thread. */
#ifndef CHAT_WIRE_HISTORY_MESSAGE_H
#define CHAT_WIRE_HISTORY_MESSAGE_H

#include <stdbool.h>

#include "wire/json_view.h"

bool history_message_has_role(struct json_view message, const char *role);
/* `system` or `developer`: used, never stored. */
bool history_message_is_system(struct json_view message);
/* An assistant's message without text and calls: providers refuse requests with one. */
bool history_message_is_empty(struct json_view message);

#endif
