/* What the brokers are asked about where assignments begin (set_restore.h decides when): the group's coordinator for the committed offsets of
 * all of them in one request, then each broker once for where the logs that it leads end (to check a completed set) or begin.
 *
 * One thread's; each call blocks some seconds at most, but for a broker that is silent. */
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
    bool of_log;                 /* where its log begins, whatever was committed */
    int64_t since_ms;
    int64_t offset; /* WANTS_NOTHING: where it begins */
    char *metadata; /* WANTS_END: of the commit, to be read once it is known where the log ends */
    size_t metadata_size;
    rd_kafka_resp_err_t err; /* why it isn't known yet */
    bool in_request;         /* the one that the group hasn't answered yet asks for it */
};

struct searches {
    struct search *items;
    size_t count, capacity;
};

void searches_add(struct searches *list, struct search search);
void searches_finish(struct searches *list);
void search_finish(struct search *search);

/* Does it wait for a transaction that hangs in the broker? Its offset has been UNSTABLE for a minute: longer than a transaction may take, unless
 * somebody chose a long time-out for it. Pure. */
bool search_hangs(const struct search *search, int64_t now_ms);

struct start_search {
    struct searches open;
    rd_kafka_t *consumer;
    const char *group_id;
    int64_t reset; /* where one begins of which nothing is committed: as kafka_conf_offset_reset has it */
    bool (*give_up)(void *arg);
    void *arg;
    rd_kafka_queue_t *answers; /* owned by who made it */
    bool group_asked;          /* and no answer came yet */
};

/* Ask for those that want it, and take what is answered: a completed set goes into its partition. */
void start_search_committed(struct start_search *search);
void start_search_logs(struct start_search *search);

#endif
