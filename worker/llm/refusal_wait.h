/* How long a refusal asks to wait, where only its body contains that. Pure. The header's forms are retry_policy.h's. */
#ifndef CHAT_LLM_REFUSAL_WAIT_H
#define CHAT_LLM_REFUSAL_WAIT_H

#include <stddef.h>
#include <stdint.h>

#define REFUSAL_WAIT_S_MAX 1000000000 /* a larger number isn't seconds from now */

/* "12s", "6m0s", "1h2m3.5s", "250ms", "20" (seconds), as milliseconds; -1: not a duration. */
int64_t refusal_wait_of(const char *text);
/* In a sentence: "try again in 6m0s", "retry after 20 seconds", "请在 3 秒后重试"; -1: none. */
int64_t refusal_wait_in_text(const char *text, size_t size);
/* A reset: a number unconverted, or a duration as seconds; -1: neither. */
int64_t refusal_reset_of(const char *text);
/* The wait from now, of a reset in ms or s since 1970, or s from now; -1: none, or it has passed. */
int64_t refusal_reset_wait_ms(int64_t reset, int64_t now_wall_ms);

#endif
