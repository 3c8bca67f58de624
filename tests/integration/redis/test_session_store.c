/* The session store: what a claim protects, when it ends, and what a repeat or an error does. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "redis_fixture.h"

TestSuite(session_store, .init = fixture_start, .fini = fixture_stop, .timeout = 60);

static struct error error;
#define OK(call) cr_assert((call) == STATUS_OK, "%s: %s", #call, error.message)

static struct begin_op begin(struct redis_conn *conn, const struct session_store_conf *conf, const char *session,
                             const char *job)
{
    struct begin_op op = {.claim = {.session = session, .job_id = job}, .fingerprint = "fp", .origin = "jobs-0-1", .crashes_max = INT64_MAX};
    session_store_token(op.claim.token);
    OK(session_store_begin(conn, conf, &op, 1, &error));
    cr_assert(op.error.class == ERROR_NONE, "%s", op.error.message);
    return op;
}

static enum finish_state finish(struct redis_conn *conn, const struct session_store_conf *conf, struct claim claim,
                                enum end_state state, const char *turn)
{
    struct finish_op op = {.claim = claim, .end_state = state, .fingerprint = "fp", .origin = "jobs-0-1",
                           .reply = "{\"r\":1}", .turn = turn};
    OK(session_store_finish(conn, conf, &op, 1, NULL, 0, &error));
    cr_assert(op.error.class == ERROR_NONE, "%s", op.error.message);
    return op.state;
}

Test(session_store, a_batch_of_claims_and_their_ends)
{
    enum { N = 200 };
    struct session_store_conf conf = fixture_conf("one", NULL, 1);
    struct redis_conn *conn = fixture_take();
    struct begin_op begins[N];
    struct finish_op ends[N];
    char ids[N][16], turns[N][48];
    for (int i = 0; i < N; i++) {
        snprintf(ids[i], sizeof ids[i], "job-%d", i);
        snprintf(turns[i], sizeof turns[i], "{\"job\":\"%s\",\"messages\":[]}", ids[i]);
        begins[i] = (struct begin_op){.claim = {.session = i % 2 ? "s" : NULL, .job_id = ids[i]}, .fingerprint = "f", .origin = "o"};
        session_store_token(begins[i].claim.token);
    }
    fixture_do("SCRIPT FLUSH"); /* every first op answers NOSCRIPT */
    OK(session_store_begin(conn, &conf, begins, N, &error));
    for (int i = 0; i < N; i++) {
        cr_assert(begins[i].error.class == ERROR_NONE && begins[i].state == BEGIN_RUN && begins[i].claim.claim_epoch == 1);
        ends[i] = (struct finish_op){.claim = begins[i].claim, .fingerprint = "f", .origin = "o", .reply = "{}", .turn = turns[i]};
    }
    fixture_do("SCRIPT FLUSH");
    OK(session_store_finish(conn, &conf, ends, N, NULL, 0, &error));
    for (int i = 0; i < N; i++)
        cr_assert(ends[i].error.class == ERROR_NONE && ends[i].state == FINISH_DONE);
    struct begin_op next = begin(conn, &conf, "s", "next");
    cr_assert(next.turn_count == 4);
    cr_expect_str_eq(next.turns[3], turns[N - 1]);
    begin_op_finish(&next);
    /* Without a session there is no history, whatever the turn. */
    cr_expect(fixture_int("EXISTS %s:{job-0}:history %s:{job-0}:applied", fixture.prefix, fixture.prefix) == 0);
    cr_expect(fixture_int("EXISTS %s:{job-0}:job:job-0", fixture.prefix) == 1);
    OK(session_store_begin(conn, &conf, begins, 0, &error));
    fixture_give(conn);
}

/* Two jobs of a session in one round trip: the end of one, the begin of the next. */
Test(session_store, a_follower_sees_the_turn_of_the_end_before_it)
{
    struct session_store_conf conf = fixture_conf("one", NULL, 1);
    struct redis_conn *conn = fixture_take();
    for (int lost_scripts = 0; lost_scripts < 3; lost_scripts++) {
        char session[16], turn[] = "{\"job\":\"a\",\"messages\":[]}";
        snprintf(session, sizeof session, "s%d", lost_scripts);
        struct begin_op a = begin(conn, &conf, session, "a");
        struct finish_op end = {.claim = a.claim, .fingerprint = "fp", .origin = "jobs-0-1", .reply = "{}", .turn = turn};
        struct begin_op b = {.claim = {.session = session, .job_id = "b"}, .fingerprint = "fp", .origin = "jobs-0-2"};
        session_store_token(b.claim.token);
        if (lost_scripts >= 1) /* both: the begin waits for the finish */
            fixture_do("SCRIPT FLUSH");
        if (lost_scripts == 2) { /* the finish's alone: the begin ran ahead of it, and is repeated */
            struct begin_op other = begin(conn, &conf, "elsewhere", "x");
            begin_op_finish(&other);
        }
        OK(session_store_finish(conn, &conf, &end, 1, &b, 1, &error));
        cr_assert(end.error.class == ERROR_NONE && end.state == FINISH_DONE);
        cr_assert(b.error.class == ERROR_NONE && b.state == BEGIN_RUN && b.claim.claim_epoch == 1 && b.crashes == 0);
        cr_assert_eq(b.turn_count, 1, "%d: %zu turns", lost_scripts, b.turn_count);
        cr_expect_str_eq(b.turns[0], turn);
        begin_op_finish(&b);
        cr_assert(finish(conn, &conf, b.claim, END_OK, "{\"job\":\"b\",\"messages\":[]}") == FINISH_DONE);
    }
    fixture_give(conn);
}

