/* What the admin port answers to which path: health, readiness, metrics as Prometheus reads them. Shows no keys and no message text.
 * Admin thread; what the probes read is in probes.h. Blocks never. */
#ifndef CHAT_SERVICE_ADMIN_PAGES_H
#define CHAT_SERVICE_ADMIN_PAGES_H

#include <stddef.h>

#include "service/admin_server.h"

struct admin_page {
    int status;
    const char *type;
    char *text; /* owned */
    size_t size;
};

/* path: without its query. The text is the caller's to free. */
struct admin_page admin_page_of(const struct admin_probes *probes, const char *path);
/* One line of text. */
struct admin_page admin_page_plain(int status, const char *text);

#endif
