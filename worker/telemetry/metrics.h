/* Counters and gauges: each described once in METRICS, from which storage, names and help derive.
 * Any thread; relaxed atomics. */
#ifndef CHAT_TELEMETRY_METRICS_H
#define CHAT_TELEMETRY_METRICS_H

#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>

/*        name                       type      help */
#define METRICS(M)                                                                                        \
    M(jobs_received_total,           "counter", "Records read from the jobs topic.")                      \
    M(jobs_undecodable_total,        "counter", "Records that are no valid job.")                         \
    M(odd_timestamps_total,          "counter", "Jobs with a deadline whose record's timestamp can't be meant: seconds for milliseconds, say.") \
    M(jobs_ok_total,                 "counter", "Jobs answered by a provider.")                           \
    M(jobs_from_store_total,         "counter", "Jobs answered from the stored reply, without a provider.")\
    M(jobs_dead_total,               "counter", "Jobs that ended as a dead letter.")                      \
    M(jobs_cancelled_total,          "counter", "Jobs that ended because a control record cancelled them.")  \
    M(jobs_dropped_total,            "counter", "Jobs given back unfinished: revoked partition or drain.")\
    M(jobs_done_before_total,        "counter", "Records that the completed set of an assignment before says are done, skipped.") \
    M(jobs_duplicate_offset_total,   "counter", "Records seen before in the same assignment, ignored.")   \
    M(job_retries_total,             "counter", "Classified failures that will be tried again.")          \
    M(job_waits_total,               "counter", "Waits that count as no attempt: claim, provider or Redis away.") \
    M(job_suspects_total,            "counter", "Jobs found unreleased after crashes, to run among few or alone.") \
    M(claims_lost_total,             "counter", "Answers thrown away: another worker held the claim.")    \
    M(context_fetches_total,         "counter", "Context sources asked.")                                  \
    M(context_failures_total,        "counter", "Context sources that failed: left out, or the job failed with them.") \
    M(dns_lookups_total,             "counter", "Look-ups of the names of providers, context sources and proxies.") \
    M(dns_failures_total,            "counter", "Such look-ups that brought no address.")                 \
    M(llm_calls_total,               "counter", "Questions sent to a provider.")                          \
    M(llm_call_failures_total,       "counter", "Questions that ended in an error.")                      \
    M(llm_finish_unknown_total,      "counter", "Answers with a finish_reason that nobody knows.")        \
    M(llm_hedges_total,              "counter", "Extra questions sent because the first was slow or failed (hedge).") \
    M(llm_hedges_denied_total,       "counter", "Extra questions that the budget didn't allow.")          \
    M(llm_fallbacks_total,           "counter", "Questions sent to overflow_provider or filter_provider.") \
    M(llm_calls_dropped_total,       "counter", "Questions cut short: another provider was faster, or the job was cancelled.") \
    M(llm_calls_dropped_request_bytes_total, "counter", "Bytes of their requests, which may have been paid for in vain.") \
    M(deltas_total,                  "counter", "Pieces of answers published while they were written.")    \
    M(deltas_dropped_total,          "counter", "Pieces that Kafka didn't take in time; the reply brings the whole.") \
    M(permit_waits_total,            "counter", "Waits of a job without a thread until a provider's rate lets it be asked.") \
    M(budget_refusals_total,         "counter", "Jobs refused because the day's tokens of their tenant are used up.") \
    M(reservations_lost_total,       "counter", "Rate permits and budgets that Redis wasn't told the use of: the estimate stands.") \
    M(llm_prompt_tokens_total,       "counter", "Prompt tokens, where the provider said.")                \
    M(llm_completion_tokens_total,   "counter", "Completion tokens, where the provider said.")            \
    M(redis_failures_total,          "counter", "Redis pipelines that failed as a whole.")                \
    M(publish_failures_total,        "counter", "Replies or dead letters that Kafka refused.")            \
    M(producers_renewed_total,       "counter", "Kafka producers, of replies or of deltas, that failed for good and were replaced.") \
    M(reply_routes_ignored_total,    "counter", "Replies that went elsewhere than kafka_replyTopic or kafka_replyPartition asked.") \
    M(breaker_opened_total,          "counter", "Breakers opened: a provider, Redis or the dead-letter topic was given up for a while.") \
    M(breakers_open,                 "gauge",   "Breakers that are open or half open: lag grows meanwhile.") \
    M(commits_total,                 "counter", "Offset commits that the broker accepted.")               \
    M(commit_failures_total,         "counter", "Offset commits that the broker refused.")                \
    M(kafka_throttled_ms_total,      "counter", "Milliseconds by which brokers delayed answers for a quota.") \
    M(transactions_committed_total,  "counter", "Transactions committed (exactly-once).")                 \
    M(transactions_aborted_total,    "counter", "Transactions aborted; what they held goes into another (exactly-once).") \
    M(control_records_total,         "counter", "Records read from the control topic.")                  \
    M(control_undecodable_total,     "counter", "Control records that say nothing that is known.")        \
    M(admin_cut_total,               "counter", "Connections to the admin port that were closed unanswered: too slow, or too many at once.") \
    M(rebalances_total,              "counter", "Assignments and revocations.")                           \
    M(records_expired_total,         "counter", "Records that the jobs topic's retention took before they were read.") \
    M(logs_replaced_total,           "counter", "Partitions whose log was found shorter than what had been read of it: read anew.") \
    M(intake_rests_total,            "counter", "Times that the intake let records gather before it took them (worker.gather_ms).") \
    M(fetch_wakes_total,             "counter", "Times that librdkafka (before 2.1) was woken to fetch, having rested at the bounds of what it reads ahead.") \
    M(partitions_assigned,           "gauge",   "Partitions assigned to this process.")                   \
    M(partitions_paused,             "gauge",   "Partitions of which nothing is taken now: all while the buffer is full or the intake is held, or one whose own jobs stand in line.") \
    M(partitions_set_full,           "gauge",   "Partitions that read no more because the completed set is near a commit's limit.") \
    M(jobs_alive,                    "gauge",   "Jobs held in memory, from intake to acknowledgement.")   \
    M(jobs_alive_bytes,              "gauge",   "Bytes that those jobs hold: records, what was read of them, replies and turns.") \
    M(jobs_ended_bytes,              "gauge",   "Of those, the replies and turns of ended jobs that Redis and Kafka haven't taken yet.") \
    M(threads_busy,                  "gauge",   "Threads, or slots of event loops, that have a job.")                               \
    M(threads_started,               "gauge",   "Threads of the pool; with event loops their slots for jobs.")

enum metric {
#define METRIC_ENUM(name, type, help) METRIC_##name,
    METRICS(METRIC_ENUM)
#undef METRIC_ENUM
    METRIC_COUNT
};

extern _Atomic int64_t metric_values[METRIC_COUNT];

static inline void metric_add(enum metric metric, int64_t by)
{
    atomic_fetch_add_explicit(&metric_values[metric], by, memory_order_relaxed);
}

static inline void metric_set(enum metric metric, int64_t value)
{
    atomic_store_explicit(&metric_values[metric], value, memory_order_relaxed);
}

static inline int64_t metric_get(enum metric metric)
{
    return atomic_load_explicit(&metric_values[metric], memory_order_relaxed);
}

#define METRIC_INC(name) metric_add(METRIC_##name, 1)
#define METRIC_ADD(name, by) metric_add(METRIC_##name, (by))
#define METRIC_SET(name, value) metric_set(METRIC_##name, (value))

/* All of them in Prometheus' text format 0.0.4, each with the prefix chat_. */
void metrics_print(FILE *out);

#endif
