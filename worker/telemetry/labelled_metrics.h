/* Metrics with labels: provider, model and tenant. Those without labels are in telemetry/metrics.h.
 *
 * Each family is described once, in LABELLED_METRICS. Names that begin with gen_ai are OpenTelemetry's, as Prometheus spells
 * them, and so are their labels. A series is made when it is first counted and stays until the process ends.
 *
 * Bounded: a label with values from outside (a job's tenant or its members, the model that an answer names) has at most LABEL_VALUES_MAX
 * values in the process, the first ones; all others count together as "other". A value's first LABEL_BYTES_MAX bytes
 * are used; control characters are printed as '?'. Any thread; one mutex, held for a look-up, or while they are printed. */
#ifndef CHAT_TELEMETRY_LABELLED_METRICS_H
#define CHAT_TELEMETRY_LABELLED_METRICS_H

#include <stdint.h>
#include <stdio.h>

#define LABEL_VALUES_MAX 100
#define LABEL_BYTES_MAX 64
#define LABELS_MAX 3

/*        id               name                                                  labels */
#define LABELLED_METRICS(M)                                                                                                             \
    M(PROVIDER_CALLS,      "chat_provider_calls_total", LABELLED_COUNTER,        ("provider", "outcome"),                                \
      "Calls of a provider by their end: good, failed, dropped (cut short; what they cost is unknown).")                                 \
    M(CALL_DURATION,       "gen_ai_client_operation_duration_seconds", LABELLED_SECONDS, ("gen_ai_provider_name", "error_type"),         \
      "How long calls took that weren't cut short; error_type is empty for good ones.")                                                  \
    M(INPUT_TOKENS,        "gen_ai_client_inference_usage_input_tokens_total", LABELLED_COUNTER,                                         \
      ("gen_ai_provider_name", "gen_ai_response_model", "tenant"), "Tokens of questions, where the provider said.")                      \
    M(OUTPUT_TOKENS,       "gen_ai_client_inference_usage_output_tokens_total", LABELLED_COUNTER,                                        \
      ("gen_ai_provider_name", "gen_ai_response_model", "tenant"), "Tokens of answers, where the provider said.")                        \
    M(INPUT_UNKNOWN,       "gen_ai_client_inference_usage_input_unknown_total", LABELLED_COUNTER,                                        \
      ("gen_ai_provider_name", "gen_ai_response_model", "tenant"), "Answers of which the provider didn't say the question's tokens.")    \
    M(OUTPUT_UNKNOWN,      "gen_ai_client_inference_usage_output_unknown_total", LABELLED_COUNTER,                                       \
      ("gen_ai_provider_name", "gen_ai_response_model", "tenant"), "Answers of which the provider didn't say the answer's tokens.")                \
    M(UNKNOWN_MEMBERS,     "chat_job_unknown_members_total", LABELLED_COUNTER,       ("member"),                                          \
      "Members of jobs that mean nothing here, by name; they were ignored.")

enum labelled_metric {
#define LABELLED_ENUM(id, name, type, labels, help) LABELLED_##id,
    LABELLED_METRICS(LABELLED_ENUM)
#undef LABELLED_ENUM
    LABELLED_COUNT
};

enum labelled_type { LABELLED_COUNTER, LABELLED_SECONDS /* a histogram, in OpenTelemetry's buckets */ };

/* values: one for each of the family's labels, in their order; NULL counts as "". Borrowed for the call. */
void labelled_add(enum labelled_metric metric, const char *const *values, int64_t by);
void labelled_observe_us(enum labelled_metric metric, const char *const *values, int64_t duration_us);

/* All series in Prometheus' text format 0.0.4; a family that has none is left out. */
void labelled_metrics_print(FILE *out);
/* Removes all series: for tests. */
void labelled_metrics_clear(void);

#endif
