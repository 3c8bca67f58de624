/* What the settings alone make impossible: what a start refuses with 78 whatever brokers and Redis answer. Both a start and --check-config
 * run it, so that they judge alike; what depends on others (brokers, Redis, a port or file that another process has at the
 * moment) is checked by a start and by --connect only. */
#ifndef CHAT_SERVICE_PREFLIGHT_H
#define CHAT_SERVICE_PREFLIGHT_H

#include "settings/settings.h"

/* Before threads; the process ignores SIGPIPE. Reads certificates and tries files, clients and the admin address, and leaves nothing
 * behind. Blocks for tens of milliseconds. FAILED, permanent or fatal: the error that a start would report. */
enum status preflight_check(const struct settings *settings, struct error *err) MUST_CHECK;

#endif