Test(session_store, a_follower_of_a_lost_end_is_begun_again_under_its_token)
{
    struct session_store_conf conf = fixture_conf("one", NULL, 1), other = fixture_conf("two", NULL, 1);
    conf.lease_ms = 1;
    struct redis_conn *conn = fixture_take();
    struct begin_op a = begin(conn, &conf, "s", "a");
    struct begin_op robber = begin(conn, &other, "s", "a");
    while (robber.state == BEGIN_BUSY) /* until the lease of 1 ms expires */
        robber = begin(conn, &other, "s", "a");
    conf.lease_ms = other.lease_ms;
    struct finish_op end = {.claim = a.claim, .fingerprint = "fp", .origin = "jobs-0-1", .reply = "{}", .turn = "{\"job\":\"a\"}"};
    struct begin_op b = {.claim = {.session = "s", .job_id = "b"}, .fingerprint = "fp", .origin = "jobs-0-2"};
    session_store_token(b.claim.token);
    OK(session_store_finish(conn, &conf, &end, 1, &b, 1, &error));
    cr_assert(end.state == FINISH_LOST);
    cr_assert(b.state == BEGIN_RUN && b.turn_count == 0);
    begin_op_finish(&b);
    cr_assert(finish(conn, &other, robber.claim, END_OK, "{\"job\":\"a\",\"messages\":[]}") == FINISH_DONE);
    OK(session_store_begin(conn, &conf, &b, 1, &error));
    cr_assert(b.state == BEGIN_RUN && b.crashes == 0, "its own claim is no crash");
    cr_assert_eq(b.turn_count, 1);
    begin_op_finish(&b);
    fixture_give(conn);
}

Test(session_store, begin_brings_the_newest_turns_that_fit)
{
    struct session_store_conf conf = fixture_conf("one", NULL, 1);
    struct redis_conn *conn = fixture_take();
    static const char *const turns[] = {"{\"job\":\"a\",\"messages\":[1]}", "{\"job\":\"b\",\"messages\":[2]}", "{\"job\":\"c\",\"messages\":[3]}"};
    static const char *const ids[] = {"a", "b", "c"};
    int64_t size = (int64_t)strlen(turns[0]);
    for (size_t i = 0; i < 3; i++) {
        struct begin_op op = begin(conn, &conf, "s", ids[i]);
        cr_assert(finish(conn, &conf, op.claim, END_OK, turns[i]) == FINISH_DONE);
        begin_op_finish(&op);
    }
    static const struct {
        int64_t more; /* more bytes than so many turns take */
        size_t count, want;
    } rows[] = {{0, 3, 3}, {-1, 3, 2}, {0, 2, 2}, {-1, 1, 0}, {0, 0, 0}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char id[16];
        snprintf(id, sizeof id, "next-%zu", i);
        conf.history_bytes_max = (int64_t)rows[i].count * size + rows[i].more;
        struct begin_op op = begin(conn, &conf, "s", id);
        cr_assert_eq(op.turn_count, rows[i].want, "row %zu: %zu turns", i, op.turn_count);
        for (size_t t = 0; t < op.turn_count; t++)
            cr_expect_str_eq(op.turns[t], turns[3 - op.turn_count + t]);
        begin_op_finish(&op);
    }
    fixture_give(conn);
}

/* A number of INFO memory. */
static long long memory(const char *name)
{
    const char *at = strstr(fixture_do("INFO memory")->str, name);
    cr_assert(at != NULL, "%s", name);
    return atoll(at + strlen(name));
}

/* 64 MB from another client: the server's peak shows what a script has read. */
Test(session_store, begin_reads_no_more_of_a_history_than_it_brings)
{
    struct session_store_conf conf = fixture_conf("one", NULL, 1);
    struct redis_conn *conn = fixture_take();
    AUTO_FREE char *turn = xcalloc(1, 1000001);
    memset(turn, 'x', 1000000);
    for (size_t i = 0; i < 64; i++)
        fixture_do("RPUSH %s:{s}:history %s", fixture.prefix, turn);
    fixture_do("RPUSH %s:{s}:history last", fixture.prefix);
    conf.history_bytes_max = 1000;
    long long before = memory("used_memory:");
    struct begin_op op = begin(conn, &conf, "s", "a");
    cr_assert(op.state == BEGIN_RUN && op.turn_count == 1);
    cr_expect_str_eq(op.turns[0], "last");
    cr_expect_lt(memory("used_memory_peak:") - before, 16 * 1000000);
    begin_op_finish(&op);
    fixture_give(conn);
}

Test(session_store, a_long_session_has_short_keys)
{
    struct session_store_conf conf = fixture_conf("one", NULL, 1);
    struct redis_conn *conn = fixture_take();
    char sessions[2][3000];
    for (size_t i = 0; i < 2; i++) {
        memset(sessions[i], 'x', sizeof sessions[i] - 1);
        sessions[i][sizeof sessions[i] - 1] = '\0';
    }
    sessions[1][2000] = 'y';
    struct begin_op op = begin(conn, &conf, sessions[0], "a");
    cr_assert(finish(conn, &conf, op.claim, END_OK, "{\"job\":\"a\",\"messages\":[]}") == FINISH_DONE);
    for (size_t i = 0; i < 2; i++) {
        struct begin_op next = begin(conn, &conf, sessions[i], "b");
        cr_expect_eq(next.turn_count, i == 0 ? 1 : 0, "a session of its own");
        begin_op_finish(&next);
    }
    const redisReply *keys = fixture_do("KEYS %s*", fixture.prefix);
    for (size_t i = 0; i < keys->elements; i++)
        cr_expect_lt(keys->element[i]->len, 200);
    fixture_give(conn);
}

