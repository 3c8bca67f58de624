#include "lost_answer.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

void catch_begin(struct catcher *catcher, struct redis_conn *conn)
{
    int pair[2];
    cr_assert(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    cr_assert(shutdown(pair[1], SHUT_WR) == 0);
    *catcher = (struct catcher){.real_fd = conn->context->fd, .far_end = pair[1]};
    conn->context->fd = pair[0];
}

void catch_end(struct catcher *catcher, struct redis_conn *conn, struct caught *caught)
{
    close(conn->context->fd);
    conn->context->fd = catcher->real_fd;
    caught->size = 0;
    for (;;) {
        ssize_t got = read(catcher->far_end, caught->bytes + caught->size, sizeof caught->bytes - caught->size);
        cr_assert(got >= 0 && caught->size + (size_t)got < sizeof caught->bytes);
        if (got == 0)
            break;
        caught->size += (size_t)got;
    }
    close(catcher->far_end);
}

/* Commands as hiredis writes them: *N, then N times $SIZE and so many bytes. */
static size_t count_commands(const struct caught *caught)
{
    size_t commands = 0;
    for (const char *at = caught->bytes; at < caught->bytes + caught->size; commands++) {
        cr_assert(*at == '*');
        long words = strtol(at + 1, (char **)(uintptr_t)&at, 10);
        for (at += 2; words > 0; words--) {
            cr_assert(*at == '$');
            long size = strtol(at + 1, (char **)(uintptr_t)&at, 10);
            at += 2 + size + 2;
        }
    }
    return commands;
}

void catch_deliver(const struct caught *caught, struct redis_conn *by, void (*see)(void *arg, size_t index, const redisReply *reply), void *arg)
{
    cr_assert(write(by->context->fd, caught->bytes, caught->size) == (ssize_t)caught->size);
    size_t commands = count_commands(caught);
    for (size_t i = 0; i < commands; i++) {
        redisReply *reply = NULL;
        cr_assert(redisGetReply(by->context, (void **)&reply) == REDIS_OK && reply);
        see(arg, i, reply);
        freeReplyObject(reply);
    }
}
