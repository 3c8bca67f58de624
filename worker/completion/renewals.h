/* May a Kafka producer that failed for good be replaced by another? Yes, where the failure is one of its sequence numbers, which another one begins anew: at most
 * RENEWALS_MAX times in RENEWALS_WITHIN_MS, since what comes back at once isn't the client's fault. A producer that isn't allowed to produce stays so.
 * Source of the codes: KIP-98's sequence numbers and producer ids; rd_kafka_idemp_set_fatal_error's callers in librdkafka. Pure. */
#ifndef CHAT_COMPLETION_RENEWALS_H
#define CHAT_COMPLETION_RENEWALS_H

#include <librdkafka/rdkafka.h>
#include <stdbool.h>
#include <stdint.h>

#define RENEWALS_MAX 3
#define RENEWALS_WITHIN_MS (10 * 60 * 1000)

struct renewals { /* zeroes: there was none */
    int64_t since_ms;
    int count;
};

static inline bool renewals_help(rd_kafka_resp_err_t fatal)
{
    switch (fatal) {
    case RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER:
    case RD_KAFKA_RESP_ERR_UNKNOWN_PRODUCER_ID:
    case RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH:
    case RD_KAFKA_RESP_ERR__INCONSISTENT: /* a batch that can't be made again as it was */
        return true;
    default:
        return false;
    }
}

/* Counts it, if so. now_ms: clock_mono_ms. */
static inline bool renewals_allow(struct renewals *renewals, int64_t now_ms)
{
    if (renewals->count == 0 || now_ms - renewals->since_ms >= RENEWALS_WITHIN_MS)
        *renewals = (struct renewals){.since_ms = now_ms};
    if (renewals->count == RENEWALS_MAX)
        return false;
    renewals->count++;
    return true;
}

#endif
