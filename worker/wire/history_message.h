/* What a message is to a history: by its role, and whether it says anything. Private to history*.c, but for history_message_is_system. Pure; any thread. */
#ifndef CHAT_WIRE_HISTORY_MESSAGE_H
#define CHAT_WIRE_HISTORY_MESSAGE_H

#include <stdbool.h>

#include "wire/json_view.h"

bool history_message_has_role(struct json_view message, const char *role);
/* `system` or `developer`: used, never stored. */
bool history_message_is_system(struct json_view message);
/* An assistant's that says nothing, neither in words nor in calls: providers refuse a request that brings one. */
bool history_message_is_empty(struct json_view message);

#endif
