/* All settings, typed. Filled by settings_load from one table (settings_table.c) that describes each
 * setting once: name, type, unit, range, default, prose. Read-only once the threads run. */
#ifndef CHAT_SETTINGS_SETTINGS_H
#define CHAT_SETTINGS_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/error.h"
#include "base/kafka_names.h"
#include "base/log.h"
#include "settings/provider_headers.h"

enum ordering { ORDERING_KEY, ORDERING_PARTITION, ORDERING_NONE };
enum delivery { DELIVERY_AT_LEAST_ONCE, DELIVERY_EXACTLY_ONCE };
enum engine_choice { ENGINE_THREADS, ENGINE_LOOP };
enum redis_io { REDIS_IO_BATCHED, REDIS_IO_PER_THREAD };
enum strategy { STRATEGY_SEQUENTIAL, STRATEGY_HEDGE, STRATEGY_RACE };
enum context_fetch { CONTEXT_TOGETHER, CONTEXT_IN_TURN };
enum context_kind { CONTEXT_TEXT, CONTEXT_MODERATION };
enum context_send { CONTEXT_SEND_NOTHING, CONTEXT_SEND_INPUT, CONTEXT_SEND_MESSAGES };
enum context_need { CONTEXT_OPTIONAL, CONTEXT_REQUIRED };
enum stream { STREAM_ASKED, STREAM_ALWAYS, STREAM_NEVER };
enum stream_usage { STREAM_USAGE_ASKED, STREAM_USAGE_LEFT_OUT };
enum in_flight { IN_FLIGHT_ADAPTIVE, IN_FLIGHT_FIXED };
enum auth { AUTH_BEARER, AUTH_API_KEY, AUTH_NONE };

/* A librdkafka property, passed on unchanged. */
struct kafka_property {
    char *name;
    char *value;
    char *where; /* "FILE:LINE", "CHATW__...", "-X kafka.NAME" */
};

/* One each [provider.NAME]. */
struct provider_settings {
    char *name;
    char *url; /* base, ends in …/v1, no trailing slash */
    char *model;
    char *api_key; /* NULL: none */
    char *api_version; /* NULL: none */
    enum auth auth;
    int64_t attempt_timeout_ms;
    int64_t connect_timeout_ms;
    int64_t first_token_timeout_ms, idle_timeout_ms; /* of streams; 0: none */
    enum stream stream; /* are its answers streamed; ASKED: as the job wants it */
    enum stream_usage stream_usage;
    int64_t requests_per_minute, tokens_per_minute; /* of all workers together; 0: no limit */
    int64_t burst_ms;
    enum in_flight in_flight; /* does the limit of calls in flight follow overload answers? */
    int64_t in_flight_max;    /* of this process; 0: none */
    char *params; /* JSON object text, or NULL */
    char *headers; /* JSON object text, or NULL */
    struct provider_header *sent_headers; /* headers, decoded; NULL: none */
    char *proxy;  /* NULL or "none"; "environment"; a URL */
    char *ca_file; /* NULL: the system's authorities */
};

/* One each [context.NAME]: where a text for the prompt, or a verdict on the job, is fetched. */
struct context_settings {
    char *name;
    char *url; /* with {session}, {user}, {job} behind the host */
    enum context_kind kind;
    enum context_send send; /* which part of the job is sent in the request's body */
    enum context_need required;
    int64_t timeout_ms;
    int64_t bytes_max;
    char *api_key; /* NULL: none */
    char *proxy, *ca_file; /* as a provider's */
};

#define PROVIDERS_MAX 8
#define CONTEXTS_MAX 16
#define LOOPS_MAX 64
#define HEDGE_AUTO (-1)
#define KAFKA_TRANSACTION_TIMEOUT_MS 10000 /* unless kafka.transaction.timeout.ms is set */

