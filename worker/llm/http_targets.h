/* The targets of the process's HTTP calls: the providers, by their index in settings.providers, then the context sources that
 * llm.contexts names. One pool holds them all, so that a thread has one client for all calls of its job. */
#ifndef CHAT_LLM_HTTP_TARGETS_H
#define CHAT_LLM_HTTP_TARGETS_H

#include "http/http_pool.h"
#include "settings/settings.h"

/* Once in the process, before threads. FAILED: permanent, an api_key that is no header value, a url, proxy or ca_file that can't be
 * used; fatal, libcurl can't start. The process ignores SIGPIPE. The owner frees it with http_pool_destroy, after all calling threads ended. */
enum status http_targets_pool(const struct settings *settings, struct http_pool **ret, struct error *err) MUST_CHECK;
/* Would http_targets_pool fail? Connects nowhere. */
enum status http_targets_check(const struct settings *settings, struct error *err) MUST_CHECK;

/* The target of a context source: its index in settings.contexts, below fetched_count. */
static inline size_t http_target_of_context(const struct settings *settings, size_t context)
{
    return settings->provider_count + context;
}

#endif
