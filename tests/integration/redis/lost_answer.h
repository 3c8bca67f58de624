/* A call whose connection dies between the request and the answer: what the client wrote is caught, and may be carried
 * out later, when the client has long heard of its failure, or never. Nothing is a matter of luck or of timing. */
#ifndef CHAT_TESTS_LOST_ANSWER_H
#define CHAT_TESTS_LOST_ANSWER_H

#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stddef.h>

#include "redis/redis_pool.h"

struct caught {
    char bytes[16384];
    size_t size;
};

struct catcher {
    int real_fd, far_end;
};

/* Until catch_end, what conn's owner writes goes nowhere, and it reads the end of the connection. */
void catch_begin(struct catcher *catcher, struct redis_conn *conn);
void catch_end(struct catcher *catcher, struct redis_conn *conn, struct caught *caught);

/* Redis gets the commands, by another connection; their answers are given to see, in order, and to nobody else. */
void catch_deliver(const struct caught *caught, struct redis_conn *by, void (*see)(void *arg, size_t index, const redisReply *reply), void *arg);

#endif
