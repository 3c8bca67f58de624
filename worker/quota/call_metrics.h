/* Metrics of a call to a provider: outcome, duration, and the tokens it used, by provider, model and tenant.
 * Any thread; never blocks. */
#ifndef CHAT_QUOTA_CALL_METRICS_H
#define CHAT_QUOTA_CALL_METRICS_H

#include "llm/llm_ask.h"
#include "settings/settings.h"

/* model: from the answer; NULL: not in it, the provider's is counted. tenant: NULL: none. */
void call_metrics_count(const struct provider_settings *provider, const struct llm_tried *tried, const char *model, const char *tenant);

#endif
