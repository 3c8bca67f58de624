/* A model of the scripts, in plain C: one record a job, one history a session. Its state is one struct, so
 * that a replica's state is a copy of it. */
#ifndef CHAT_TESTS_SESSION_MODEL_H
#define CHAT_TESTS_SESSION_MODEL_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "redis/session_store.h"

enum { CLIENTS = 4, SESSIONS = 2, JOBS = 8, TURNS_MAX = 6, ROBBED_MAX = 4 };
enum model_state { ABSENT, IDLE, RUN, OK, DEAD, CANCELLED };

struct record {
    enum model_state state;
    char token[33], robbed[ROBBED_MAX][33];
    int robbed_count;
    int64_t epoch, fails, crashes;
    bool failed_once, expired, cancel;
    int fingerprint, origin, holder;
    char reply[96];
};

struct turn {
    int job;
    char token[33]; /* of the finish that wrote it */
};

struct model {
    int turns_max, applied_max;
    struct record records[JOBS];
    struct turn history[SESSIONS][TURNS_MAX + 1];
    int history_count[SESSIONS];
    bool applied[2][JOBS]; /* the two sets of job ids, of all sessions */
    bool alive[CLIENTS];
};

static struct model model;

/* The last two jobs have no session; the ids contain characters that must be encoded. */
static int session_of(int job)
{
    return job < 6 ? job % SESSIONS : -1;
}

static bool is_applied(int job)
{
    return model.applied[0][job] || model.applied[1][job];
}

static int applied_count(int set, int session)
{
    int count = 0;
    for (int job = 0; job < JOBS; job++)
        count += session_of(job) == session && model.applied[set][job];
    return count;
}

static void applied_drop(int set, int session)
{
    for (int job = 0; job < JOBS; job++)
        model.applied[set][job] = model.applied[set][job] && session_of(job) != session;
}

/* Into the set that isn't full; the other is deleted when this one is full. */
static void applied_add(int session, int job)
{
    int set = applied_count(0, session) >= model.applied_max;
    model.applied[set][job] = true;
    if (applied_count(set, session) >= model.applied_max)
        applied_drop(1 - set, session);
}

static int history_find(int session, int job)
{
    for (int i = 0; i < model.history_count[session]; i++)
        if (model.history[session][i].job == job)
            return i;
    return -1;
}

static bool older_life(int holder, int client) /* clients 0 and 1 are incarnations of one instance, 1 the newer */
{
    return holder == 0 && client == 1;
}

static void forget_robbed(struct record *r, int i)
{
    r->robbed_count--;
    memmove(r->robbed[i], r->robbed[i + 1], (size_t)(r->robbed_count - i) * sizeof *r->robbed);
}

static void take_back_suspicion(struct record *r, const char *token)
{
    for (int i = 0; i < r->robbed_count; i++)
        if (strcmp(r->robbed[i], token) == 0) {
            forget_robbed(r, i);
            r->crashes--;
            return;
        }
}

static void rob(struct record *r)
{
    if (r->robbed_count == ROBBED_MAX)
        forget_robbed(r, 0);
    strcpy(r->robbed[r->robbed_count++], r->token);
    r->crashes++;
}

/* presume_dead: whether the caller may look at the holder's heartbeat (what it does on its second try). */
static enum begin_state model_begin(int client, int job, const char *token, int fingerprint, int origin, int64_t crashes_max, bool presume_dead)
{
    struct record *r = &model.records[job];
    if ((r->state == RUN || r->state == OK) && r->fingerprint != fingerprint)
        return BEGIN_CONFLICT;
    if (r->state == OK || ((r->state == DEAD || r->state == CANCELLED) && r->origin == origin))
        return BEGIN_DONE;
    if (r->state == RUN && strcmp(r->token, token) == 0) {
        r->expired = false;
        return BEGIN_RUN;
    }
    if (r->state == RUN) {
        bool seems_dead = presume_dead && r->holder != client && !model.alive[r->holder];
        if (!r->expired && !older_life(r->holder, client) && !seems_dead)
            return BEGIN_BUSY;
        take_back_suspicion(r, token);
        rob(r);
    } else if (r->state == IDLE) {
        take_back_suspicion(r, token);
    } else {
        int64_t epoch = r->epoch;
        *r = (struct record){.epoch = epoch};
    }
    if (r->crashes > crashes_max) {
        if (r->state == RUN)
            r->token[0] = '\0';
        r->state = IDLE;
        return BEGIN_SUSPECT;
    }
    strcpy(r->token, token);
    r->state = RUN;
    r->epoch++;
    r->expired = false;
    r->fingerprint = fingerprint;
    r->origin = origin;
    r->holder = client;
    return BEGIN_RUN;
}

