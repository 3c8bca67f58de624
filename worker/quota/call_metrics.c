#include "quota/call_metrics.h"

#include <string.h>

#include "telemetry/labelled_metrics.h"

static void count_usage(enum labelled_metric known, enum labelled_metric unknown, const char *const *labels, int64_t tokens)
{
    labelled_add(tokens >= 0 ? known : unknown, labels, tokens >= 0 ? tokens : 1);
}

void call_metrics_count(const struct provider_settings *provider, const struct llm_tried *tried, const char *model, const char *tenant)
{
    static const char *const outcomes[] = {[TRIED_GOOD] = "good", [TRIED_FAILED] = "failed", [TRIED_DROPPED] = "dropped"};
    if (tried->took_us < 0)
        return;
    labelled_add(LABELLED_PROVIDER_CALLS, (const char *const[]){provider->name, outcomes[tried->end]}, 1);
    if (tried->end == TRIED_DROPPED)
        return;
    const char *error_type = tried->end == TRIED_FAILED ? error_class_name(tried->error->class) : "";
    labelled_observe_us(LABELLED_CALL_DURATION, (const char *const[]){provider->name, error_type}, tried->took_us);
    bool filtered = tried->end == TRIED_FAILED && tried->failure.http_status < 300 && strcmp(tried->error->code, "content_filter") == 0;
    if (tried->end == TRIED_FAILED && !filtered) /* there is no answer that could lack its usage */
        return;
    const char *const labels[] = {provider->name, model != NULL ? model : provider->model, tenant != NULL ? tenant : "none"};
    count_usage(LABELLED_INPUT_TOKENS, LABELLED_INPUT_UNKNOWN, labels, tried->usage.prompt_tokens);
    count_usage(LABELLED_OUTPUT_TOKENS, LABELLED_OUTPUT_UNKNOWN, labels, tried->usage.completion_tokens);
}