Test(session_store, every_key_ends_some_day)
{
    struct session_store_conf conf = fixture_conf("one", NULL, 1);
    conf.session_ttl_s = 50;
    conf.reply_ttl_s = 40;
    struct redis_conn *conn = fixture_take();
    OK(session_store_heartbeat(conn, &conf, &error));
    int64_t alive = fixture_int("PTTL %s:alive:one", fixture.prefix);
    cr_expect(alive > 5000 && alive <= 10000);
    struct begin_op op = begin(conn, &conf, "s", "j");
    cr_expect(fixture_int("TTL %s:{s}:job:j", fixture.prefix) >= 24 * 3600 - 1, "a running record outlives any run");
    cr_assert(finish(conn, &conf, op.claim, END_OK, "{\"job\":\"j\"}") == FINISH_DONE);
    static const struct { const char *key; int64_t at_most; } keys[] = {{"job:j", 40}, {"history", 50}, {"applied", 50}};
    for (size_t i = 0; i < 3; i++) {
        int64_t ttl = fixture_int("TTL %s:{s}:%s", fixture.prefix, keys[i].key);
        cr_expect(ttl > keys[i].at_most - 10 && ttl <= keys[i].at_most, "%s: %lld", keys[i].key, (long long)ttl);
    }
    fixture_give(conn);
}

Test(session_store, a_lease_that_ran_out_may_still_finish_until_someone_takes_it)
{
    struct session_store_conf a = fixture_conf("a", NULL, 1), b = fixture_conf("b", NULL, 1);
    a.lease_ms = b.lease_ms = 1;
    struct redis_conn *conn = fixture_take();
    OK(session_store_heartbeat(conn, &a, &error));
    OK(session_store_heartbeat(conn, &b, &error));
    struct begin_op first = begin(conn, &a, "s", "j"), kept = begin(conn, &a, "s", "k");
    fixture_wait_redis_ms(3);
    cr_expect(finish(conn, &a, kept.claim, END_OK, "{\"job\":\"k\"}") == FINISH_DONE);
    struct begin_op second = begin(conn, &b, "s", "j");
    cr_assert(second.state == BEGIN_RUN && second.crashes == 1 && second.claim.claim_epoch == 2);
    begin_op_finish(&second);
    cr_expect(finish(conn, &a, first.claim, END_OK, "{\"job\":\"j\"}") == FINISH_LOST);
    /* The holder that lost its claim is alive: the crash is uncounted. */
    cr_expect_str_eq(fixture_do("HGET %s:{s}:job:j crashes", fixture.prefix)->str, "0");
    cr_expect(finish(conn, &b, second.claim, END_OK, "{\"job\":\"j\"}") == FINISH_DONE);
    fixture_give(conn);
}

/* Two are stopped, one after the other, and a third one answers; then they continue. */
Test(session_store, whoever_was_robbed_and_lives_is_no_crash_whatever_came_after)
{
    struct session_store_conf a = fixture_conf("a", NULL, 1), b = fixture_conf("b", NULL, 1), c = fixture_conf("c", NULL, 1);
    struct redis_conn *conn = fixture_take();
    struct begin_op first = begin(conn, &a, "s", "j"), second = begin(conn, &b, "s", "j");
    cr_assert(second.state == BEGIN_RUN && second.crashes == 1, "a has no heartbeat");
    struct begin_op third = begin(conn, &c, "s", "j");
    cr_assert(third.state == BEGIN_RUN && third.crashes == 2);
    struct release_op release = {.claim = third.claim, .kind = RELEASE_RETRY};
    OK(session_store_release(conn, &c, &release, 1, &error));
    third = begin(conn, &c, "s", "j");
    cr_assert(third.state == BEGIN_RUN && third.crashes == 2 && third.fails == 1);

    struct renew_op renew = {.claim = first.claim, .lease_ms = 1000};
    for (int times = 0; times < 2; times++) { /* a repeat uncounts no more */
        OK(session_store_renew(conn, &a, &renew, 1, &error));
        cr_expect(!renew.held);
        cr_expect_str_eq(fixture_do("HGET %s:{s}:job:j crashes", fixture.prefix)->str, "1");
    }
    cr_assert(finish(conn, &c, third.claim, END_OK, "{\"job\":\"j\"}") == FINISH_DONE);
    cr_expect(finish(conn, &b, second.claim, END_OK, "{\"job\":\"j\"}") == FINISH_LOST);
    cr_expect_str_eq(fixture_do("HGET %s:{s}:job:j crashes", fixture.prefix)->str, "0");
    cr_expect(fixture_int("LLEN %s:{s}:history", fixture.prefix) == 1);
    fixture_give(conn);
}

