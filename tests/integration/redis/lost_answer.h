/* A call whose connection breaks between the request and the answer: the client's commands are caught, and may be
 * run later, long after the client's call has failed, or never. Nothing depends on chance or timing. */
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

/* Until catch_end, what conn's owner writes isn't sent, and it reads the end of the connection. */
void catch_begin(struct catcher *catcher, struct redis_conn *conn);
void catch_end(struct catcher *catcher, struct redis_conn *conn, struct caught *caught);

/* Sends the commands to Redis on another connection; passes their answers to see, in order, and nowhere else. */
void catch_deliver(const struct caught *caught, struct redis_conn *by, void (*see)(void *arg, size_t index, const redisReply *reply), void *arg);

#endif
