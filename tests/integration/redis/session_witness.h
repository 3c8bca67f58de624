/* Invariants checked from the answers alone, independent of the model. The witness has its own copy of Redis' state: when keys
 * were evicted or a replica took over, it keeps what they keep, and counts what was lost. */
#ifndef CHAT_TESTS_SESSION_WITNESS_H
#define CHAT_TESTS_SESSION_WITNESS_H

#include "session_model.h"

struct testimony {
    char token[33]; /* of the last claim; empty: none that Redis has */
    int64_t epoch, fails;
    int fingerprint;
    bool running, ok, bad, cancelled;
    char reply[96]; /* of the end */
};

struct witness {
    struct testimony jobs[JOBS];
    struct turn turns[SESSIONS][512]; /* in the order of their finishes */
    int turn_count[SESSIONS];
};

static struct witness witness;

/* Losses by eviction and failover, over all sequences: allowed there, and nowhere else. */
static struct losses {
    int failovers, evictions, replies, turns, turns_twice;
} losses;

/* Each returns what is wrong, or NULL. */
static const char *saw_run(int job, const char *token, int64_t epoch, int64_t fails, int fingerprint)
{
    struct testimony *t = &witness.jobs[job];
    if (t->ok)
        return "asked again for a stored reply";
    if (t->running && t->fingerprint != fingerprint)
        return "a running job's id taken with other content";
    if (strcmp(t->token, token) == 0 && t->running)
        return epoch == t->epoch ? NULL : "the epoch of a repeated begin changed";
    if (*t->token && epoch <= t->epoch)
        return "the epoch didn't grow";
    if (t->bad)
        t->fails = 0;
    t->cancelled = false;
    if (fails != t->fails)
        return "failures aren't counted as they were told";
    strcpy(t->token, token);
    t->epoch = epoch;
    t->fingerprint = fingerprint;
    t->running = true;
    t->bad = false;
    return NULL;
}

static const char *saw_done(int job, enum end_state end, const char *reply)
{
    const struct testimony *t = &witness.jobs[job];
    if (!t->ok && !t->bad)
        return "done, and nobody ended it";
    if ((end == END_OK) != t->ok || strcmp(reply ? reply : "", t->reply) != 0)
        return "another reply than the one that was accepted";
    return NULL;
}

/* The claim's holder has lost it, without a new one. */
static const char *saw_suspect(int job)
{
    struct testimony *t = &witness.jobs[job];
    if (t->ok || t->bad)
        return "a suspect that has ended";
    if (t->running)
        strcpy(t->token, "nobody's");
    t->running = false;
    return NULL;
}

static const char *saw_conflict(int job, int fingerprint)
{
    const struct testimony *t = &witness.jobs[job];
    return (t->running || t->ok) && t->fingerprint != fingerprint ? NULL : "a conflict with nothing";
}

static const char *saw_finish(int job, const struct claim *claim, enum end_state end, const char *reply, int fingerprint, bool has_turn)
{
    struct testimony *t = &witness.jobs[job];
    if (*t->token && strcmp(t->token, claim->token) != 0)
        return "an answer was accepted under another's token";
    if (t->ok || t->bad)
        return strcmp(t->reply, reply) == 0 ? NULL : "a second answer was accepted";
    if (*t->token && !t->running)
        return "an answer was accepted under a released claim";
    if (!*t->token) /* Redis had lost the record */
        *t = (struct testimony){.epoch = claim->claim_epoch};
    strcpy(t->token, claim->token);
    t->fingerprint = fingerprint;
    t->running = false;
    *(end == END_OK ? &t->ok : &t->bad) = true;
    strcpy(t->reply, reply);
    int s = session_of(job);
    if (end == END_OK && has_turn && s >= 0) {
        struct turn *turn = &witness.turns[s][witness.turn_count[s]++];
        turn->job = job;
        strcpy(turn->token, claim->token);
    }
    return NULL;
}

/* A cancel by a worker that doesn't run the job, as far as it knows. */
static const char *saw_cancel(int job, const char *token, const char *reply, int fingerprint)
{
    struct testimony *t = &witness.jobs[job];
    if (t->ok)
        return "an answered job was cancelled";
    if (t->bad && strcmp(t->reply, reply) != 0 && t->fingerprint == fingerprint && t->cancelled)
        return "a job was cancelled twice";
    strcpy(t->token, *token ? token : "nobody's");
    t->running = false;
    t->bad = t->cancelled = true;
    t->fingerprint = fingerprint;
    strcpy(t->reply, reply);
    return NULL;
}

static const char *saw_release(int job, const char *token, enum release_kind kind, bool held, int64_t fails)
{
    struct testimony *t = &witness.jobs[job];
    if (!held)
        return NULL;
    if (strcmp(t->token, token) != 0 || t->ok || t->bad)
        return "a claim was released under another's token";
    t->fails += t->running && kind == RELEASE_RETRY;
    t->running = false;
    return fails == t->fails ? NULL : "failures aren't counted as they were told";
}

static const char *saw_renew(int job, const char *token, bool held)
{
    const struct testimony *t = &witness.jobs[job];
    bool ours = !*t->token || (t->running && strcmp(t->token, token) == 0); /* or Redis has lost the holder */
    return ours == held ? NULL : "renewed under another's token, or not under its own";
}

#endif