Test(session_store, a_dead_holder_is_known_by_its_heartbeat)
{
    struct session_store_conf a = fixture_conf("a", NULL, 1), b = fixture_conf("b", NULL, 1);
    struct redis_conn *conn = fixture_take();
    OK(session_store_heartbeat(conn, &a, &error));
    OK(session_store_heartbeat(conn, &b, &error));
    struct begin_op op = begin(conn, &a, NULL, "j");
    op = begin(conn, &b, NULL, "j");
    cr_assert(op.state == BEGIN_BUSY && !op.holder_is_self);
    cr_expect(op.busy_ms <= 10001, "asks again when the heartbeat may have ended, not after the whole lease");
    op = begin(conn, &a, NULL, "j");
    cr_assert(op.state == BEGIN_BUSY && op.holder_is_self);
    fixture_do("DEL %s:alive:a", fixture.prefix);
    op = begin(conn, &a, NULL, "j");
    cr_assert(op.state == BEGIN_BUSY, "nobody presumes itself dead");
    op = begin(conn, &b, NULL, "j");
    cr_assert(op.state == BEGIN_RUN && op.crashes == 1);
    fixture_give(conn);
}

Test(session_store, a_newer_life_takes_from_the_older_never_the_reverse)
{
    struct session_store_conf older = fixture_conf("a", "pod-0", 1), newer = fixture_conf("b", "pod-0", 2);
    struct session_store_conf other = fixture_conf("c", "pod-1", 9);
    struct redis_conn *conn = fixture_take();
    OK(session_store_heartbeat(conn, &older, &error));
    OK(session_store_heartbeat(conn, &newer, &error));
    OK(session_store_heartbeat(conn, &other, &error));
    begin(conn, &older, NULL, "j");
    cr_expect(begin(conn, &other, NULL, "j").state == BEGIN_BUSY);
    struct begin_op op = begin(conn, &newer, NULL, "j");
    cr_expect(op.state == BEGIN_RUN && op.crashes == 1);
    cr_expect(begin(conn, &older, NULL, "j").state == BEGIN_BUSY);
    fixture_give(conn);
}

static int64_t seen_ago(struct redis_conn *conn, const struct session_store_conf *conf, const char *origin, int64_t ago_ms, struct claim *ret)
{
    struct begin_op op = {.claim = {.session = "s", .job_id = "j"}, .fingerprint = "f", .origin = origin, .keep_seen = true, .seen_ago_ms = ago_ms};
    session_store_token(op.claim.token);
    OK(session_store_begin(conn, conf, &op, 1, &error));
    cr_assert(op.error.class == ERROR_NONE && op.state == BEGIN_RUN);
    *ret = op.claim;
    return op.seen_ago_ms;
}

Test(session_store, the_first_who_saw_a_job_is_remembered_until_it_is_another)
{
    struct session_store_conf conf = fixture_conf("a", NULL, 1);
    struct redis_conn *conn = fixture_take();
    struct release_op release = {.kind = RELEASE_DROP};
    int64_t ago = seen_ago(conn, &conf, "jobs-0-1", 500000, &release.claim);
    cr_expect(ago >= 500000 && ago < 600000, "%lld", (long long)ago);
    OK(session_store_release(conn, &conf, &release, 1, &error));
    ago = seen_ago(conn, &conf, "jobs-0-1", 7, &release.claim);
    cr_expect(ago >= 500000 && ago < 600000, "%lld", (long long)ago);
    OK(session_store_release(conn, &conf, &release, 1, &error));
    ago = seen_ago(conn, &conf, "jobs-0-1", 900000, &release.claim);
    cr_expect(ago >= 900000, "who saw it even earlier");
    cr_assert(finish(conn, &conf, release.claim, END_DEAD, NULL) == FINISH_DONE);
    ago = seen_ago(conn, &conf, "jobs-0-2", 7, &release.claim);
    cr_expect(ago >= 7 && ago < 500000, "a replay: %lld", (long long)ago);
    fixture_give(conn);
}

Test(session_store, a_replay_starts_afresh_and_may_differ)
{
    struct session_store_conf conf = fixture_conf("a", NULL, 1);
    struct redis_conn *conn = fixture_take();
    struct begin_op op = begin(conn, &conf, "s", "j");
    struct release_op release = {.claim = op.claim, .kind = RELEASE_RETRY};
    OK(session_store_release(conn, &conf, &release, 1, &error));
    cr_assert(release.held && release.fails == 1);
    op = begin(conn, &conf, "s", "j");
    cr_assert(op.fails == 1 && op.first_failed_ms > 1600000000000);
    int64_t first_failed_ms = op.first_failed_ms;
    fixture_wait_redis_ms(3);
    release.claim = op.claim;
    OK(session_store_release(conn, &conf, &release, 1, &error));
    op = begin(conn, &conf, "s", "j");
    cr_assert(op.fails == 2 && op.first_failed_ms == first_failed_ms);
    cr_assert(finish(conn, &conf, op.claim, END_DEAD, NULL) == FINISH_DONE);
    op = begin(conn, &conf, "s", "j");
    cr_assert(op.state == BEGIN_DONE && op.end_state == END_DEAD);
    cr_expect_str_eq(op.reply, "{\"r\":1}");
    begin_op_finish(&op);
    struct begin_op replay = {.claim = {.session = "s", .job_id = "j"}, .fingerprint = "other", .origin = "jobs-0-2"};
    session_store_token(replay.claim.token);
    OK(session_store_begin(conn, &conf, &replay, 1, &error));
    cr_assert(replay.state == BEGIN_RUN && replay.fails == 0 && replay.first_failed_ms == 0);
    cr_expect(replay.claim.claim_epoch == 4, "the epoch never goes back");
    cr_expect(begin(conn, &conf, "s", "j").state == BEGIN_CONFLICT);
    fixture_give(conn);
}

