/* What goes into transactions, and what follows when one can't be committed. A round takes the ends that came, in the order
 * of put, and carries the open transaction as far as it goes:
 *
 *     owed ─admit─▶ produce … ─▶ membership ─▶ are all assignments still ours? ─▶ send offsets ─▶ commit ─▶ merge into the trackers
 *      ▲                            └── abortable error: abort, back off, all of it again in the same order
 *      └──────────────────────────────────────────┘
 *
 * Why a result of a revoked partition can't set the new owner back. The group's metadata (member and generation) is taken
 * first, then each assignment in the transaction is looked at: one that isn't revoked then was ours when the metadata was
 * taken. Whatever moves the partition later makes another generation, of which the broker refuses our offsets
 * (KIP-447); and once it has taken them, the new owner's read of committed offsets waits for our end. Taken when the
 * transaction begins, the metadata would be refused after every rebalance that leaves our partitions in place, and in
 * every cooperative revoke, since the callback comes when we are in the next generation already. And each was given to the member id
 * that the group knows us by now: one that comes back as another member may not have been told yet what it has lost (intake/rebalance.h).
 *
 * One thread's (chat-txn, publisher_txn.c), but for txn_commits_follow. Its parts: transaction.h makes the calls, end_queue.h holds the ends,
 * txn_admission.h decides what may enter, txn_shares.h what is said of their partitions, refused_end.h what follows a refusal. */
#ifndef CHAT_COMPLETION_TXN_COMMITS_H
#define CHAT_COMPLETION_TXN_COMMITS_H

#include <librdkafka/rdkafka.h>

#include "completion/txn_shares.h"
#include "task/service.h"

struct txn_commits;

/* Blocks as transaction_start does. time_is_up(arg): asked while a call is made again and again; what is open is left then. */
enum status txn_commits_create(const struct service *service, const char *bootstrap, const char *transactional_id, bool (*time_is_up)(void *arg),
                              void *arg, bool (*give_up)(void), struct txn_commits **ret, struct error *err) MUST_CHECK;
/* NULL is fine. Blocks as record_producer_destroy; false as there. */
bool txn_commits_destroy(struct txn_commits *commits) MUST_CHECK;

/* Takes what both hold, and the references of what came in; leaves them empty. Blocks on nothing. */
void txn_commits_take(struct txn_commits *commits, struct task_list *incoming, struct partitions *offered);

struct txn_round {
    size_t gone;           /* ends that were committed or dropped */
    bool again;            /* there is more to do at once */
    bool made;             /* all that may be committed is */
    struct error failure;  /* FATAL: no round will succeed; else NONE */
};

/* commit_now: somebody waits for a commit. Blocks as long as Kafka takes: see transaction.h. */
struct txn_round txn_commits_run(struct txn_commits *commits, bool commit_now);
/* Before this a round for commit_now does nothing (it backs off); clock_mono_ms. */
int64_t txn_commits_not_before_ms(const struct txn_commits *commits);
/* When a round has something to do even if nothing comes: clock_mono_ms; -1: never. */
int64_t txn_commits_next_ms(const struct txn_commits *commits);
/* At the thread's end: aborts what is open, unless abandon (no call would succeed), and drops the rest. Returns how many ends went. */
size_t txn_commits_end(struct txn_commits *commits, bool abandon);

/* The consumer whose group fences the offsets; NULL: it is about to go. Any thread. */
void txn_commits_follow(struct txn_commits *commits, rd_kafka_t *consumer);

#endif
