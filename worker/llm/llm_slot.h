/* Call slots: what one HTTP call at a time needs (a curl multi and easy handle, the response so far), lent
 * last-in-first-out, so that the hottest connection is used again and the others age out.
 *
 * A slot belongs to one provider: its address, headers and options are set once, and a call changes only the
 * body. A multi of its own is what lets another thread end the call at once (curl_easy_perform looks up only
 * once a second). Each slot keeps one connection: connections can't be shared across threads, the DNS cache
 * and TLS sessions are. Any thread; a lent slot is the borrower's alone. */
#ifndef CHAT_LLM_LLM_SLOT_H
#define CHAT_LLM_LLM_SLOT_H

#include <curl/curl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/settings.h"

struct llm_endpoint;

struct llm_slot {
    CURLM *multi;
    CURL *easy;
    struct llm_endpoint *endpoint;
    struct llm_slot *hotter; /* the pool's, while idle */
    struct llm_slot *colder;
    int64_t idle_since_ms;

    /* The response; valid from llm_slot_take to llm_slot_give. */
    char *body; /* NULL until data arrives: thousands of calls wait without it */
    size_t body_size;
    size_t body_capacity;
    size_t body_bytes_max;
    bool body_too_large;
    char retry_after_ms[32]; /* header values; empty: absent */
    char retry_after[48];
    int should_retry;             /* 0, 1; -1: the header is absent */
    char problem[CURL_ERROR_SIZE]; /* curl's words; empty: none */
};

struct llm_slot_pool;

/* Makes a slot for each thread (worker.threads) for the first provider: two descriptors each. */
enum status llm_slot_pool_create(const struct settings *settings, struct llm_slot_pool **ret, struct error *err)
    MUST_CHECK;
void llm_slot_pool_destroy(struct llm_slot_pool *pool); /* all slots back; NULL is fine */

/* provider: one of the settings the pool was created with. FAILED: unavailable `no_resources` (descriptors). */
enum status llm_slot_take(struct llm_slot_pool *pool, const struct provider_settings *provider,
                          struct llm_slot **ret, struct error *err) MUST_CHECK;
/* Frees the response; closes slots idle for too long. broken: this one too. */
void llm_slot_give(struct llm_slot_pool *pool, struct llm_slot **slot, bool broken);

#endif
