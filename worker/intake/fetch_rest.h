/* Can librdkafka have stopped fetching (it rests), although its queue is empty? It rests when it sees the queue at a bound. All records queued then
 * have been taken since, or thrown away. So it can't be resting if less than a bound was taken since it was last known to fetch: when a
 * record came after it was woken. One wake-up may have no effect (librdkafka's own markers in the queue count, too), and a broker that
 * no longer leads an assigned partition looks as if it rested for ever: so the number of wake-ups is limited. Pure. */
#ifndef CHAT_INTAKE_FETCH_REST_H
#define CHAT_INTAKE_FETCH_REST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FETCH_WAKES_MAX 3

struct fetch_rest {
    int64_t records_max, bytes_max; /* the queue's bounds */
    int64_t records, bytes;         /* taken since it was last known to fetch */
    bool purged;                    /* read-ahead records were thrown away since */
    int wakes;                      /* wake-ups since the last record */
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

/* To be called when the queue is empty. */
static inline bool fetch_rest_is_likely(const struct fetch_rest *rest)
{
    return (rest->purged || rest->records >= rest->records_max || rest->bytes >= rest->bytes_max) && rest->wakes < FETCH_WAKES_MAX;
}

#endif
