/* Sends one question to one provider, as the worker does: for tests that play the provider. */
#ifndef CHAT_TESTS_ASK_ONE_H
#define CHAT_TESTS_ASK_ONE_H

#include <string.h>

#include "base/alloc.h"
#include "llm/llm_ask.h"

struct asker {
    const struct settings *settings; /* of one provider */
    struct llm_client *client;
    struct http_pool *pool;
    struct provider_slots *slots;
    struct provider_times *times;
    struct http_cancel *cancel;
    const char *body;
};

static inline char *ask_one_body(const struct provider_settings *provider, size_t skipped, void *arg)
{
    (void)provider;
    (void)skipped;
    return xstrdup(arg);
}

static inline size_t ask_one_skip(const struct llm_failure *failure, size_t body_bytes, void *arg)
{
    (void)failure;
    (void)body_bytes;
    (void)arg;
    return 0;
}

static inline enum status ask_one(const struct asker *asker, int64_t until_ms, struct llm_answer *ret_answer, struct llm_failure *ret_failure,
                                  struct error *err)
{
    static const size_t first = 0;
    struct llm_outcome outcome;
    struct llm_question question = {.settings = asker->settings, .client = asker->client, .pool = asker->pool, .slots = asker->slots, .times = asker->times, .cancel = asker->cancel,
                                    .candidates = &first, .count = 1, .until_ms = until_ms, .encode = ask_one_body, .skip = ask_one_skip,
                                    .arg = (void *)(uintptr_t)asker->body};
    enum status status = llm_ask(&question, ret_answer, &outcome, err);
    *ret_failure = outcome.tried_count > 0 ? outcome.tried[outcome.reported].failure : (struct llm_failure){.retry_after_ms = -1, .should_retry = -1};
    llm_outcome_finish(&outcome);
    return status;
}

#endif
