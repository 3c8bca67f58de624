/* Random sequences of begin, finish, release, renew by several clients, with lost answers, killed connections,
 * expired leases, lost scripts, dead holders and evicted keys, against a model in plain C.
 * Replay one: CHAT_TEST_SEED=N; more: CHAT_TEST_SEEDS=N. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "redis_fixture.h"
#include "session_model.h"

enum { STEPS = 400 };

static uint64_t seed, rng;
static int step;
static bool evicting;

static uint64_t next_random(void) /* splitmix64 */
{
    uint64_t z = rng += 0x9e3779b97f4a7c15U;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
}

static int below(int n)
{
    return (int)(next_random() % (uint64_t)n);
}

#define CHECK(cond, ...)                                                                                       \
    cr_assert(cond, "CHAT_TEST_SEED=%llu step %d: %s", (unsigned long long)seed, step, #cond)
#define CHECK_EQ(got, want)                                                                                    \
    do {                                                                                                       \
        long long got_ = (long long)(got), want_ = (long long)(want);                                          \
        cr_assert(got_ == want_, "CHAT_TEST_SEED=%llu step %d: %s is %lld, model says %lld",                  \
                  (unsigned long long)seed, step, #got, got_, want_);                                          \
    } while (0)

/* ---- the real ones ---- */

struct client {
    struct session_store_conf conf;
    struct redis_conn *conn;
    struct claim last[JOBS]; /* token empty: never begun */
    int fingerprint[JOBS], origin[JOBS];
};
static struct client clients[CLIENTS];

static void reconnect(struct client *c)
{
    redis_pool_give(fixture.pool, &c->conn, true);
    c->conn = fixture_take();
}

/* Weather around a call: runs it once or more, as a caller does whose answer may be lost. */
#define WITH_WEATHER(c, call)                                                                                  \
    do {                                                                                                       \
        struct error err_ = {0};                                                                               \
        int weather_ = below(8);                                                                               \
        if (weather_ == 0)                                                                                     \
            fixture_kill((c)->conn);                                                                           \
        if (weather_ == 1)                                                                                     \
            fixture_do("SCRIPT FLUSH");                                                                        \
        enum status status_ = (call);                                                                          \
        if (weather_ == 0) {                                                                                   \
            CHECK(status_ == STATUS_FAILED && err_.class == ERROR_UNAVAILABLE);                                \
            reconnect(c);                                                                                      \
            status_ = (call);                                                                                  \
        }                                                                                                      \
        CHECK(status_ == STATUS_OK);                                                                           \
    } while (0)

static void check_turns(const struct begin_op *op, int job)
{
    int s = session_of(job);
    int want = s < 0 ? 0 : history_count[s];
    if (s >= 0 && applied[job])
        want = history_find(s, job) < 0 ? 0 : history_find(s, job);
    CHECK_EQ(op->turn_count, want);
    for (int i = 0; i < want; i++) {
        char end[32];
        snprintf(end, sizeof end, "\"n\":%d}", history[s][i]);
        CHECK(strstr(op->turns[i], end));
    }
}

static void try_begin(int client, int job)
{
    struct client *c = &clients[client];
    struct claim *last = &c->last[job];
    bool again = *last->token && below(4) == 0; /* the caller never got the answer */
    int fingerprint = again ? c->fingerprint[job] : below(8) == 0;
    int origin = again ? c->origin[job] : below(WORDS);
    struct begin_op op = {.claim = {.session = session_name(job), .job_id = job_id(job)},
                          .fingerprint = words[fingerprint], .origin = words[origin]};
    if (again)
        strcpy(op.claim.token, last->token);
    else
        session_store_token(op.claim.token);
    if (below(10) == 0) { /* done, but the answer is lost: a repeat must find it so */
        WITH_WEATHER(c, session_store_begin(c->conn, &c->conf, &op, 1, &err_));
        begin_op_finish(&op);
        model_begin(client, job, op.claim.token, fingerprint, origin);
    }
    WITH_WEATHER(c, session_store_begin(c->conn, &c->conf, &op, 1, &err_));
    CHECK_EQ(op.error.class, ERROR_NONE);
    CHECK_EQ(op.state, model_begin(client, job, op.claim.token, fingerprint, origin));
    const struct record *r = &records[job];
    if (op.state == BEGIN_RUN) {
        CHECK_EQ(op.claim.claim_epoch, r->epoch);
        CHECK_EQ(op.fails, r->fails);
        CHECK_EQ(op.crashes, r->crashes);
        CHECK_EQ(op.first_failed_ms > 0, r->failed_once);
        check_turns(&op, job);
        *last = op.claim;
        c->fingerprint[job] = fingerprint;
        c->origin[job] = origin;
    } else if (op.state == BEGIN_DONE) {
        CHECK_EQ(op.end_state, r->state - OK);
        CHECK(op.reply && strcmp(op.reply, r->reply) == 0);
    } else if (op.state == BEGIN_BUSY) {
        CHECK_EQ(op.holder_is_self, r->holder == client);
        CHECK(strcmp(op.holder, clients[r->holder].conf.self.id) == 0);
        CHECK(op.busy_ms > 0 && op.busy_ms <= (r->holder == client ? c->conf.lease_ms : 10001));
    }
    begin_op_finish(&op);
}

static void try_finish(int client, int job)
{
    struct client *c = &clients[client];
    char reply[64], turn[128];
    snprintf(reply, sizeof reply, "{\"answer\":\"%d by %d\"}", step, client);
    const char *id = strcmp(job_id(job), "d\"\\") == 0 ? "d\\\"\\\\" : job_id(job);
    snprintf(turn, sizeof turn, "{\"job\":\"%s\",\"messages\":[],\"n\":%d}", id, job);
    struct finish_op op = {.claim = c->last[job], .end_state = (enum end_state)(below(6) > 1 ? 0 : 1 + below(2)),
                           .fingerprint = words[c->fingerprint[job]], .origin = words[c->origin[job]], .reply = reply};
    op.turn = op.end_state == END_OK ? turn : NULL;
    for (int times = 1 + (below(5) == 0); times > 0; times--) {
        WITH_WEATHER(c, session_store_finish(c->conn, &c->conf, &op, 1, NULL, 0, &err_));
        CHECK_EQ(op.error.class, ERROR_NONE);
        CHECK_EQ(op.state, model_finish(job, &op, c->fingerprint[job], c->origin[job]));
    }
}

static void try_release(int client, int job)
{
    struct client *c = &clients[client];
    struct release_op op = {.claim = c->last[job], .kind = below(2) ? RELEASE_RETRY : RELEASE_DROP};
    for (int times = 1 + (below(5) == 0); times > 0; times--) {
        WITH_WEATHER(c, session_store_release(c->conn, &c->conf, &op, 1, &err_));
        CHECK_EQ(op.error.class, ERROR_NONE);
        CHECK_EQ(op.held, model_release(job, &op));
        CHECK_EQ(op.fails, records[job].fails);
    }
}

static void try_renew(int client, int job)
{
    struct client *c = &clients[client];
    struct renew_op op = {.claim = c->last[job], .lease_ms = c->conf.lease_ms};
    WITH_WEATHER(c, session_store_renew(c->conn, &c->conf, &op, 1, &err_));
    CHECK_EQ(op.held, model_renew(job, op.claim.token));
}

/* The script's own encoding is tested elsewhere: here the keys are found by their pattern. */
static void key_of(int job, const char *kind, char *key, size_t size)
{
    static const char *const tags[SESSIONS] = {"plain", "%7Bwe%7D%3Aird %25%01"};
    static const char *const ids[JOBS] = {"a", "b%3A%7B%7D", "c%25", "d\"\\", "e", "f", "g", "%7B%7D"};
    int s = session_of(job);
    bool record = strcmp(kind, "job") == 0;
    snprintf(key, size, "%s:{%s}:%s%s%s", fixture.prefix, s < 0 ? ids[job] : tags[s], kind, record ? ":" : "",
             record ? ids[job] : "");
}

static void let_the_world_happen(int job)
{
    char key[160];
    int client = below(CLIENTS), what = below(evicting ? 5 : 3);
    key_of(job, what == 4 ? "applied" : "job", key, sizeof key);
    if (what == 0 && records[job].state == RUN) {
        fixture_do("HSET %s lease_until_ms 0", key);
        records[job].expired = true;
    } else if (what == 1) {
        fixture_do("DEL %s:alive:%s", fixture.prefix, clients[client].conf.self.id);
        alive[client] = false;
    } else if (what == 2) {
        WITH_WEATHER(&clients[client], session_store_heartbeat(clients[client].conn, &clients[client].conf, &err_));
        alive[client] = true;
    } else if (what == 3) {
        fixture_do("DEL %s", key);
        records[job] = (struct record){0};
    } else if (what == 4 && session_of(job) >= 0) {
        fixture_do("DEL %s", key);
        for (int i = 0; i < JOBS; i++)
            applied[i] = applied[i] && session_of(i) != session_of(job);
    }
}

static void one_turn_a_job(void)
{
    for (int s = 0; s < SESSIONS; s++)
        for (int i = 0; i < history_count[s]; i++)
            CHECK_EQ(history_find(s, history[s][i]), i);
}

static void run_sequence(void)
{
    memset(records, 0, sizeof records);
    memset(history_count, 0, sizeof history_count);
    memset(applied, 0, sizeof applied);
    evicting = below(2);
    for (int i = 0; i < CLIENTS; i++) {
        char id[16];
        snprintf(id, sizeof id, "inc-%d", i);
        clients[i] = (struct client){.conf = fixture_conf(id, i < 2 ? "pod-0" : NULL, 1000 + i), .conn = fixture_take()};
        clients[i].conf.history_turns_max = TURNS_MAX;
        struct error err;
        CHECK(session_store_heartbeat(clients[i].conn, &clients[i].conf, &err) == STATUS_OK);
        alive[i] = true;
    }
    for (step = 0; step < STEPS; step++) {
        int client = below(CLIENTS), job = below(JOBS), what = below(10);
        bool begun = *clients[client].last[job].token;
        if (what < 4 || !begun)
            try_begin(client, job);
        else if (what < 5)
            try_finish(client, job);
        else if (what < 7)
            try_release(client, job);
        else if (what < 8)
            try_renew(client, job);
        else
            let_the_world_happen(job);
        if (!evicting)
            one_turn_a_job();
    }
    for (int i = 0; i < CLIENTS; i++)
        fixture_give(clients[i].conn);
}

Test(session_model, random_sequences, .init = fixture_start, .fini = fixture_stop, .timeout = 120)
{
    const char *fixed = getenv("CHAT_TEST_SEED"), *count = getenv("CHAT_TEST_SEEDS");
    int runs = fixed ? 1 : count ? atoi(count) : 25;
    uint64_t first = fixed ? strtoull(fixed, NULL, 10) : (uint64_t)clock_wall_ms();
    char prefix[40];
    snprintf(prefix, sizeof prefix, "%.38s", fixture.prefix);
    for (int i = 0; i < runs; i++) {
        seed = rng = first + (uint64_t)i;
        snprintf(fixture.prefix, sizeof fixture.prefix, "%s-%d", prefix, i);
        run_sequence();
    }
    fprintf(stderr, "%d sequences of %d steps, seeds from %llu\n", runs, STEPS, (unsigned long long)first);
}
