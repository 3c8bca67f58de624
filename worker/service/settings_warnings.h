/* Settings that are valid but probably a mistake: logged at start. Pure; any thread. */
#ifndef CHAT_SERVICE_SETTINGS_WARNINGS_H
#define CHAT_SERVICE_SETTINGS_WARNINGS_H

#include "settings/settings.h"

/* Calls warn once for each such setting. */
void settings_warnings(const struct settings *settings, void (*warn)(const char *message, void *arg), void *arg);

#endif
