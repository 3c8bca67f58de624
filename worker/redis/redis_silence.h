/* The error message for a Redis that doesn't answer. For our own time-out hiredis returns the kernel's text ("Resource
 * temporarily unavailable"), which contains neither what was waited for nor which setting bounds it. Pure; any thread. */
#ifndef CHAT_REDIS_REDIS_SILENCE_H
#define CHAT_REDIS_REDIS_SILENCE_H

#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct redis_wait {
    const char *address;
    const char *what;   /* the command, say; NULL: not to be named */
    bool connecting;    /* no command was sent yet */
    int64_t timeout_ms; /* redis.timeout_ms */
};

/* Fills *err, ERROR_UNAVAILABLE, for a context that has failed (NULL: there was no memory for one): "no answer in
 * redis.timeout_ms (2000 ms)" for our time-out, else hiredis' own text. Returns STATUS_FAILED. */
enum status redis_wait_failed(const struct redis_wait *wait, const redisContext *context, const char *code, struct error *err);
/* The error for our time-out, where the caller has detected it. */
enum status redis_wait_ran_out(const struct redis_wait *wait, const char *code, struct error *err);

#endif
