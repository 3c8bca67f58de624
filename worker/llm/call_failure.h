/* The error class of a failed HTTP call: one rule for providers and context sources. Pure, except for reading the
 * call; on the thread that made it. */
#ifndef CHAT_LLM_CALL_FAILURE_H
#define CHAT_LLM_CALL_FAILURE_H

#include "http/http_call.h"
#include "llm/llm_client.h"

/* A call without a status, or with an incomplete answer: unavailable if the request didn't reach the server (no connection, no name, no
 * TLS), permanent if it would fail again (bad_url, response_too_large, which names size_setting), else retriable. Returns
 * FAILED. */
enum status call_failure_unanswered(const struct http_call *call, const char *size_setting, struct error *err);

/* The kind of such a failure: gone if the request didn't reach the server; an answer that can't be read or is too large; a time-out; else a
 * broken connection. FAILURE_NONE: this process lacked resources for the call. */
enum failure_kind call_failure_kind(const struct http_call *call);

/* By the status alone, from 300: for servers whose error text isn't read. */
enum error_class call_failure_class(int http_status);

/* Reads a refusal's status and headers for the retry rule. */
void call_failure_read_headers(const struct http_call *call, struct llm_failure *ret);
/* Corrects the class: the server's x-should-retry takes precedence over its status. */
void call_failure_heed(const struct llm_failure *failure, struct error *err);

#endif
