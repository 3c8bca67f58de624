/* Stress test of the protocol's scripts: random sequences of begin, finish, release, renew, cancel and heartbeat by several clients,
 * alone and in batches, with killed connections, lost and late answers, expired leases, holders that lost their claim and continue,
 * dead holders, newer incarnations, replays, cancels, lost scripts, evicted keys, and failovers to a replica that lacks the last
 * writes; against a model in plain C, and against a witness that knows only the answers.
 * Replay one: CHAT_TEST_SEED=N; more: CHAT_TEST_SEEDS=N. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "lost_answer.h"
#include "redis_fixture.h"
#include "session_model.h"
#include "session_witness.h"

enum { SEQUENCES = 200, STEPS = 300, LOOK_EVERY = 60, BATCH = 3, CLAIMS = 3, LATE = 6 };

static uint64_t seed, rng;
static int step;
static bool evicting, has_replica;

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

static bool one_in(int n)
{
    return below(n) == 0;
}

#define CHECK(cond) cr_assert(cond, "CHAT_TEST_SEED=%llu step %d: %s", (unsigned long long)seed, step, #cond)
#define CHECK_EQ(got, want)                                                                                    \
    do {                                                                                                       \
        long long got_ = (long long)(got), want_ = (long long)(want);                                          \
        cr_assert(got_ == want_, "CHAT_TEST_SEED=%llu step %d: %s is %lld, the model says %lld",               \
                  (unsigned long long)seed, step, #got, got_, want_);                                          \
    } while (0)
#define SAW(what)                                                                                              \
    do {                                                                                                       \
        const char *wrong_ = (what);                                                                           \
        cr_assert(wrong_ == NULL, "CHAT_TEST_SEED=%llu step %d: %s", (unsigned long long)seed, step, wrong_);  \
    } while (0)

/* ---- clients and their claims ---- */

struct held {
    struct claim claim; /* token empty: none */
    int fingerprint, origin;
    int64_t crashes_max;
    bool known;    /* begin returned RUN: only then may it be ended */
    bool released; /* then never begun again */
    bool ended;    /* its end is fixed: a repeat has the same */
    enum end_state end;
    char reply[96], turn[160];
};

struct client {
    int index;
    struct session_store_conf conf;
    struct redis_conn *conn;
    struct held held[JOBS][CLAIMS]; /* the newest first; the others are of holders that were stopped, and continue */
};
static struct client clients[CLIENTS];

static const char *const words[] = {"one", "two"};

static const char *session_name(int job)
{
    static const char *const names[SESSIONS] = {"plain", "{we}:ird %\x01"};
    return session_of(job) < 0 ? NULL : names[session_of(job)];
}