Test(session_store, an_applied_job_sees_what_it_saw_and_appends_nothing)
{
    struct session_store_conf conf = fixture_conf("a", NULL, 1);
    struct redis_conn *conn = fixture_take();
    static const char *const jobs[] = {"j\"1", "j2", "j3"};
    static const char *const turns[] = {"{\"job\":\"j\\\"1\"}", "{\"job\":\"j2\"}", "{\"job\":\"j3\"}"};
    for (int i = 0; i < 3; i++) {
        struct begin_op op = begin(conn, &conf, "s", jobs[i]);
        cr_assert(finish(conn, &conf, op.claim, END_OK, turns[i]) == FINISH_DONE);
        begin_op_finish(&op);
    }
    fixture_do("DEL %s:{s}:job:j2", fixture.prefix); /* its reply expired */
    struct begin_op again = begin(conn, &conf, "s", "j2");
    cr_assert(again.state == BEGIN_RUN && again.turn_count == 1);
    cr_expect_str_eq(again.turns[0], turns[0]);
    begin_op_finish(&again);
    cr_assert(finish(conn, &conf, again.claim, END_OK, turns[1]) == FINISH_DONE);
    /* The set is lost too: the history itself shows it, with escapes. */
    fixture_do("DEL %s:{s}:applied", fixture.prefix);
    fixture_do("DEL %s:{s}:job:j\"1", fixture.prefix);
    cr_assert(finish(conn, &conf, (struct claim){.session = "s", .job_id = jobs[0], .token = "t", .claim_epoch = 7}, END_OK, turns[0]) == FINISH_DONE);
    fixture_do("DEL %s:{s}:applied", fixture.prefix);
    fixture_do("DEL %s:{s}:job:j2", fixture.prefix);
    again = begin(conn, &conf, "s", "j2");
    begin_op_finish(&again);
    cr_assert(finish(conn, &conf, again.claim, END_OK, turns[1]) == FINISH_DONE);
    cr_expect(fixture_int("LLEN %s:{s}:history", fixture.prefix) == 3);
    cr_expect_str_eq(fixture_do("HGET %s:{s}:job:j\"1 epoch", fixture.prefix)->str, "7");
    fixture_give(conn);
}

/* A turn of its own for each of jobs first..last, whose ids and turns are made of the number. */
static void apply(struct redis_conn *conn, const struct session_store_conf *conf, int first, int last)
{
    for (int i = first; i <= last; i++) {
        char id[16], turn[32];
        snprintf(id, sizeof id, "j%d", i);
        snprintf(turn, sizeof turn, "{\"job\":\"%s\"}", id);
        struct begin_op op = begin(conn, conf, "s", id);
        cr_assert(op.state == BEGIN_RUN);
        cr_assert(finish(conn, conf, op.claim, END_OK, turn) == FINISH_DONE);
        begin_op_finish(&op);
    }
}

static int64_t applied_known(void)
{
    return fixture_int("SCARD %s:{s}:applied", fixture.prefix) + fixture_int("SCARD %s:{s}:applied2", fixture.prefix);
}

Test(session_store, of_a_long_session_the_newest_applied_jobs_are_known_and_never_twice_as_many)
{
    struct session_store_conf conf = fixture_conf("a", NULL, 1);
    conf.applied_max = 10;
    conf.history_turns_max = 3;
    struct redis_conn *conn = fixture_take();
    for (int i = 1; i <= 100; i++) {
        apply(conn, &conf, i, i);
        int64_t known = applied_known();
        cr_assert(known < 20 && known >= (i < 10 ? i : 10), "after %d: %lld", i, (long long)known);
        int oldest = i < 10 ? 1 : i - 9;
        cr_assert(fixture_int("SISMEMBER %s:{s}:applied j%d", fixture.prefix, oldest) + fixture_int("SISMEMBER %s:{s}:applied2 j%d", fixture.prefix, oldest) == 1,
                  "after %d: j%d isn't known", i, oldest);
    }
    /* Their records have expired, and they begin again: nothing is appended, and their history ends before their own turn. */
    for (int i = 91; i <= 100; i++) {
        fixture_do("DEL %s:{s}:job:j%d", fixture.prefix, i);
        AUTO_FREE char *id = xasprintf("j%d", i);
        struct begin_op again = begin(conn, &conf, "s", id);
        cr_expect(again.turn_count == (i > 98 ? (size_t)i - 98 : 0), "j%d: %zu turns", i, again.turn_count);
        cr_assert(finish(conn, &conf, again.claim, END_OK, "{\"job\":\"again\"}") == FINISH_DONE);
        begin_op_finish(&again);
    }
    cr_expect(fixture_int("LLEN %s:{s}:history", fixture.prefix) == 3);
    cr_expect_str_eq(fixture_do("LINDEX %s:{s}:history -1", fixture.prefix)->str, "{\"job\":\"j100\"}");
    cr_expect_str_eq(fixture_do("LINDEX %s:{s}:history 0", fixture.prefix)->str, "{\"job\":\"j98\"}");
    for (int set = 1; set <= 2; set++) {
        int64_t ttl = fixture_int("TTL %s:{s}:applied%s", fixture.prefix, set == 1 ? "" : "2");
        cr_expect(ttl == -2 || (ttl > 3500 && ttl <= 3600), "set %d: %lld", set, (long long)ttl);
    }
    fixture_give(conn);
}

