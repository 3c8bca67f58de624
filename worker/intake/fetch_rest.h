/* Can librdkafka be resting, although its queue is empty? It rests when it sees the queue at a bound. Whatever stood there then
 * has been taken since, or thrown away. So it can't be if less than a bound was taken since it was last known to be awake: when a
 * record came after it was woken. One waking may be in vain (librdkafka's own marks in the queue count, too), and a broker that
 * leads nothing of ours any more looks as if it rested for ever: so there are some. Pure. */
#ifndef CHAT_INTAKE_FETCH_REST_H
#define CHAT_INTAKE_FETCH_REST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FETCH_WAKES_MAX 3

struct fetch_rest {
    int64_t records_max, bytes_max; /* the queue's bounds */
    int64_t records, bytes;         /* taken since it was awake */
    bool purged;                    /* some of it was thrown away since */
    int wakes;                      /* without a record yet */
};

static inline void fetch_rest_init(struct fetch_rest *rest, int64_t records_max, int64_t bytes_max)
{
    *rest = (struct fetch_rest){.records_max = records_max, .bytes_max = bytes_max};
}

static inline void fetch_rest_note_taken(struct fetch_rest *rest, size_t bytes)
{
    if (rest->wakes > 0)
        fetch_rest_init(rest, rest->records_max, rest->bytes_max);
    rest->records++;
    rest->bytes += (int64_t)bytes;
}

static inline void fetch_rest_note_purged(struct fetch_rest *rest)
{
    rest->purged = true;
    rest->wakes = 0;
}

static inline void fetch_rest_note_woken(struct fetch_rest *rest)
{
    rest->wakes++;
}

/* Asked when the queue is empty. */
static inline bool fetch_rest_is_likely(const struct fetch_rest *rest)
{
    return (rest->purged || rest->records >= rest->records_max || rest->bytes >= rest->bytes_max) && rest->wakes < FETCH_WAKES_MAX;
}

#endif
