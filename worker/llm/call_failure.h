/* From how an HTTP call ended to the class of its failure: one rule for providers and context sources. Pure but for reading the
 * call; the thread that made it. */
#ifndef CHAT_LLM_CALL_FAILURE_H
#define CHAT_LLM_CALL_FAILURE_H

#include "http/http_call.h"
#include "llm/llm_client.h"

/* A call that brought no status, or not the whole answer: unavailable where the server had no chance (no connection, no name, no
 * TLS), permanent where it would be so again (bad_url, response_too_large, which names size_setting), else retriable. Returns
 * FAILED. */
enum status call_failure_unanswered(const struct http_call *call, const char *size_setting, struct error *err);

/* The same as a kind: gone where the server had no chance; an answer that can't be read or is too large; a time-out; else it broke
 * off. FAILURE_NONE: this process had no means for it. */
enum failure_kind call_failure_kind(const struct http_call *call);

/* Of a status alone, from 300: for those whose words are nobody's business. */
enum error_class call_failure_class(int http_status);

/* What a refusal's status and headers tell the retry rule. */
void call_failure_read_headers(const struct http_call *call, struct llm_failure *ret);
/* What the server said about trying again goes before what its status says. */
void call_failure_heed(const struct llm_failure *failure, struct error *err);

#endif