/* One untrimmed set; and while both versions run, the earlier one goes on adding to it, whatever the other contains. */
Test(session_store, a_set_of_an_earlier_version_is_known_and_goes_with_the_next_ones)
{
    struct session_store_conf conf = fixture_conf("a", NULL, 1);
    conf.applied_max = 10;
    struct redis_conn *conn = fixture_take();
    for (int i = 0; i < 500; i++)
        fixture_do("SADD %s:{s}:applied old%d", fixture.prefix, i);
    struct begin_op op = begin(conn, &conf, "s", "old7");
    cr_assert(finish(conn, &conf, op.claim, END_OK, "{\"job\":\"old7\"}") == FINISH_DONE);
    cr_expect(fixture_int("EXISTS %s:{s}:history", fixture.prefix) == 0, "it was applied before");
    apply(conn, &conf, 1, 8);
    fixture_do("SADD %s:{s}:applied both", fixture.prefix);
    cr_expect(fixture_int("SISMEMBER %s:{s}:applied old499", fixture.prefix) == 1, "as long as the other isn't full");
    apply(conn, &conf, 9, 9);
    cr_expect(applied_known() == 10, "%lld", (long long)applied_known());
    /* Both full, by an earlier version's doing. */
    for (int i = 0; i < 30; i++)
        fixture_do("SADD %s:{s}:applied mixed%d", fixture.prefix, i);
    apply(conn, &conf, 10, 10);
    cr_expect(applied_known() == 11, "%lld", (long long)applied_known());
    apply(conn, &conf, 11, 40);
    cr_expect(applied_known() < 20, "%lld", (long long)applied_known());
    cr_expect_str_eq(fixture_do("TYPE %s:{s}:applied", fixture.prefix)->str, "set", "what an earlier version expects");
    fixture_give(conn);
}

Test(session_store, an_applied_job_whose_turn_was_trimmed_sees_none_of_what_came_later)
{
    struct session_store_conf conf = fixture_conf("a", NULL, 1);
    conf.history_turns_max = 1;
    struct redis_conn *conn = fixture_take();
    cr_assert(finish(conn, &conf, begin(conn, &conf, "s", "j").claim, END_OK, "{\"job\":\"j\"}") == FINISH_DONE);
    struct begin_op later = begin(conn, &conf, "s", "k");
    begin_op_finish(&later);
    cr_assert(finish(conn, &conf, later.claim, END_OK, "{\"job\":\"k\"}") == FINISH_DONE);
    fixture_do("DEL %s:{s}:job:j", fixture.prefix);
    struct begin_op again = begin(conn, &conf, "s", "j");
    cr_expect(again.state == BEGIN_RUN && again.turn_count == 0);
    begin_op_finish(&again);
    fixture_give(conn);
}

Test(session_store, a_repeated_begin_holds_the_claim_anew)
{
    struct session_store_conf a = fixture_conf("a", NULL, 1), b = fixture_conf("b", NULL, 1);
    struct redis_conn *conn = fixture_take();
    OK(session_store_heartbeat(conn, &a, &error));
    struct begin_op op = begin(conn, &a, NULL, "j");
    fixture_do("HSET %s:{j}:job:j lease_until_ms 0", fixture.prefix);
    OK(session_store_begin(conn, &a, &op, 1, &error));
    cr_assert(op.state == BEGIN_RUN && op.claim.claim_epoch == 1 && op.crashes == 0);
    cr_expect(begin(conn, &b, NULL, "j").state == BEGIN_BUSY);
    fixture_give(conn);
}

Test(session_store, a_cancel_comes_first)
{
    struct session_store_conf conf = fixture_conf("a", NULL, 1);
    struct redis_conn *conn = fixture_take();
    struct begin_op op = begin(conn, &conf, "s", "j");
    fixture_do("HSET %s:{s}:job:j cancel 1", fixture.prefix);
    cr_expect(finish(conn, &conf, op.claim, END_OK, "{\"job\":\"j\"}") == FINISH_CANCELLED);
    cr_expect(fixture_int("EXISTS %s:{s}:history", fixture.prefix) == 0);
    cr_expect(finish(conn, &conf, op.claim, END_CANCELLED, NULL) == FINISH_DONE);
    fixture_give(conn);
}

Test(session_store, a_key_of_another_type_fails_its_own_op_alone)
{
    struct session_store_conf conf = fixture_conf("a", NULL, 1);
    struct redis_conn *conn = fixture_take();
    fixture_do("SET %s:{bad}:history x", fixture.prefix);
    struct begin_op ops[3] = {0};
    static const char *const sessions[] = {"s", "bad", "t"};
    for (int i = 0; i < 3; i++) {
        ops[i] = (struct begin_op){.claim = {.session = sessions[i], .job_id = "j"}, .fingerprint = "f", .origin = "o"};
        session_store_token(ops[i].claim.token);
    }
    OK(session_store_begin(conn, &conf, ops, 3, &error));
    cr_expect(ops[0].error.class == ERROR_NONE && ops[2].error.class == ERROR_NONE);
    cr_expect(ops[1].error.class == ERROR_PERMANENT);
    cr_expect_str_eq(ops[1].error.code, "redis_error");
    cr_expect(fixture_int("EXISTS %s:{bad}:job:j", fixture.prefix) == 0, "no claim is left behind");
    fixture_give(conn);
}

