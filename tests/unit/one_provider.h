/* A worker's settings for unit tests: the mandatory ones (a broker address without a broker, one provider, main), so that a test only sets those it is about.
 * The test's thread. */
#ifndef CHAT_UNIT_ONE_PROVIDER_H
#define CHAT_UNIT_ONE_PROVIDER_H

#include <criterion/criterion.h>

#include "base/log.h"
#include "settings/settings.h"

/* overrides: NULL-terminated "section.key=value". From here on only errors are logged. Owned by the caller; refused settings fail the test. */
static inline struct settings *one_provider_settings(const char *const *overrides)
{
    char *const needed[] = {"CHATW__KAFKA__BOOTSTRAP_SERVERS=b:1", "CHATW__PROVIDER__MAIN__URL=http://localhost:1/v1", "CHATW__PROVIDER__MAIN__MODEL=m", NULL};
    struct settings_sources sources = {.environment = needed, .overrides = overrides};
    struct settings *settings = NULL;
    struct error err = {0};
    cr_assert_eq(settings_load(&sources, &settings, &err), STATUS_OK, "%s", err.message);
    log_configure(LOG_ERROR, LOG_LOGFMT);
    return settings;
}

#endif
