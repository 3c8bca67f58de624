/* Fills and commits transactions, and recovers when one can't be committed. A round takes new ends, in the order
 * of put, and carries the open transaction as far as it goes:
 *
 *     owed ─admit─▶ produce … ─▶ membership ─▶ are all assignments still ours? ─▶ send offsets ─▶ commit ─▶ merge into the trackers
 *      ▲                            └── abortable error: abort, back off, all of it again in the same order
 *      └──────────────────────────────────────────┘
 *
 * Why a result of a revoked partition can't set the new owner back. The group's metadata (member and generation) is taken
 * first, then each assignment in the transaction is checked: one that isn't revoked then was ours when the metadata was
 * taken. A later move of the partition makes another generation, in which the broker refuses our offsets
 * (KIP-447); and once the broker has accepted them, the new owner's read of committed offsets waits for the transaction's end. Taken when the
 * transaction begins, the metadata would be refused after every rebalance that leaves our partitions in place, and in
 * every cooperative revoke, since the callback comes when we are in the next generation already. Each assignment must also be of our present
 * member id: a consumer that rejoined as another member may not have got the revoke of its lost partitions yet (intake/rebalance.h).
 *
 * One thread only (chat-txn, publisher_txn.c), except txn_commits_follow. Its parts: transaction.h makes the calls, end_queue.h holds the ends,
 * txn_admission.h decides which may enter, txn_shares.h makes the offsets to commit, refused_end.h handles refusals. */
#ifndef CHAT_COMPLETION_TXN_COMMITS_H
#define CHAT_COMPLETION_TXN_COMMITS_H

#include <librdkafka/rdkafka.h>

#include "completion/txn_shares.h"
#include "task/service.h"

struct txn_commits;

/* Blocks as transaction_start does. time_is_up(arg): called between repetitions of a call; true: the open transaction is left as it is. */
enum status txn_commits_create(const struct service *service, const char *bootstrap, const char *transactional_id, bool (*time_is_up)(void *arg),
                              void *arg, bool (*give_up)(void), struct txn_commits **ret, struct error *err) MUST_CHECK;
/* NULL is fine. Blocks and returns false as record_producer_destroy does. */
bool txn_commits_destroy(struct txn_commits *commits) MUST_CHECK;

/* Takes all ends and partitions, with their references; leaves both empty. Never blocks. */
void txn_commits_take(struct txn_commits *commits, struct task_list *incoming, struct partitions *offered);

struct txn_round {
    size_t gone;           /* ends that were committed or dropped */
    bool again;            /* there is more to do at once */
    bool made;             /* all that may be committed is committed */
    struct error failure;  /* FATAL: no round will succeed; else NONE */
};

/* commit_now: a thread waits for a commit. Blocks as long as Kafka takes: see transaction.h. */
struct txn_round txn_commits_run(struct txn_commits *commits, bool commit_now);
/* clock_mono_ms; before this a round for commit_now does nothing (backoff). */
int64_t txn_commits_not_before_ms(const struct txn_commits *commits);
/* clock_mono_ms: when the next round is due even without new ends; -1: never. */
int64_t txn_commits_next_ms(const struct txn_commits *commits);
/* At the thread's end: aborts the open transaction, unless abandon (no call would succeed), and drops all ends. Returns how many. */
size_t txn_commits_end(struct txn_commits *commits, bool abandon);

/* The consumer whose group fences the offsets; NULL: before it is destroyed. Any thread. */
void txn_commits_follow(struct txn_commits *commits, rd_kafka_t *consumer);

#endif
