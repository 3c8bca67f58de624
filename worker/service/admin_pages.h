/* What the admin port answers to which path at once: health, readiness, metrics as Prometheus reads them, what each job does, the page of lanes. Shows no keys
 * and no message text. Admin thread; what the probes read is in probes.h. Blocks never. */
#ifndef CHAT_SERVICE_ADMIN_PAGES_H
#define CHAT_SERVICE_ADMIN_PAGES_H

#include <stddef.h>

#include "service/admin_request.h"
#include "service/admin_server.h"

struct admin_page {
    int status;
    const char *type;
    char *text; /* owned */
    size_t size;
    const char *allow; /* with 405: the methods */
};

/* The text is the caller's to free. */
struct admin_page admin_page_of(const struct admin_probes *probes, const struct admin_request *request);
/* Called every WATCHDOG_LOOK_MS: ends what was begun for a client that doesn't ask any more. */
void admin_pages_look(void);
/* One line of text. */
struct admin_page admin_page_plain(int status, const char *text);

#endif
