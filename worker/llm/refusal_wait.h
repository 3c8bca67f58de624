/* How long a refusal asks to wait, where its body alone says so. Pure. The header's forms are retry_policy.h's. */
#ifndef CHAT_LLM_REFUSAL_WAIT_H
#define CHAT_LLM_REFUSAL_WAIT_H

#include <stddef.h>
#include <stdint.h>

#define REFUSAL_WAIT_S_MAX 1000000000 /* beyond it a number is none of seconds from now */

/* "12s", "6m0s", "1h2m3.5s", "250ms", "20" (seconds), as milliseconds; -1: it is none. */
int64_t refusal_wait_of(const char *text);
/* In a sentence: "try again in 6m0s", "retry after 20 seconds", "请在 3 秒后重试"; -1: none is told. */
int64_t refusal_wait_in_text(const char *text, size_t size);
/* A reset: a number as it stands, or a duration as seconds; -1: it is neither. */
int64_t refusal_reset_of(const char *text);
/* From now on, of what stands there: ms or s since 1970, or s from now; -1: none, or it has passed. */
int64_t refusal_reset_wait_ms(int64_t reset, int64_t now_wall_ms);

#endif
