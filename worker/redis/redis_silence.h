/* What is said of a Redis that says nothing. hiredis passes on the kernel's words for a time-out that is ours ("Resource
 * temporarily unavailable"), which tell an operator neither what was waited for nor which setting bounds it. Pure; any thread. */
#ifndef CHAT_REDIS_REDIS_SILENCE_H
#define CHAT_REDIS_REDIS_SILENCE_H

#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct redis_wait {
    const char *address;
    const char *what;   /* the command, say; NULL: of no interest */
    bool connecting;    /* nothing was asked yet */
    int64_t timeout_ms; /* redis.timeout_ms */
};

/* Fills *err, ERROR_UNAVAILABLE, for a context that has failed (NULL: there was no memory for one): "no answer in
 * redis.timeout_ms (2000 ms)" where that was it, else hiredis' own words. Returns STATUS_FAILED. */
enum status redis_wait_failed(const struct redis_wait *wait, const redisContext *context, const char *code, struct error *err);
/* The same where the caller knows that the time has run out. */
enum status redis_wait_ran_out(const struct redis_wait *wait, const char *code, struct error *err);

#endif
