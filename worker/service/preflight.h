/* What the settings themselves make impossible: whatever a start refuses with 78 whoever answers. Both a start and --check-config go
 * through it, so that they judge alike; what depends on others (brokers, Redis, a port or file that another process has at the
 * moment) is the start's alone, and --connect's. */
#ifndef CHAT_SERVICE_PREFLIGHT_H
#define CHAT_SERVICE_PREFLIGHT_H

#include "settings/settings.h"

/* Before threads; the process ignores SIGPIPE. Reads certificates and tries files, clients and the admin address, and leaves nothing
 * behind. Blocks for tens of milliseconds. FAILED, permanent or fatal: as the start would say it. */
enum status preflight_check(const struct settings *settings, struct error *err) MUST_CHECK;

#endif
