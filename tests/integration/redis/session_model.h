/* What the scripts should do, in plain C: one record a job, one history a session. */
#ifndef CHAT_TESTS_SESSION_MODEL_H
#define CHAT_TESTS_SESSION_MODEL_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "chat/session_store.h"

enum { CLIENTS = 4, SESSIONS = 2, JOBS = 8, TURNS_MAX = 2, WORDS = 2 };
enum model_state { ABSENT, IDLE, RUN, OK, DEAD, CANCELLED };

struct record {
    enum model_state state;
    char token[33], robbed[33];
    int64_t epoch, fails, crashes;
    bool failed_once, expired;
    int fingerprint, origin, holder;
    char reply[64];
};

static struct record records[JOBS];
static int history[SESSIONS][TURNS_MAX + 1], history_count[SESSIONS];
static bool applied[JOBS];
static bool alive[CLIENTS];

static const char *const words[WORDS] = {"one", "two"};

/* The last two jobs have no session; the ids hold what must be encoded. */
static int session_of(int job)
{
    return job < 6 ? job % SESSIONS : -1;
}

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

static bool applied_exists(int session)
{
    for (int job = 0; job < JOBS; job++)
        if (session_of(job) == session && applied[job])
            return true;
    return false;
}

static int history_find(int session, int job)
{
    for (int i = 0; i < history_count[session]; i++)
        if (history[session][i] == job)
            return i;
    return -1;
}

static bool older_life(int holder, int client) /* clients 0 and 1 are lives of one instance, 1 the newer */
{
    return holder == 0 && client == 1;
}

static void take_back_suspicion(struct record *r, const char *token)
{
    if ((r->state == RUN || r->state == IDLE) && *r->robbed && strcmp(r->robbed, token) == 0) {
        r->crashes -= r->crashes > 0;
        r->robbed[0] = '\0';
    }
}

static enum begin_state model_begin(int client, int job, const char *token, int fingerprint, int origin)
{
    struct record *r = &records[job];
    if ((r->state == RUN || r->state == OK) && r->fingerprint != fingerprint)
        return BEGIN_CONFLICT;
    if (r->state == OK || ((r->state == DEAD || r->state == CANCELLED) && r->origin == origin))
        return BEGIN_DONE;
    if (r->state == RUN && strcmp(r->token, token) == 0) {
        r->expired = false;
        return BEGIN_RUN;
    }
    char robbed[33] = "";
    if (r->state == RUN) {
        if (!r->expired && !older_life(r->holder, client) && (r->holder == client || alive[r->holder]))
            return BEGIN_BUSY;
        r->crashes++;
        strcpy(robbed, r->token);
    } else if (r->state != IDLE) {
        int64_t epoch = r->epoch;
        *r = (struct record){.epoch = epoch};
    }
    strcpy(r->robbed, robbed);
    strcpy(r->token, token);
    r->state = RUN;
    r->epoch++;
    r->expired = false;
    r->fingerprint = fingerprint;
    r->origin = origin;
    r->holder = client;
    return BEGIN_RUN;
}

static void model_append(int job, bool record_missing)
{
    int s = session_of(job);
    if (s < 0)
        return;
    bool seen = applied[job] || ((record_missing || !applied_exists(s)) && history_find(s, job) >= 0);
    applied[job] = true;
    if (seen)
        return;
    history[s][history_count[s]++] = job;
    if (history_count[s] > TURNS_MAX) {
        memmove(history[s], history[s] + 1, sizeof history[s] - sizeof **history);
        history_count[s]--;
    }
}

static enum finish_state model_finish(int job, const struct finish_op *op, int fingerprint, int origin)
{
    struct record *r = &records[job];
    if (r->state == IDLE || (r->state != ABSENT && strcmp(r->token, op->claim.token) != 0)) {
        take_back_suspicion(r, op->claim.token);
        return FINISH_LOST;
    }
    if (r->state != ABSENT && r->state != RUN)
        return FINISH_DONE;
    if (op->end_state == END_OK)
        model_append(job, r->state == ABSENT);
    if (r->state == ABSENT) {
        *r = (struct record){.epoch = op->claim.claim_epoch, .fingerprint = fingerprint, .origin = origin};
        strcpy(r->token, op->claim.token);
    }
    r->state = op->end_state == END_OK ? OK : op->end_state == END_DEAD ? DEAD : CANCELLED;
    r->robbed[0] = '\0';
    strcpy(r->reply, op->reply);
    return FINISH_DONE;
}

static bool model_release(int job, const struct release_op *op)
{
    struct record *r = &records[job];
    if ((r->state != RUN && r->state != IDLE) || strcmp(r->token, op->claim.token) != 0) {
        take_back_suspicion(r, op->claim.token);
        return false;
    }
    if (r->state == RUN && op->kind == RELEASE_RETRY) {
        r->fails++;
        r->failed_once = true;
    }
    r->state = IDLE;
    return true;
}

static bool model_renew(int job, const char *token)
{
    struct record *r = &records[job];
    if (r->state == RUN && strcmp(r->token, token) == 0) {
        r->expired = false;
        return true;
    }
    take_back_suspicion(r, token);
    return false;
}

#endif
