#include "kafka/fetch_bounds.h"

#define RECORD_COST 512 /* librdkafka's memory besides a record's bytes, rounded up */
#define RECORDS_LEAST 100
#define KBYTES_MOST 2097151 /* librdkafka's own bound */
#define KBYTES_LEAST 64
#define PARTITION_BYTES_MAX 262144

/* An eighth of the buffer's bytes, and as much for the Fetch responses under way; twice the buffer's jobs, as long as their cost is an eighth,
 * too. So the total is less than half the buffer. */
struct fetch_bounds fetch_bounds(const struct settings *settings)
{
    int64_t share = settings->worker.buffered_bytes_max / 8;
    struct fetch_bounds bounds = {.records = 2 * (settings_jobs_at_once(settings) + settings->worker.buffered_jobs_max),
                                  .kbytes = share / 1024,
                                  .partition_bytes = PARTITION_BYTES_MAX};
    if (bounds.records > share / RECORD_COST)
        bounds.records = share / RECORD_COST;
    if (bounds.records < RECORDS_LEAST)
        bounds.records = RECORDS_LEAST;
    if (bounds.kbytes < KBYTES_LEAST)
        bounds.kbytes = KBYTES_LEAST;
    if (bounds.kbytes > KBYTES_MOST)
        bounds.kbytes = KBYTES_MOST;
    if (bounds.partition_bytes > bounds.kbytes * 1024)
        bounds.partition_bytes = bounds.kbytes * 1024;
    return bounds;
}