static void model_append(int job, const char *token, bool record_missing)
{
    int s = session_of(job);
    if (s < 0)
        return;
    bool proven = !record_missing && applied_count(0, s) + applied_count(1, s) > 0;
    bool seen = is_applied(job) || (!proven && history_find(s, job) >= 0);
    applied_add(s, job);
    if (seen)
        return;
    struct turn *turn = &model.history[s][model.history_count[s]++];
    turn->job = job;
    strcpy(turn->token, token);
    if (model.history_count[s] > model.turns_max) {
        memmove(model.history[s], model.history[s] + 1, sizeof model.history[s] - sizeof **model.history);
        model.history_count[s]--;
    }
}

static enum finish_state model_finish(int job, const struct claim *claim, enum end_state end, const char *reply, int fingerprint,
                                      int origin)
{
    struct record *r = &model.records[job];
    if (r->state == IDLE || (r->state != ABSENT && strcmp(r->token, claim->token) != 0)) {
        take_back_suspicion(r, claim->token);
        return FINISH_LOST;
    }
    if (r->state != ABSENT && r->state != RUN)
        return FINISH_DONE;
    if (r->cancel && end != END_CANCELLED)
        return FINISH_CANCELLED;
    if (end == END_OK)
        model_append(job, claim->token, r->state == ABSENT);
    if (r->state == ABSENT) {
        *r = (struct record){.epoch = claim->claim_epoch, .fingerprint = fingerprint, .origin = origin};
        strcpy(r->token, claim->token);
    }
    r->state = end == END_OK ? OK : end == END_DEAD ? DEAD : CANCELLED;
    r->cancel = false;
    strcpy(r->reply, reply);
    return FINISH_DONE;
}

static enum cancel_state model_cancel(int job, const char *token, const char *reply, int fingerprint, int origin)
{
    struct record *r = &model.records[job];
    bool alive = r->state == RUN && strcmp(r->token, token) != 0 && !r->expired;
    bool other = (r->state == RUN || r->state == OK) && r->fingerprint != fingerprint;
    if (r->state == RUN && (alive || other))
        r->cancel = true;
    if (alive)
        return CANCEL_REQUESTED;
    if (other)
        return CANCEL_OTHER;
    if (r->state == OK || (r->state == CANCELLED && r->fingerprint == fingerprint) || (r->state == DEAD && r->origin == origin))
        return CANCEL_DONE;
    r->state = CANCELLED;
    r->cancel = false;
    r->fingerprint = fingerprint;
    r->origin = origin;
    strcpy(r->token, token);
    strcpy(r->reply, reply);
    return CANCEL_ENDED;
}

static bool model_release(int job, const char *token, enum release_kind kind)
{
    struct record *r = &model.records[job];
    if ((r->state != RUN && r->state != IDLE) || strcmp(r->token, token) != 0) {
        take_back_suspicion(r, token);
        return false;
    }
    if (r->state == RUN && kind == RELEASE_RETRY) {
        r->fails++;
        r->failed_once = true;
    }
    r->state = IDLE;
    return true;
}

static bool model_renew(int job, const char *token)
{
    struct record *r = &model.records[job];
    if (r->state == ABSENT)
        return true;
    if (r->state == RUN && strcmp(r->token, token) == 0) {
        r->expired = false;
        return true;
    }
    take_back_suspicion(r, token);
    return false;
}

#endif
