/* The requests that find where assignments begin (set_restore.h decides when): to the group's coordinator for the committed offsets of
 * all assignments at once, then one to each broker for where the logs that it leads end (to check a completed set) or begin.
 *
 * One thread only; each call blocks some seconds at most, longer while a broker doesn't answer. */
#ifndef CHAT_INTAKE_START_SEARCH_H
#define CHAT_INTAKE_START_SEARCH_H

#include <librdkafka/rdkafka.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "task/partition.h"

enum wants { WANTS_COMMITTED, WANTS_END, WANTS_BEGINNING, WANTS_NOTHING };

struct search {
    struct partition *partition; /* a reference */
    enum wants wants;            /* what is still to be asked */
    bool of_log;                 /* wanted: where the log begins, whatever was committed */
    int64_t since_ms;
    int64_t offset; /* WANTS_NOTHING: where it begins */
    char *metadata; /* WANTS_END: the commit's metadata, decoded once the log end offset is known */
    size_t metadata_size;
    rd_kafka_resp_err_t err; /* why the start isn't known yet */
    bool in_request;         /* part of the request that the coordinator hasn't answered yet */
};

struct searches {
    struct search *items;
    size_t count, capacity;
};

void searches_add(struct searches *list, struct search search);
void searches_finish(struct searches *list);
void search_finish(struct search *search);

/* Does the search wait for a transaction that hangs in the broker? Its offset has been UNSTABLE for a minute: longer than a transaction takes, unless
 * its time-out was set to more. Pure. */
bool search_hangs(const struct search *search, int64_t now_ms);

struct start_search {
    struct searches open;
    rd_kafka_t *consumer;
    const char *group_id;
    int64_t reset; /* start without a committed offset, from kafka_conf_offset_reset */
    bool (*give_up)(void *arg);
    void *arg;
    rd_kafka_queue_t *answers; /* borrowed */
    bool group_asked;          /* a request to the coordinator is under way */
};

/* Send the requests that searches need, and store the answers; a completed set is put into its partition. */
void start_search_committed(struct start_search *search);
void start_search_logs(struct start_search *search);

#endif
