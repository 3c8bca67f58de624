#include "llm/latency.h"

#include <math.h>

static int bucket_of(int64_t ms)
{
    if (ms <= 1)
        return 0;
    int bucket = (int)ceil(8 * log2((double)ms));
    return bucket < LATENCY_BUCKETS ? bucket : LATENCY_BUCKETS - 1;
}

static void halve(struct latency *latency)
{
    latency->total = 0;
    for (int i = 0; i < LATENCY_BUCKETS; i++)
        latency->total += latency->counts[i] /= 2;
}

void latency_add(struct latency *latency, int64_t ms)
{
    latency->counts[bucket_of(ms)]++;
    if (++latency->total >= LATENCY_SAMPLES_HALVED)
        halve(latency);
}

int64_t latency_quantile(const struct latency *latency, double share)
{
    if (latency->total < LATENCY_SAMPLES_MIN)
        return -1;
    double wanted = share * latency->total;
    uint32_t seen = 0;
    int bucket = 0;
    for (; bucket < LATENCY_BUCKETS - 1; bucket++)
        if ((seen += latency->counts[bucket]) >= wanted)
            break;
    return (int64_t)ceil(exp2(bucket / 8.0));
}