Test(session_store, a_suspect_is_not_claimed_until_its_caller_is_ready_for_it)
{
    struct session_store_conf a = fixture_conf("a", NULL, 1), b = fixture_conf("b", NULL, 1);
    struct redis_conn *conn = fixture_take();
    struct begin_op first = begin(conn, &a, "s", "j"), second = begin(conn, &b, "s", "j"); /* neither has a heartbeat */
    cr_assert(second.state == BEGIN_RUN && second.crashes == 1);
    struct begin_op op = {.claim = {.session = "s", .job_id = "j"}, .fingerprint = "fp", .origin = "jobs-0-1"};
    for (int times = 0; times < 2; times++) { /* begun again it counts no further crash */
        session_store_token(op.claim.token);
        OK(session_store_begin(conn, &a, &op, 1, &error));
        cr_expect(op.state == BEGIN_SUSPECT && op.crashes == 2, "state %d, %d crashes", op.state, (int)op.crashes);
    }
    struct release_op release = {.claim = second.claim, .kind = RELEASE_RETRY};
    OK(session_store_release(conn, &b, &release, 1, &error));
    cr_expect(!release.held && release.fails == 0, "it was robbed; and since it lives, it was no crash");
    op = begin(conn, &a, "s", "j");
    cr_expect(op.state == BEGIN_RUN && op.crashes == 1);
    cr_expect(finish(conn, &a, first.claim, END_OK, "{}") == FINISH_LOST);
    fixture_give(conn);
}

/* ---- cancel ---- */

static struct cancel_op cancel_from(struct redis_conn *conn, const struct session_store_conf *conf, const char *job, const char *token,
                                    const char *origin, const char *reply)
{
    struct cancel_op op = {.claim = {.session = "s", .job_id = job}, .fingerprint = "fp", .origin = origin, .reply = reply};
    snprintf(op.claim.token, sizeof op.claim.token, "%s", token);
    OK(session_store_cancel(conn, conf, &op, 1, &error));
    cr_assert(op.error.class == ERROR_NONE, "%s", op.error.message);
    return op;
}

static struct cancel_op cancel(struct redis_conn *conn, const struct session_store_conf *conf, const char *job, const char *reply)
{
    return cancel_from(conn, conf, job, "", "jobs-0-1", reply);
}

/* A begin of the same job gets that reply. */
static void expect_cancelled(struct redis_conn *conn, const struct session_store_conf *conf, const char *job, const char *reply)
{
    struct begin_op again = begin(conn, conf, "s", job);
    cr_assert(again.state == BEGIN_DONE && again.end_state == END_CANCELLED, "%s", job);
    cr_expect_str_eq(again.reply, reply);
    begin_op_finish(&again);
    cr_expect(fixture_int("HEXISTS %s:{s}:job:%s cancel", fixture.prefix, job) == 0);
    cr_expect(fixture_int("LLEN %s:{s}:history", fixture.prefix) == 0);
    int64_t ttl = fixture_int("TTL %s:{s}:job:%s", fixture.prefix, job);
    cr_expect(ttl > 3000 && ttl <= 3600, "its reply's life: %lld", (long long)ttl);
}

Test(session_store, a_job_that_nobody_runs_is_cancelled_once_and_answered_the_same)
{
    struct session_store_conf conf = fixture_conf("a", NULL, 1);
    struct redis_conn *conn = fixture_take();
    cr_assert(cancel(conn, &conf, "new", "{\"c\":1}").state == CANCEL_ENDED);
    expect_cancelled(conn, &conf, "new", "{\"c\":1}");

    struct begin_op op = begin(conn, &conf, "s", "idle");
    struct release_op release = {.claim = op.claim, .kind = RELEASE_RETRY};
    OK(session_store_release(conn, &conf, &release, 1, &error));
    cr_assert(cancel(conn, &conf, "idle", "{\"c\":2}").state == CANCEL_ENDED);
    expect_cancelled(conn, &conf, "idle", "{\"c\":2}");

    /* A repeat, and the duplicate from another place. */
    static const char *const origins[] = {"jobs-0-1", "jobs-3-9"};
    for (int i = 0; i < 2; i++) {
        struct cancel_op again = cancel_from(conn, &conf, "idle", "", origins[i], "{\"c\":3}");
        cr_assert(again.state == CANCEL_DONE && again.end_state == END_CANCELLED);
        cr_expect_str_eq(again.stored, "{\"c\":2}");
        cancel_op_finish(&again);
    }
    fixture_give(conn);
}

Test(session_store, what_has_ended_stays_so_and_a_replay_of_a_dead_one_is_cancelled)
{
    struct session_store_conf conf = fixture_conf("a", NULL, 1);
    struct redis_conn *conn = fixture_take();
    static const char *const jobs[] = {"ok", "dead"};
    for (int i = 0; i < 2; i++) {
        struct begin_op op = begin(conn, &conf, "s", jobs[i]);
        cr_assert(finish(conn, &conf, op.claim, i ? END_DEAD : END_OK, NULL) == FINISH_DONE);
        struct cancel_op late = cancel(conn, &conf, jobs[i], "{}");
        cr_assert(late.state == CANCEL_DONE && late.end_state == (i ? END_DEAD : END_OK));
        cr_expect_str_eq(late.stored, "{\"r\":1}");
        cancel_op_finish(&late);
    }
    cr_assert(cancel_from(conn, &conf, "dead", "", "jobs-3-9", "{\"c\":1}").state == CANCEL_ENDED);
    struct cancel_op again = cancel_from(conn, &conf, "dead", "", "jobs-3-9", "{}");
    cr_assert(again.state == CANCEL_DONE && again.end_state == END_CANCELLED);
    cancel_op_finish(&again);
    fixture_give(conn);
}

