/* What is valid of settings, and hardly meant: worth a line at start. Pure; any thread. */
#ifndef CHAT_SERVICE_SETTINGS_WARNINGS_H
#define CHAT_SERVICE_SETTINGS_WARNINGS_H

#include "settings/settings.h"

/* Calls warn once for each. */
void settings_warnings(const struct settings *settings, void (*warn)(const char *message, void *arg), void *arg);

#endif
