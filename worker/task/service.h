/* Objects that the threads of one worker share: made and freed by service/process.c in this order, read-only in between. */
#ifndef CHAT_TASK_SERVICE_H
#define CHAT_TASK_SERVICE_H

#include "llm/llm_client.h"
#include "llm/provider_slots.h"
#include "llm/provider_times.h"
#include "redis/redis_pool.h"
#include "redis/session_store.h"
#include "settings/settings.h"

struct dispatcher;
struct held_claims;
struct breakers;
struct completion;
struct crash_notes;
struct publisher;
struct http_pool;
struct delta_publisher;
struct engine;
struct take_line;

struct service {
    const struct settings *settings;
    struct session_store_conf store;
    struct redis_pool *redis;
    struct http_pool *http; /* for all calls to providers and context sources */
    struct llm_client *llm;
    struct provider_slots *slots;
    struct provider_times *times;
    struct take_line *takes; /* NULL: each thread makes its own takes, or nothing is limited */
    struct dispatcher *dispatcher;
    struct held_claims *claims;
    struct breakers *breakers;
    struct publisher *publisher;
    struct delta_publisher *deltas;
    struct completion *completion;
    struct engine *engine;
    int jobs_partitions; /* of the jobs' topic, when the worker started */
    struct crash_notes *notes; /* NULL: none are written */
};

#endif
