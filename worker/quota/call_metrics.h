/* What a call of a provider is counted as: by outcome, by how long it took, and the tokens it used, by provider, model and tenant.
 * Any thread; blocks on nothing. */
#ifndef CHAT_QUOTA_CALL_METRICS_H
#define CHAT_QUOTA_CALL_METRICS_H

#include "llm/llm_ask.h"
#include "settings/settings.h"

/* model: the answer's own; NULL: it told none, the provider's is meant. tenant: NULL: none. */
void call_metrics_count(const struct provider_settings *provider, const struct llm_tried *tried, const char *model, const char *tenant);

#endif
