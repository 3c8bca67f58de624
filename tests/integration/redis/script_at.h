/* Runs a script at a time chosen by the test: its text, with Redis' clock replaced. So the effect of hours is tested at once,
 * and to the microsecond. */
#ifndef CHAT_TESTS_SCRIPT_AT_H
#define CHAT_TESTS_SCRIPT_AT_H

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "redis/redis_script.h"
#include "redis_fixture.h"

/* The script's text with the clock fixed at now_us. Freed by the caller. */
static inline char *script_stopped_at(const char *body, int64_t now_us)
{
    static const char clock[] = "redis.call('TIME')";
    const char *at = strstr(body, clock);
    cr_assert(at && strstr(at + 1, clock) == NULL, "the script asks once for the time");
    char *text = NULL;
    cr_assert(asprintf(&text, "%.*s{'%" PRId64 "', '%" PRId64 "'}%s", (int)(at - body), body, now_us / 1000000,
                       now_us % 1000000, at + sizeof clock - 1) > 0);
    return text;
}

/* Keys and arguments are in args, as a call's fill leaves them. The caller frees the reply; an error reply, too. */
static inline redisReply *script_at(const char *body, int64_t now_us, const struct redis_args *call)
{
    char *text = script_stopped_at(body, now_us);
    const char *values[REDIS_ARGS_MAX + 2] = {"EVAL", text};
    size_t sizes[REDIS_ARGS_MAX + 2] = {4, strlen(text)};
    memcpy(values + 2, call->value, (size_t)call->count * sizeof *values);
    memcpy(sizes + 2, call->size, (size_t)call->count * sizeof *sizes);
    redisReply *reply = redisCommandArgv(fixture.admin->context, call->count + 2, values, sizes);
    cr_assert(reply, "%s", fixture.admin->context->errstr);
    free(text);
    return reply;
}

#endif