Test(session_store, whoever_runs_a_cancelled_job_can_end_it_so_alone)
{
    struct session_store_conf holder = fixture_conf("a", NULL, 1), other = fixture_conf("b", NULL, 1);
    struct redis_conn *conn = fixture_take();
    struct begin_op op = begin(conn, &holder, "s", "j");
    struct cancel_op told = cancel(conn, &other, "j", "{}");
    cr_assert(told.state == CANCEL_REQUESTED && told.busy_ms > 0 && told.busy_ms <= 3600000);
    cr_assert(finish(conn, &holder, op.claim, END_OK, "{\"job\":\"j\"}") == FINISH_CANCELLED);
    cr_assert(finish(conn, &holder, op.claim, END_DEAD, NULL) == FINISH_CANCELLED);
    cr_assert(finish(conn, &holder, op.claim, END_CANCELLED, NULL) == FINISH_DONE);
    cr_assert(finish(conn, &holder, op.claim, END_CANCELLED, NULL) == FINISH_DONE, "a repeat");
    expect_cancelled(conn, &holder, "j", "{\"r\":1}");

    /* Released instead, the caller ends it, and the flag is deleted. */
    op = begin(conn, &holder, "s", "k");
    cr_assert(cancel(conn, &other, "k", "{}").state == CANCEL_REQUESTED);
    struct release_op release = {.claim = op.claim, .kind = RELEASE_DROP};
    OK(session_store_release(conn, &holder, &release, 1, &error));
    cr_assert(cancel(conn, &other, "k", "{\"c\":2}").state == CANCEL_ENDED);
    expect_cancelled(conn, &other, "k", "{\"c\":2}");
    fixture_give(conn);
}

Test(session_store, a_claim_that_ran_out_or_that_is_the_callers_own_is_ended)
{
    struct session_store_conf holder = fixture_conf("a", NULL, 1), other = fixture_conf("b", NULL, 1);
    struct redis_conn *conn = fixture_take();
    holder.lease_ms = 1;
    struct begin_op op = begin(conn, &holder, "s", "j");
    fixture_wait_redis_ms(3);
    cr_assert(cancel(conn, &other, "j", "{\"c\":1}").state == CANCEL_ENDED);
    cr_assert(finish(conn, &holder, op.claim, END_OK, "{\"job\":\"j\"}") == FINISH_LOST, "its answer is thrown away");
    expect_cancelled(conn, &other, "j", "{\"c\":1}");

    /* A begin whose answer was lost. */
    op = begin(conn, &other, "s", "k");
    cr_assert(cancel_from(conn, &other, "k", op.claim.token, "jobs-0-1", "{\"c\":2}").state == CANCEL_ENDED);
    expect_cancelled(conn, &other, "k", "{\"c\":2}");
    fixture_give(conn);
}

Test(session_store, another_contents_record_is_left_as_it_is)
{
    struct session_store_conf conf = fixture_conf("a", NULL, 1);
    struct redis_conn *conn = fixture_take();
    struct begin_op op = begin(conn, &conf, "s", "j");
    cr_assert(finish(conn, &conf, op.claim, END_OK, NULL) == FINISH_DONE);
    struct cancel_op other = {.claim = {.session = "s", .job_id = "j"}, .fingerprint = "another", .origin = "jobs-0-2", .reply = "{}"};
    OK(session_store_cancel(conn, &conf, &other, 1, &error));
    cr_assert(other.error.class == ERROR_NONE && other.state == CANCEL_OTHER);
    struct begin_op again = begin(conn, &conf, "s", "j");
    cr_assert(again.state == BEGIN_DONE && again.end_state == END_OK);
    begin_op_finish(&again);
    fixture_give(conn);
}

/* Run by Redis, but the answer is lost; then the whole call again. */
Test(session_store, a_cancel_whose_answer_was_lost_is_repeated)
{
    struct session_store_conf conf = fixture_conf("a", NULL, 1);
    struct redis_conn *conn = fixture_take();
    struct cancel_op ops[3];
    static const char *const jobs[] = {"a", "b", "c"};
    for (int i = 0; i < 3; i++)
        ops[i] = (struct cancel_op){.claim = {.session = "s", .job_id = jobs[i]}, .fingerprint = "fp", .origin = "jobs-0-1", .reply = "{\"c\":1}"};
    OK(session_store_cancel(conn, &conf, ops, 3, &error));
    fixture_do("SCRIPT FLUSH");
    for (int i = 0; i < 3; i++)
        ops[i].reply = "{\"c\":2}";
    OK(session_store_cancel(conn, &conf, ops, 3, &error));
    for (int i = 0; i < 3; i++) {
        cr_assert(ops[i].state == CANCEL_DONE && ops[i].end_state == END_CANCELLED);
        cr_expect_str_eq(ops[i].stored, "{\"c\":1}");
        cancel_op_finish(&ops[i]);
    }
    fixture_kill(conn);
    cr_assert(session_store_cancel(conn, &conf, ops, 3, &error) == STATUS_FAILED && error.class == ERROR_UNAVAILABLE);
    fixture_give(conn);
}
