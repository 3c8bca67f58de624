/* Claims, history and stored replies in Redis: the scripts of redis/scripts, and nothing else of Redis.
 *
 * Each call runs n operations in one pipeline on one connection, blocks up to the connection's time-out,
 * and gives each operation its own answer or error. STATUS_FAILED with *err (ERROR_UNAVAILABLE) means the
 * connection is broken: it is unknown which operations ran, all may be repeated with the same token, and
 * the connection is marked broken (redis_pool_give closes it); no operation owns anything then. Any thread;
 * one connection, one thread at a time. The process ignores SIGPIPE: hiredis writes with write(2). */
#ifndef CHAT_REDIS_SESSION_STORE_H
#define CHAT_REDIS_SESSION_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* A turn that was trimmed from the history can be appended again only by a job that comes after its record has expired and so many later turns. */
#define APPLIED_MIN 1000

struct redis_conn; /* redis/redis_pool.h */

/* The claiming process. */
struct incarnation {
    char id[64];           /* unique to this process: random hex */
    const char *instance;  /* group.instance.id, or NULL: then no other process's claims are taken over before their lease expires */
    int64_t started_ms;    /* Unix time: orders the incarnations of one instance */
};

struct session_store_conf {
    const char *key_prefix;
    int64_t lease_ms;
    int64_t alive_ms; /* how long a heartbeat is valid */
    int64_t reply_ttl_s;
    int64_t session_ttl_s;
    int64_t history_turns_max; /* list elements (one a job) */
    int64_t applied_max; /* at least so many of a session's newest job ids are known as applied; less than twice as many are kept */
    int64_t history_bytes_max; /* begin loads the newest elements, up to so many bytes */
    struct incarnation self;
};

/* Identifies one claim. Strings are borrowed for the length of the call. */
struct claim {
    const char *session; /* NULL or empty: no history, the job id is the hash tag */
    const char *job_id;
    char token[33]; /* 128 random bits in hex: session_store_token */
    int64_t claim_epoch; /* filled by begin */
};

enum begin_state {
    BEGIN_RUN,     /* claimed by us: fails, crashes, turns are set */
    BEGIN_DONE,    /* ended before: end_state, reply are set */
    BEGIN_SUSPECT, /* its claims were found unreleased more often than crashes_max: crashes is set; not claimed */
    BEGIN_BUSY,    /* another live claim: busy_ms, holder, holder_is_self (an earlier token of ours) are set */
    BEGIN_CONFLICT /* same id, other content: permanent */
};
enum end_state { END_OK, END_DEAD, END_CANCELLED };

struct begin_op {
    struct claim claim; /* in: session, job_id, token; out: claim_epoch */
    const char *fingerprint;
    const char *origin; /* "topic-partition-offset": a dead job begun from another origin runs again */
    bool keep_seen; /* the job's deadline counts from when it was first seen, which is stored with the job */
    int64_t seen_ago_ms; /* in: since we received it; out, with keep_seen: since the first worker that claimed it did */
    int64_t crashes_max; /* how many crashes may be counted for it, at least one; more: SUSPECT */
    /* Out. */
    struct error error; /* class NONE: answered */
    enum begin_state state;
    int64_t fails;   /* classified failures so far */
    int64_t crashes; /* claims found unreleased so far */
    int64_t first_failed_ms; /* Unix time of the first classified failure; 0: none */
    int64_t busy_ms; /* try again after that: the rest of the lease, or of the heartbeat if that is shorter */
    bool holder_is_self;
    char holder[64]; /* BUSY: the claim's holder (an incarnation's id) */
    enum end_state end_state;
    char *reply;  /* owned; the reply that finish stored; may be NULL */
    char **turns; /* owned, turn_count long: history elements, oldest first, each {"job":ID,"messages":[…]} */
    size_t turn_count;
};

enum finish_state {
    FINISH_DONE,
    FINISH_LOST,     /* the claim has another token: throw the answer away, publish nothing */
    FINISH_CANCELLED /* a cancel came first */
};

struct finish_op {
    struct claim claim;
    enum end_state end_state;
    const char *fingerprint; /* for a job's record that was evicted and is made anew */
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
    CANCEL_ENDED, /* the job is cancelled now, and this reply is stored */
    CANCEL_DONE,  /* the job had ended before: end_state, reply are set */
    CANCEL_REQUESTED,  /* another worker runs it, and can only end it as cancelled from now on: its lease expires in busy_ms */
    CANCEL_OTHER  /* the id has other content: nothing is stored, but that job is cancelled too while it runs */
};

/* For a job that the caller doesn't run; a job that it runs is finished with END_CANCELLED. */
struct cancel_op {
    struct claim claim; /* token: of a begin whose answer was lost; empty: none. claim_epoch is unused */
    const char *fingerprint;
    const char *origin;
    const char *reply; /* JSON text to store */
    /* Out. */
    struct error error;
    enum cancel_state state;
    enum end_state end_state;
    char *stored; /* owned; the reply stored before; may be NULL */
    int64_t busy_ms;
};

struct renew_op {
    struct claim claim;
    int64_t lease_ms; /* from now; the caller bounds it by the job's deadline */
    struct error error; /* out */
    bool held;          /* out: false: lost, stop the work */
};

/* A new token for each claim, never used again after its release: an old begin that arrives late must not
 * claim the job again. */
void session_store_token(char out[33]);

enum status session_store_begin(struct redis_conn *conn, const struct session_store_conf *conf, struct begin_op *ops,
                                size_t n, struct error *err) MUST_CHECK;
/* n finishes and, after them in the same pipeline, the begins of m jobs that follow in their sessions: each
 * of these gets the history with those turns in it. A follower of a LOST finish was claimed too early: begin
 * it again, with the same token. */
enum status session_store_finish(struct redis_conn *conn, const struct session_store_conf *conf,
                                 struct finish_op *ends, size_t n, struct begin_op *followers, size_t m,
                                 struct error *err) MUST_CHECK;
enum status session_store_release(struct redis_conn *conn, const struct session_store_conf *conf,
                                  struct release_op *ops, size_t n, struct error *err) MUST_CHECK;
enum status session_store_cancel(struct redis_conn *conn, const struct session_store_conf *conf,
                                 struct cancel_op *ops, size_t n, struct error *err) MUST_CHECK;
enum status session_store_renew(struct redis_conn *conn, const struct session_store_conf *conf,
                                struct renew_op *ops, size_t n, struct error *err) MUST_CHECK;
/* Stores a heartbeat of this incarnation, valid for alive_ms; without one a begin of another worker takes over its claims: call this
 * before the first begin, and again every few seconds. */
enum status session_store_heartbeat(struct redis_conn *conn, const struct session_store_conf *conf,
                                    struct error *err) MUST_CHECK;

/* Frees the history alone. */
void begin_op_drop_turns(struct begin_op *op);
/* Frees reply and turns; the op may be used again. */
void begin_op_finish(struct begin_op *op);
void cancel_op_finish(struct cancel_op *op);

#endif
