/* What a question's requests and deltas are made of: a part of the journey (journey_steps.h), as callbacks of struct llm_question, whose arg is a struct
 * request_parts. Thread: the job's. Nothing blocks. */
#ifndef CHAT_CHAT_REQUEST_PARTS_H
#define CHAT_CHAT_REQUEST_PARTS_H

#include "llm/llm_ask.h"
#include "quota/spending.h"
#include "task/service.h"
#include "task/task.h"

struct request_parts {
    const struct service *service;
    const struct task *task;
    const char *context; /* NULL: none */
    bool stream;
    int64_t seq, try; /* of the deltas */
    size_t full;      /* a provider that had no slot for a call; SIZE_MAX: none */
    size_t pending;   /* the provider whose take is made; its slot is taken */
    struct spending spending;
};

/* Are deltas of the answer wanted? */
bool request_is_streamed(const struct service *service, const struct task *task);
char *request_encode(const struct provider_settings *provider, size_t skipped, void *arg);
size_t request_turns_to_skip(const struct llm_failure *failure, size_t body_bytes, void *arg);
void request_send_delta(const struct llm_delta *new_text, void *arg);
/* PENDING: make parts->spending.take, then request_took says. */
enum llm_permit request_may_start(size_t provider, const char *body, void *arg);
bool request_took(struct request_parts *parts);
/* A thread's: blocks for the take. */
bool request_await_permit(void *arg);

#endif
