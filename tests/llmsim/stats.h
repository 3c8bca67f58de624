/* The simulator's statistics: counters, counts per message, the last requests. One thread (the loop's). */
#ifndef LLMSIM_STATS_H
#define LLMSIM_STATS_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

struct message_count; /* of one exact message text; valid until stats_reset */

struct stats {
    int64_t requests;          /* chat requests read whole */
    int64_t in_flight;         /* of them, those whose answer isn't finished; survives a reset */
    int64_t in_flight_max;
    int64_t held;              /* of those in flight: held until released; survives a reset */
    int64_t answered;          /* whole answers handed to the kernel, errors with a status among them */
    int64_t broken_by_sim;     /* ended by us before the answer was whole */
    int64_t aborted_by_client; /* closed by the client before the answer was whole */
    int64_t unauthorized;
    int64_t overflows;         /* refused because of --ctx */
    int64_t connections;
    int64_t connections_open;  /* survives a reset */
    int64_t contexts;          /* requests to context sources: not included in the above */
    int64_t contexts_in_flight; /* survives a reset */
    int64_t contexts_in_flight_max;
    int64_t contexts_aborted;
    int64_t message_chars_kept;
    int64_t messages;          /* distinct */
    int64_t messages_uncounted; /* requests whose message had no room in the table */
    json_t *faults;            /* name to count */
    void *by_message;          /* tsearch tree of struct message_count */
    struct kept_request *kept; /* ring, keep_max slots */
    size_t keep_max, kept_next;
    int64_t kept_bytes;
    int64_t started_ms; /* monotonic */
};

void stats_init(struct stats *stats, size_t keep_max);
void stats_finish(struct stats *stats);
void stats_reset(struct stats *stats);

void stats_fault(struct stats *stats, const char *name);

enum message_event { MESSAGE_REQUEST, MESSAGE_ANSWERED, MESSAGE_ABORTED };
/* Counts one request for a message; returns how many there were before it. *ret: for stats_message_event,
 * valid until a reset; NULL when the table is full. */
int64_t stats_message(struct stats *stats, const char *message, struct message_count **ret);
void stats_message_event(struct message_count *count, enum message_event event); /* NULL is fine */

/* Keeps a request; takes head (the request's lines) and body (both malloc'd). */
void stats_keep(struct stats *stats, uint64_t number, char *head, char *body, size_t body_size);

/* JSON texts, owned by the caller. message: adds its counts; NULL: none. */
char *stats_json(const struct stats *stats, const char *message);
char *stats_messages_json(const struct stats *stats);
char *stats_requests_json(const struct stats *stats, size_t last);

#endif
