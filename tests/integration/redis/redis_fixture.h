/* A Redis for one test: a private server (redis-server, or the program that CHAT_REDIS_SERVER names) on a unix socket in a
 * folder of its own, or the one that CHAT_TEST_REDIS_URL names (then under a random key prefix). Fails the test on errors. */
#ifndef CHAT_TESTS_REDIS_FIXTURE_H
#define CHAT_TESTS_REDIS_FIXTURE_H

#include <hiredis/hiredis.h>
#include <stdint.h>

#include "redis/redis_pool.h"
#include "redis/session_store.h"

struct redis_fixture {
    char url[128];
    char prefix[64];
    struct redis_pool *pool;
    struct redis_conn *admin; /* for checks, kills, and passing time */
};

extern struct redis_fixture fixture;

void fixture_start(void);
void fixture_stop(void);

struct redis_conn *fixture_take(void);
void fixture_give(struct redis_conn *conn);
struct session_store_conf fixture_conf(const char *incarnation, const char *instance, int64_t started_ms);

/* A command by the admin connection; fails the test on an error reply. The reply is valid until the next call. */
const redisReply *fixture_do(const char *format, ...);
int64_t fixture_int(const char *format, ...);
/* The server closes conn; returns when it has. */
void fixture_kill(struct redis_conn *conn);
/* A second server, for failovers; false with CHAT_TEST_REDIS_URL. */
bool fixture_replica_start(void);
void fixture_replica_follow(void); /* it replicates the present server */
/* The replica has all writes until now, and gets no more: later ones are acknowledged and will be lost. */
void fixture_replica_cut(void);
/* The replica is the server from now on: pool, admin and url are its. */
void fixture_failover(void);
/* Waits until Redis' own clock has passed ms from now; at most 5 s. */
void fixture_wait_redis_ms(int64_t ms);

#endif