static const char *job_id(int job)
{
    static const char *const ids[JOBS] = {"a", "b:{}", "c%", "d\"\\", "e", "f", "g", "{}"};
    return ids[job];
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

static struct held *held_find(struct client *c, int job, const char *token)
{
    for (int i = 0; i < CLAIMS; i++)
        if (strcmp(c->held[job][i].claim.token, token) == 0)
            return &c->held[job][i];
    return NULL;
}

static void held_add(struct client *c, int job, const struct held *held)
{
    memmove(&c->held[job][1], &c->held[job][0], (CLAIMS - 1) * sizeof *held);
    c->held[job][0] = *held;
}

static struct held *held_any(struct client *c, int job)
{
    struct held *held = &c->held[job][one_in(3) ? below(CLAIMS) : 0];
    return held->known ? held : NULL;
}

/* ---- one move: one client's operation on one job ---- */

enum kind { BEGIN, FINISH, RELEASE, RENEW, CANCEL };

struct move {
    enum kind kind;
    int job;
    enum release_kind release;
    struct held held;
};

/* One call: moves of a kind, or ends and their followers' begins. */
struct call {
    int client, n;
    struct move moves[2 * BATCH];
    struct caught caught; /* when its answer is lost */
};

static void check_turns(const struct begin_op *op, int job)
{
    int s = session_of(job);
    int want = s < 0 ? 0 : model.history_count[s];
    if (s >= 0 && is_applied(job))
        want = history_find(s, job) < 0 ? 0 : history_find(s, job);
    CHECK_EQ(op->turn_count, want);
    for (int i = 0; i < want; i++)
        CHECK(strstr(op->turns[i], model.history[s][i].token));
}

/* heard: the client got the answer. Else only the test has it, and only of a begin's first round. */
static void begin_answered(struct client *c, const struct move *move, const struct begin_op *op, bool heard)
{
    const struct record *r = &model.records[move->job];
    const struct held *held = &move->held;
    CHECK_EQ(op->state, model_begin(c->index, move->job, held->claim.token, held->fingerprint, held->origin, held->crashes_max, heard));
    struct held *own = held_find(c, move->job, held->claim.token);
    switch (op->state) {
    case BEGIN_RUN:
        SAW(saw_run(move->job, held->claim.token, op->claim.claim_epoch, op->fails, held->fingerprint));
        CHECK_EQ(op->claim.claim_epoch, r->epoch);
        CHECK_EQ(op->fails, r->fails);
        CHECK_EQ(op->crashes, r->crashes);
        CHECK_EQ(op->first_failed_ms > 0, r->failed_once);
        if (heard)
            check_turns(op, move->job);
        if (heard && own) {
            own->known = true;
            own->claim.claim_epoch = op->claim.claim_epoch;
        }
        break;
    case BEGIN_DONE:
        SAW(saw_done(move->job, op->end_state, op->reply));
        CHECK_EQ(op->end_state, r->state - OK);
        CHECK(op->reply && strcmp(op->reply, r->reply) == 0);
        break;
    case BEGIN_BUSY:
        CHECK_EQ(op->holder_is_self, r->holder == c->index);
        CHECK(strcmp(op->holder, clients[r->holder].conf.self.id) == 0);
        CHECK(op->busy_ms > 0 && op->busy_ms <= c->conf.lease_ms + 1);
        break;
    case BEGIN_SUSPECT:
        SAW(saw_suspect(move->job));
        CHECK_EQ(op->crashes, r->crashes);
        CHECK(op->crashes > held->crashes_max);
        break;
    case BEGIN_CONFLICT:
        SAW(saw_conflict(move->job, held->fingerprint));
        break;
    }
}

static void finish_answered(struct client *c, const struct move *move, enum finish_state state, bool heard)
{
    const struct held *held = &move->held;
    const struct testimony *t = &witness.jobs[move->job];
    CHECK_EQ(state, model_finish(move->job, &held->claim, held->end, held->reply, held->fingerprint, held->origin));
    /* A late answer to a finish of an ended job is a repeat's: no client gets it. */
    if (state == FINISH_DONE && (heard || !(t->ok || t->bad)))
        SAW(saw_finish(move->job, &held->claim, held->end, held->reply, held->fingerprint, held->end == END_OK));
    struct held *own = held_find(c, move->job, held->claim.token);
    if (heard && own && state == FINISH_CANCELLED) {
        own->end = END_CANCELLED;
        strcpy(own->reply, "{\"cancelled\":true}");
    }
}

static void release_answered(struct client *c, const struct move *move, bool was_held, int64_t fails)
{
    const char *token = move->held.claim.token;
    CHECK_EQ(was_held, model_release(move->job, token, move->release));
    CHECK_EQ(fails, model.records[move->job].fails);
    SAW(saw_release(move->job, token, move->release, was_held, fails));
    struct held *own = held_find(c, move->job, token);
    if (own)
        own->released = true;
}

static void renew_answered(const struct move *move, bool was_held)
{
    CHECK_EQ(was_held, model_renew(move->job, move->held.claim.token));
    SAW(saw_renew(move->job, move->held.claim.token, was_held));
}

static void cancel_answered(const struct client *c, const struct move *move, const struct cancel_op *op)
{
    const struct held *held = &move->held;
    const struct record *r = &model.records[move->job];
    CHECK_EQ(op->state, model_cancel(move->job, held->claim.token, held->reply, held->fingerprint, held->origin));
    if (op->state == CANCEL_ENDED) {
        SAW(saw_cancel(move->job, held->claim.token, held->reply, held->fingerprint));
    } else if (op->state == CANCEL_DONE) {
        SAW(saw_done(move->job, op->end_state, op->stored));
        CHECK_EQ(op->end_state, r->state - OK);
        CHECK(op->stored && strcmp(op->stored, r->reply) == 0);
    } else if (op->state == CANCEL_REQUESTED) {
        CHECK(op->busy_ms > 0 && op->busy_ms <= c->conf.lease_ms + 1);
    }
}

/* ---- the call itself ---- */

struct ops {
    struct begin_op begins[BATCH];
    struct finish_op finishes[BATCH];
    struct release_op releases[BATCH];
    struct renew_op renews[BATCH];
    struct cancel_op cancels[BATCH];
    size_t begin_count, finish_count, release_count, renew_count, cancel_count;
};

static void fill(struct ops *ops, const struct client *c, const struct call *call)
{
    *ops = (struct ops){0};
    for (const struct move *move = call->moves; move < call->moves + call->n; move++) {
        struct claim claim = move->held.claim;
        claim.session = session_name(move->job);
        claim.job_id = job_id(move->job);
        const char *fingerprint = words[move->held.fingerprint], *origin = words[move->held.origin];
        switch (move->kind) {
        case BEGIN:
            ops->begins[ops->begin_count++] = (struct begin_op){.claim = claim, .fingerprint = fingerprint, .origin = origin, .crashes_max = move->held.crashes_max};
            break;
        case FINISH:
            ops->finishes[ops->finish_count++] =
                (struct finish_op){.claim = claim, .end_state = move->held.end, .fingerprint = fingerprint, .origin = origin,
                                   .reply = move->held.reply, .turn = move->held.end == END_OK ? move->held.turn : NULL};
            break;
        case RELEASE:
            ops->releases[ops->release_count++] = (struct release_op){.claim = claim, .kind = move->release};
            break;
        case RENEW:
            ops->renews[ops->renew_count++] = (struct renew_op){.claim = claim, .lease_ms = c->conf.lease_ms};
            break;
        case CANCEL:
            ops->cancels[ops->cancel_count++] =
                (struct cancel_op){.claim = claim, .fingerprint = fingerprint, .origin = origin, .reply = move->held.reply};
            break;
        }
    }
}

static enum status tell(struct client *c, struct ops *ops, struct error *err)
{
    if (ops->finish_count > 0)
        return session_store_finish(c->conn, &c->conf, ops->finishes, ops->finish_count, ops->begins, ops->begin_count, err);
    if (ops->begin_count > 0)
        return session_store_begin(c->conn, &c->conf, ops->begins, ops->begin_count, err);
    if (ops->release_count > 0)
        return session_store_release(c->conn, &c->conf, ops->releases, ops->release_count, err);
    if (ops->cancel_count > 0)
        return session_store_cancel(c->conn, &c->conf, ops->cancels, ops->cancel_count, err);
    return session_store_renew(c->conn, &c->conf, ops->renews, ops->renew_count, err);
}

static void reconnect(struct client *c)
{
    redis_pool_give(fixture.pool, &c->conn, true);
    c->conn = fixture_take();
}

static void answered(struct client *c, const struct call *call, struct ops *ops)
{
    size_t begins = 0, finishes = 0, releases = 0, renews = 0, cancels = 0;
    for (const struct move *move = call->moves; move < call->moves + call->n; move++) {
        switch (move->kind) {
        case BEGIN:
            CHECK_EQ(ops->begins[begins].error.class, ERROR_NONE);
            begin_answered(c, move, &ops->begins[begins], true);
            begin_op_finish(&ops->begins[begins++]);
            break;
        case FINISH:
            CHECK_EQ(ops->finishes[finishes].error.class, ERROR_NONE);
            finish_answered(c, move, ops->finishes[finishes++].state, true);
            break;
        case RELEASE:
            CHECK_EQ(ops->releases[releases].error.class, ERROR_NONE);
            release_answered(c, move, ops->releases[releases].held, ops->releases[releases].fails);
            releases++;
            break;
        case RENEW:
            CHECK_EQ(ops->renews[renews].error.class, ERROR_NONE);
            renew_answered(move, ops->renews[renews++].held);
            break;
        case CANCEL:
            CHECK_EQ(ops->cancels[cancels].error.class, ERROR_NONE);
            cancel_answered(c, move, &ops->cancels[cancels]);
            cancel_op_finish(&ops->cancels[cancels++]);
            break;
        }
    }
}

static enum end_state end_of(const char *name)
{
    return strcmp(name, "ok") == 0 ? END_OK : strcmp(name, "dead") == 0 ? END_DEAD : END_CANCELLED;
}

static void overheard_begin(struct client *c, const struct move *move, const redisReply *reply)
{
    struct begin_op op = {.claim = move->held.claim};
    redisReply *const *parts = reply->element;
    const char *what = parts[0]->str;
    op.state = strcmp(what, "run") == 0 ? BEGIN_RUN : strcmp(what, "done") == 0 ? BEGIN_DONE : strcmp(what, "busy") == 0 ? BEGIN_BUSY : strcmp(what, "suspect") == 0 ? BEGIN_SUSPECT : BEGIN_CONFLICT;
    if (op.state == BEGIN_RUN) {
        op.claim.claim_epoch = parts[1]->integer;
        op.fails = parts[2]->integer;
        op.crashes = parts[3]->integer;
        op.first_failed_ms = parts[4]->integer;
    } else if (op.state == BEGIN_DONE) {
        op.end_state = end_of(parts[1]->str);
        op.reply = parts[2]->str;
    } else if (op.state == BEGIN_SUSPECT) {
        op.crashes = parts[1]->integer;
    } else if (op.state == BEGIN_BUSY) {
        op.busy_ms = parts[1]->integer;
        snprintf(op.holder, sizeof op.holder, "%s", parts[2]->str);
        op.holder_is_self = strcmp(op.holder, c->conf.self.id) == 0;
    }
    begin_answered(c, move, &op, false);
}

static void overheard_cancel(const struct client *c, const struct move *move, const redisReply *reply)
{
    const char *what = reply->element[0]->str;
    struct cancel_op op = {.state = strcmp(what, "ended") == 0 ? CANCEL_ENDED : strcmp(what, "done") == 0 ? CANCEL_DONE : strcmp(what, "told") == 0 ? CANCEL_REQUESTED : CANCEL_OTHER};
    if (op.state == CANCEL_DONE) {
        op.end_state = end_of(reply->element[1]->str);
        op.stored = reply->element[2]->str;
    } else if (op.state == CANCEL_REQUESTED) {
        op.busy_ms = reply->element[1]->integer;
    }
    cancel_answered(c, move, &op);
}

static void overhear(void *arg, size_t index, const redisReply *reply)
{
    struct call *call = arg;
    struct client *c = &clients[call->client];
    const struct move *move = &call->moves[index];
    if (reply->type == REDIS_REPLY_ERROR) { /* NOSCRIPT: nothing was run */
        CHECK(strncmp(reply->str, "NOSCRIPT", 8) == 0);
        return;
    }
    switch (move->kind) {
    case BEGIN: overheard_begin(c, move, reply); break;
    case FINISH:
        finish_answered(c, move, strcmp(reply->str, "done") == 0 ? FINISH_DONE : strcmp(reply->str, "lost") == 0 ? FINISH_LOST : FINISH_CANCELLED, false);
        break;
    case RELEASE: release_answered(c, move, reply->element[0]->integer == 1, reply->element[1]->integer); break;
    case RENEW: renew_answered(move, reply->integer == 1); break;
    case CANCEL: overheard_cancel(c, move, reply); break;
    }
}

static struct call late[LATE]; /* under way, their senders have given up */
static int late_count;

static void deliver_late(int which)
{
    struct call call = late[which];
    late[which] = late[--late_count];
    catch_deliver(&call.caught, fixture.admin, overhear, &call);
}

/* The answer is lost: the commands are run at once, or later, long after other commands of the client. */
static void run_unheard(struct client *c, struct call *call)
{
    struct catcher catcher;
    struct error err = {0};
    struct ops ops;
    fill(&ops, c, call);
    catch_begin(&catcher, c->conn);
    CHECK(tell(c, &ops, &err) == STATUS_FAILED && err.class == ERROR_UNAVAILABLE);
    catch_end(&catcher, c->conn, &call->caught);
    reconnect(c);
    if (late_count == LATE)
        deliver_late(below(LATE));
    late[late_count++] = *call;
    if (below(4) > 0)
        deliver_late(late_count - 1);
}

static void run(struct client *c, struct call *call)
{
    struct error err = {0};
    struct ops ops;
    int chance = below(36);
    if (chance < 4) {
        run_unheard(c, call);
        if (below(2))
            return; /* the client may come back to it, or not */
    } else if (chance == 4) {
        fixture_kill(c->conn); /* before it was sent */
        fill(&ops, c, call);
        CHECK(tell(c, &ops, &err) == STATUS_FAILED && err.class == ERROR_UNAVAILABLE);
        reconnect(c);
    } else if (chance == 5) {
        fixture_do("SCRIPT FLUSH");
    }
    for (int times = 1 + one_in(10); times > 0; times--) {
        fill(&ops, c, call);
        cr_assert(tell(c, &ops, &err) == STATUS_OK, "CHAT_TEST_SEED=%llu step %d: %s", (unsigned long long)seed, step, err.message);
        answered(c, call, &ops);
    }
}

/* ---- what clients do ---- */

static bool is_in(const struct call *call, int job)
{
    for (int i = 0; i < call->n; i++)
        if (call->moves[i].job == job)
            return true;
    return false;
}

static void add_begin(struct client *c, struct call *call)
{
    int job = below(JOBS);
    if (is_in(call, job))
        return;
    struct held *last = &c->held[job][0];
    bool again = *last->claim.token && !last->released && one_in(4); /* its answer was lost, or came too early */
    if (!again) {
        struct held fresh = {.fingerprint = one_in(8), .origin = below(2), .crashes_max = one_in(3) ? 1 + below(3) : INT64_MAX};
        session_store_token(fresh.claim.token);
        held_add(c, job, &fresh);
    }
    call->moves[call->n++] = (struct move){.kind = BEGIN, .job = job, .held = *last};
}

static void settle_end(struct held *held, int client, int job)
{
    char by[33];
    if (held->ended)
        return;
    strcpy(by, held->claim.token);
    held->ended = true;
    held->end = below(3) ? END_OK : one_in(3) ? END_CANCELLED : END_DEAD;
    snprintf(held->reply, sizeof held->reply, "{\"answer\":\"%d by %d\"}", step, client);
    const char *id = strcmp(job_id(job), "d\"\\") == 0 ? "d\\\"\\\\" : job_id(job);
    snprintf(held->turn, sizeof held->turn, "{\"job\":\"%s\",\"messages\":[],\"by\":\"%s\"}", id, by);
}

static void add_with_claim(struct client *c, struct call *call, enum kind kind)
{
    int job = below(JOBS);
    struct held *held = held_any(c, job);
    if (held == NULL || is_in(call, job))
        return;
    if (kind == FINISH)
        settle_end(held, c->index, job);
    call->moves[call->n++] = (struct move){.kind = kind, .job = job, .release = one_in(2) ? RELEASE_RETRY : RELEASE_DROP, .held = *held};
}

/* A cancel by a client that waits for the job, or whose begin was never answered: its claim may exist. Then it isn't begun again. */
static void add_cancel(struct client *c, struct call *call)
{
    int job = below(JOBS);
    struct held *last = &c->held[job][0];
    struct held held = {.fingerprint = one_in(8), .origin = below(2)};
    if (is_in(call, job))
        return;
    if (*last->claim.token && !last->known && !last->released && one_in(2)) {
        last->released = true;
        held = *last;
    }
    snprintf(held.reply, sizeof held.reply, "{\"cancelled\":\"%d by %d\"}", step, c->index);
    call->moves[call->n++] = (struct move){.kind = CANCEL, .job = job, .held = held};
}

static void client_acts(struct client *c)
{
    struct call call = {.client = c->index};
    static const enum kind kinds[] = {BEGIN, BEGIN, BEGIN, FINISH, RELEASE, RELEASE, RENEW, CANCEL};
    enum kind kind = kinds[below(sizeof kinds / sizeof *kinds)];
    for (int n = one_in(3) ? BATCH : 1; n > 0; n--) {
        if (kind == BEGIN)
            add_begin(c, &call);
        else if (kind == CANCEL)
            add_cancel(c, &call);
        else
            add_with_claim(c, &call, kind);
    }
    for (int n = kind == FINISH && call.n > 0 ? below(BATCH) : 0; n > 0; n--)
        add_begin(c, &call);
    if (call.n > 0)
        run(c, &call);
}

static void beat(struct client *c)
{
    struct error err;
    CHECK(session_store_heartbeat(c->conn, &c->conf, &err) == STATUS_OK);
    /* A machine that is stopped for ten seconds must not count as a dead holder in this test. */
    CHECK_EQ(fixture_int("PEXPIRE %s:alive:%s %lld", fixture.prefix, c->conf.self.id, (long long)c->conf.lease_ms), 1);
    model.alive[c->index] = true;
}

/* ---- what happens to Redis ---- */

static void evict(int job)
{
    int s = session_of(job);
    static const char *const kinds[] = {"job", "history", "applied", "applied2"};
    int which = s < 0 ? 0 : below(4);
    const char *kind = kinds[which];
    char key[160];
    key_of(job, kind, key, sizeof key);
    fixture_do("DEL %s", key);
    losses.evictions++;
    if (strcmp(kind, "job") == 0) {
        losses.replies += witness.jobs[job].ok;
        model.records[job] = (struct record){0};
        witness.jobs[job] = (struct testimony){0};
    } else if (strcmp(kind, "history") == 0) {
        losses.turns += model.history_count[s];
        model.history_count[s] = 0;
    } else {
        applied_drop(which - 2, s);
    }
}

static void world_acts(struct client *c, int job)
{
    char key[160];
    struct record *r = &model.records[job];
    key_of(job, "job", key, sizeof key);
    switch (below(evicting ? 6 : 5)) {
    case 0: /* a lease expires */
        if (r->state != RUN)
            break;
        fixture_do("HSET %s lease_until_ms 0", key);
        r->expired = true;
        break;
    case 1: /* a process is stopped, cut off or dead */
        fixture_do("DEL %s:alive:%s", fixture.prefix, c->conf.self.id);
        model.alive[c->index] = false;
        break;
    case 2: beat(c); break;
    case 3:
        if (late_count > 0)
            deliver_late(below(late_count));
        break;
    case 4:
        if ((r->state != RUN && r->state != IDLE) || below(3))
            break;
        fixture_do("HSET %s cancel 1", key);
        r->cancel = true;
        break;
    case 5: evict(job); break;
    default: break;
    }
}

static struct {
    int cut_step, step; /* 0: none */
    struct model model;
    struct witness witness;
} failover;

static void fail_over(void)
{
    losses.failovers++;
    for (int job = 0; job < JOBS; job++)
        losses.replies += witness.jobs[job].ok && !failover.witness.jobs[job].ok;
    for (int s = 0; s < SESSIONS; s++)
        losses.turns += witness.turn_count[s] - failover.witness.turn_count[s];
    for (int i = 0; i < CLIENTS; i++)
        redis_pool_give(fixture.pool, &clients[i].conn, true);
    fixture_failover();
    for (int i = 0; i < CLIENTS; i++)
        clients[i].conn = fixture_take();
    late_count = 0; /* commands under way were sent to the other server */
    model = failover.model;
    witness = failover.witness;
}

static void replica_acts(void)
{
    if (failover.step > 0 && step == failover.cut_step) {
        fixture_replica_cut();
        failover.model = model;
        failover.witness = witness;
    }
    if (failover.step > 0 && step == failover.step)
        fail_over();
}

/* ---- looking at Redis itself ---- */

static void check_record(int job)
{
    static const char *const states[] = {"", "idle", "run", "ok", "dead", "cancelled"};
    char key[160];
    const struct record *r = &model.records[job];
    key_of(job, "job", key, sizeof key);
    const redisReply *reply = fixture_do("HMGET %s state token epoch fails crashes", key);
    redisReply *const *parts = reply->element;
    CHECK(strcmp(parts[0]->str ? parts[0]->str : "", states[r->state]) == 0);
    if (r->state == ABSENT)
        return;
    CHECK(strcmp(parts[1]->str ? parts[1]->str : "", r->token) == 0);
    const int64_t want[] = {r->epoch, r->fails, r->crashes};
    for (int i = 0; i < 3; i++)
        CHECK_EQ(parts[2 + i]->str ? atoll(parts[2 + i]->str) : 0, want[i]);
}

static void check_history(int s)
{
    char key[160];
    for (int set = 0; set < 2; set++) {
        key_of(s, set == 0 ? "applied" : "applied2", key, sizeof key);
        CHECK_EQ(fixture_int("SCARD %s", key), applied_count(set, s));
    }
    key_of(s, "history", key, sizeof key); /* job s is of session s */
    const redisReply *turns = fixture_do("LRANGE %s 0 -1", key);
    CHECK_EQ(turns->elements, model.history_count[s]);
    int told = witness.turn_count[s], from = told - (int)turns->elements;
    if (!evicting) /* each ok job's turn once, in the order of their ends, except the oldest, which were trimmed */
        CHECK_EQ(turns->elements, told < model.turns_max ? told : model.turns_max);
    for (int i = 0; i < (int)turns->elements; i++) {
        CHECK(strstr(turns->element[i]->str, model.history[s][i].token));
        if (!evicting)
            CHECK(strstr(turns->element[i]->str, witness.turns[s][from + i].token));
        int first = history_find(s, model.history[s][i].job);
        CHECK(evicting || first == i);
        losses.turns_twice += first != i;
    }
}

static void look(void)
{
    for (int job = 0; job < JOBS; job++)
        check_record(job);
    for (int s = 0; s < SESSIONS; s++)
        check_history(s);
    for (int s = 0; s < SESSIONS && !evicting; s++)
        for (int i = 0; i < witness.turn_count[s]; i++)
            for (int k = 0; k < i; k++)
                CHECK(witness.turns[s][i].job != witness.turns[s][k].job);
}

static void clients_start(void)
{
    for (int i = 0; i < CLIENTS; i++) {
        char id[16];
        snprintf(id, sizeof id, "inc-%d", i);
        clients[i] = (struct client){.index = i, .conf = fixture_conf(id, i < 2 ? "pod-0" : NULL, 1000 + i), .conn = fixture_take()};
        clients[i].conf.history_turns_max = model.turns_max;
        clients[i].conf.applied_max = model.applied_max;
        beat(&clients[i]);
    }
}

static void run_sequence(void)
{
    model = (struct model){.turns_max = 1 + below(TURNS_MAX), .applied_max = 1 + below(JOBS)};
    memset(&witness, 0, sizeof witness);
    late_count = 0;
    step = 0;
    bool fails_over = one_in(12);
    evicting = !fails_over && one_in(3);
    failover.step = 0;
    if (fails_over && has_replica) {
        failover.cut_step = 1 + below(STEPS * 2 / 3);
        failover.step = failover.cut_step + 1 + below(STEPS / 4);
        fixture_replica_follow();
    }
    clients_start();
    for (step = 1; step < STEPS; step++) {
        struct client *c = &clients[below(CLIENTS)];
        replica_acts();
        if (below(5))
            client_acts(c);
        else
            world_acts(c, below(JOBS));
        if (step % LOOK_EVERY == 0)
            look();
    }
    look();
    for (int i = 0; i < CLIENTS; i++)
        fixture_give(clients[i].conn);
}

Test(session_model, random_sequences, .init = fixture_start, .fini = fixture_stop, .timeout = 300)
{
    const char *fixed = getenv("CHAT_TEST_SEED"), *count = getenv("CHAT_TEST_SEEDS");
    int runs = fixed ? 1 : count ? atoi(count) : SEQUENCES;
    uint64_t first = fixed ? strtoull(fixed, NULL, 10) : (uint64_t)clock_wall_ms();
    int64_t started_ms = clock_mono_ms();
    char prefix[40];
    snprintf(prefix, sizeof prefix, "%.38s", fixture.prefix);
    has_replica = fixture_replica_start();
    for (int i = 0; i < runs; i++) {
        seed = rng = first + (uint64_t)i;
        snprintf(fixture.prefix, sizeof fixture.prefix, "%s-%d", prefix, i);
        run_sequence();
    }
    fprintf(stderr, "%d sequences of %d steps in %lld ms, seeds from %llu; allowed losses by %d failovers and %d evictions: %d stored replies, %d turns, %d turns seen twice\n",
            runs, STEPS, (long long)(clock_mono_ms() - started_ms), (unsigned long long)first, losses.failovers, losses.evictions,
            losses.replies, losses.turns, losses.turns_twice);
}
