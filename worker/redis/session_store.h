/* Claims, history and stored replies in Redis: the scripts of redis/scripts, and nothing else of Redis.
 *
 * Each call runs n operations in one pipeline on one connection, blocks up to the connection's time-out,
 * and gives each operation its own answer or error. STATUS_FAILED with *err (ERROR_UNAVAILABLE) means the
 * connection is broken: every operation's fate is unknown, all may be repeated under the same token, and
 * the connection is marked broken (redis_pool_give closes it); no operation owns anything then. Any thread;
 * one connection, one thread at a time. The process ignores SIGPIPE: hiredis writes with write(2). */
#ifndef CHAT_REDIS_SESSION_STORE_H
#define CHAT_REDIS_SESSION_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* A turn that left the history can be appended again only by a job that comes after its record has ended and so many later turns. */
#define APPLIED_MIN 1000

struct redis_conn; /* redis/redis_pool.h */

/* Who claims: the same for the whole process. */
struct incarnation {
    char id[64];           /* unique to this process: random hex */
    const char *instance;  /* group.instance.id, or NULL: then no other process's claims are taken before their lease ends */
    int64_t started_ms;    /* Unix time: orders the incarnations of one instance */
};

struct session_store_conf {
    const char *key_prefix;
    int64_t lease_ms;
    int64_t alive_ms; /* how long a heartbeat counts */
    int64_t reply_ttl_s;
    int64_t session_ttl_s;
    int64_t history_turns_max; /* list elements (one a job) */
    int64_t applied_max; /* the newest job ids of a session that are surely known as applied; less than twice as many are kept */
    int64_t history_bytes_max; /* begin brings the newest elements, so many bytes of them */
    struct incarnation self;
};

/* What names one claim. Strings are borrowed for the length of the call. */
struct claim {
    const char *session; /* NULL or empty: no history, the job id is the hash tag */
    const char *job_id;
    char token[33]; /* 128 random bits in hex: session_store_token */
    int64_t claim_epoch; /* filled by begin */
};

enum begin_state {
    BEGIN_RUN,     /* claimed by us: fails, crashes, turns are set */
    BEGIN_DONE,    /* ended before: end_state, reply are set */
    BEGIN_SUSPECT, /* found unreleased more often than crashes_max: crashes is set; not claimed */
    BEGIN_BUSY,    /* someone else's live claim: busy_ms, holder, holder_is_self (an earlier token of ours) */
    BEGIN_CONFLICT /* same id, other content: permanent */
};
enum end_state { END_OK, END_DEAD, END_CANCELLED };

struct begin_op {
    struct claim claim; /* in: session, job_id, token; out: claim_epoch */
    const char *fingerprint;
    const char *origin; /* "topic-partition-offset": a dead job begun from another origin runs again */
    bool keep_seen; /* its deadline counts from when it was first seen, which is kept with the job */
    int64_t seen_ago_ms; /* in: since we saw it; out, with keep_seen: since the first who claimed it did */
    int64_t crashes_max; /* run it with so many crashes on its record, at least one; more: SUSPECT */
    /* Out. */
    struct error error; /* class NONE: answered */
    enum begin_state state;
    int64_t fails;   /* classified failures so far */
    int64_t crashes; /* claims found unreleased so far */
    int64_t first_failed_ms; /* Unix time of the first classified failure; 0: none */
    int64_t busy_ms; /* try again after so long: the lease's rest, or the heartbeat's when that is shorter */
    bool holder_is_self;
    char holder[64]; /* BUSY: whose claim it is (an incarnation's id) */
    enum end_state end_state;
    char *reply;  /* owned; what finish stored; may be NULL */
    char **turns; /* owned, turn_count long: history elements, oldest first, each {"job":ID,"messages":[…]} */
    size_t turn_count;
};

enum finish_state {
    FINISH_DONE,
    FINISH_LOST,     /* another token holds it: throw the answer away, publish nothing */
    FINISH_CANCELLED /* a cancel came first */
};

struct finish_op {
    struct claim claim;
    enum end_state end_state;
    const char *fingerprint; /* for a record that was evicted and is made anew */
    const char *origin;
    const char *reply; /* JSON text to store */
    const char *turn;  /* history element; NULL: append nothing (not ok, or no session) */
    /* Out. */
    struct error error;
    enum finish_state state;
};

enum release_kind { RELEASE_RETRY /* counts a failure */, RELEASE_DROP };

struct release_op {
    struct claim claim;
    enum release_kind kind;
    struct error error; /* out */
    bool held;          /* out: false: the claim was no longer ours */
    int64_t fails;      /* out: after this release */
};

enum cancel_state {
    CANCEL_ENDED, /* it is cancelled now, and this reply is stored */
    CANCEL_DONE,  /* it had ended before: end_state, reply are set */
    CANCEL_REQUESTED,  /* somebody runs it, and can end it only as cancelled from now on: its lease is over in busy_ms */
    CANCEL_OTHER  /* the id is another content's: nothing is stored, but that one is cancelled too while it runs */
};

/* Of a job that the caller doesn't run; one that it does is finished with END_CANCELLED. */
struct cancel_op {
    struct claim claim; /* token: of a begin whose answer was lost; empty: none. claim_epoch is unused */
    const char *fingerprint;
    const char *origin;
    const char *reply; /* JSON text to store */
    /* Out. */
    struct error error;
    enum cancel_state state;
    enum end_state end_state;
    char *stored; /* owned; what was stored before; may be NULL */
    int64_t busy_ms;
};

struct renew_op {
    struct claim claim;
    int64_t lease_ms; /* from now; the caller bounds it by the job's budget */
    struct error error; /* out */
    bool held;          /* out: false: lost, stop the work */
};

/* A new token for each claim, never used again after its release: a begin of old that arrives late must not
 * claim what has moved on. */
void session_store_token(char out[33]);

enum status session_store_begin(struct redis_conn *conn, const struct session_store_conf *conf, struct begin_op *ops,
                                size_t n, struct error *err) MUST_CHECK;
/* n ends and, behind them in the same pipeline, the begins of m jobs that follow them in their sessions: each
 * of these sees the history with those ends in it. A follower of an end that is LOST was claimed too early: to
 * be begun again, under its token. */
enum status session_store_finish(struct redis_conn *conn, const struct session_store_conf *conf,
                                 struct finish_op *ends, size_t n, struct begin_op *followers, size_t m,
                                 struct error *err) MUST_CHECK;
enum status session_store_release(struct redis_conn *conn, const struct session_store_conf *conf,
                                  struct release_op *ops, size_t n, struct error *err) MUST_CHECK;
enum status session_store_cancel(struct redis_conn *conn, const struct session_store_conf *conf,
                                 struct cancel_op *ops, size_t n, struct error *err) MUST_CHECK;
enum status session_store_renew(struct redis_conn *conn, const struct session_store_conf *conf,
                                struct renew_op *ops, size_t n, struct error *err) MUST_CHECK;
/* Says for alive_ms that this incarnation lives; without it a begin of another worker takes its claims: call it
 * before the first begin, and again every few seconds. */
enum status session_store_heartbeat(struct redis_conn *conn, const struct session_store_conf *conf,
                                    struct error *err) MUST_CHECK;

/* The history alone. */
void begin_op_drop_turns(struct begin_op *op);
/* Releases what the answer owns (reply, turns); the op may be used again. */
void begin_op_finish(struct begin_op *op);
void cancel_op_finish(struct cancel_op *op);

#endif
