#include "redis/redis_silence.h"

#include <errno.h>
#include <string.h>

static bool says(const redisContext *context, int number)
{
    return strstr(context->errstr, strerror(number)) != NULL;
}

/* While connecting hiredis polls and returns ETIMEDOUT; then EAGAIN is a unix socket's full queue. Later a socket's time-out is EAGAIN, and ETIMEDOUT is
 * the kernel's keep-alive: not our time-out. */
static bool ran_out(const struct redis_wait *wait, const redisContext *context)
{
    return says(context, wait->connecting ? ETIMEDOUT : EAGAIN);
}

enum status redis_wait_failed(const struct redis_wait *wait, const redisContext *context, const char *code, struct error *err)
{
    if (context != NULL && ran_out(wait, context))
        return redis_wait_ran_out(wait, code, err);
    return error_set(err, ERROR_UNAVAILABLE, code, "Redis %s%s%s: %s", wait->address, wait->what ? ", " : "", wait->what ? wait->what : "",
                     context != NULL ? context->errstr : "out of memory");
}

enum status redis_wait_ran_out(const struct redis_wait *wait, const char *code, struct error *err)
{
    return error_set(err, ERROR_UNAVAILABLE, code, "Redis %s%s%s: no %s in redis.timeout_ms (%lld ms)", wait->address, wait->what ? ", " : "",
                     wait->what ? wait->what : "", wait->connecting ? "connection" : "answer", (long long)wait->timeout_ms);
}