struct settings {
    struct {
        char *bootstrap_servers; /* never in properties; "embedded": our own in-memory cluster */
        char *group_id;
        char *group_instance_id; /* NULL: dynamic membership */
        struct kafka_property *properties;
        size_t property_count;
    } kafka;
    struct {
        enum engine_choice engine;
        int64_t threads;
        int64_t loops, in_flight, calls_per_shard; /* the loop engine's; jobs at once in either: settings_jobs_at_once */
        char *jobs_topic;
        char *replies_topic;
        char *dead_topic;
        char *control_topic; /* NULL: none is read */
        char *deltas_topic;
        char **reply_topics_allowed; /* NULL-terminated */
        enum ordering ordering;
        enum delivery delivery;
        int64_t transaction_jobs_max; /* this and the next, exactly-once only: ends in a transaction, and how long it waits for more */
        int64_t transaction_ms;
        enum redis_io redis_io;
        int64_t buffered_jobs_max;
        int64_t buffered_bytes_max;
        int64_t job_bytes_max;
        int64_t drain_timeout_ms;
        int64_t close_timeout_ms;
        int64_t startup_wait_ms;
        int64_t revoke_drain_ms;
        int64_t commit_interval_ms;
        int64_t stuck_after_ms;
        int64_t gather_ms; /* how long finishes may wait to be batched; half as long: records */
        char *crash_file;  /* NULL: none */
    } worker;
    struct {
        char *url;
        char *key_prefix;
        int64_t pool_size;
        int64_t timeout_ms;
        int64_t history_turns_max;
        int64_t session_ttl_s;
        int64_t reply_ttl_s;
        int64_t lease_ms;
    } redis;
    struct {
        char **providers; /* names in order, NULL-terminated */
        enum strategy strategy;
        enum stream stream;
        int64_t hedge_after_ms;  /* HEDGE_AUTO: at the live p95 */
        char *overflow_provider; /* names; NULL: none */
        char *filter_provider;
        int64_t deadline_ms;
        char *system_prompt;     /* NULL: none */
        char **contexts;         /* names in order, NULL-terminated */
        enum context_fetch context_fetch;
        char *context_prompt;    /* with {NAME} for the text of each; NULL: texts one below the other */
        char **models_allowed;   /* NULL-terminated */
        int64_t history_bytes_max;
        int64_t response_bytes_max;
        int64_t max_tokens_max;        /* of a job; 0: none */
        char *tenant_member;           /* of a job's metadata */
        int64_t tenant_tokens_per_day; /* 0: no limit */
    } llm;
    struct provider_settings *providers; /* one each [provider.NAME]: those of llm.providers in their order, then others */
    size_t provider_count;
    size_t asked_count; /* of llm.providers */
    struct context_settings *contexts; /* one each [context.NAME]: those of llm.contexts in their order, then others */
    size_t context_count;
    size_t fetched_count; /* of llm.contexts */
    struct {
        int64_t attempts_max;
        int64_t backoff_ms;
        int64_t backoff_max_ms;
    } retry;
    struct {
        char *listen;    /* host:port */
        char *port_file; /* NULL: none; the bound port is written here (for listen = …:0) */
        char *token;     /* NULL: none */
    } admin;
    struct {
        enum log_level level;
        enum log_format format;
    } log;
};

/* Where settings come from; later ones take precedence: file, environment (CHATW__SECTION__KEY), overrides. */
struct settings_sources {
    const char *file;             /* NULL: none */
    char *const *environment;     /* NULL-terminated "NAME=value", or NULL */
    const char *const *overrides; /* NULL-terminated "section.key=value", or NULL */
    const struct kafka_names *kafka_names; /* NULL: names of properties aren't checked */
};

/* Loads settings, checks ranges and rules across settings, reads the *_file twins. On STATUS_FAILED *err
 * names the source (file and line, variable or -X), the key and valid values; *ret needn't be freed. */
enum status settings_load(const struct settings_sources *sources, struct settings **ret, struct error *err) MUST_CHECK;
void settings_destroy(struct settings *settings); /* NULL is fine */

/* All derived from the table: effective settings as INI with secrets masked; the --help section; the page
 * docs/configuration.md; an example config file. */
void settings_print(const struct settings *settings, FILE *out);
void settings_print_help(FILE *out);
void settings_print_markdown(FILE *out);
void settings_print_example(FILE *out);
void settings_print_man(FILE *out); /* chat-worker.ini(5), but for its first line */

/* The value set for a librdkafka property that is passed on unchanged, or NULL. */
const char *settings_kafka_property(const struct settings *settings, const char *name);

#define FEW_JOBS 64 /* with no more alive, or at once, it gains nothing that one waits for others */

/* How many jobs this worker runs at once: a thread each, or a slot of its event loops. */
static inline int64_t settings_jobs_at_once(const struct settings *settings)
{
    return settings->worker.engine == ENGINE_LOOP ? settings->worker.in_flight : settings->worker.threads;
}

#endif
