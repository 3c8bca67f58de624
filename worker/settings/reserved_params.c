#include "settings/reserved_params.h"

#include <stddef.h>

const char *const reserved_params[] = {"messages", "stream", "stream_options", "n", NULL};
