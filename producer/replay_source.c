#include "replay_source.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "kafka_client.h"

#define COMMITTED_TIMEOUT_MS 30000
#define CLUSTER_ID_TIMEOUT_MS 5000

/* Where to start and end in each partition. places->elems[i].offset is the group's committed offset. */
static enum status measure(struct replay_source *source, struct error *err)
{
    for (int i = 0; i < source->places->cnt; i++) {
        rd_kafka_topic_partition_t *place = &source->places->elems[i];
        struct replay_span *span = &source->spans[i];
        int64_t first;
        if (place->err != RD_KAFKA_RESP_ERR_NO_ERROR)
            return error_set(err, ERROR_UNAVAILABLE, "kafka_committed", "committed offset of partition %d: %s", (int)place->partition, rd_kafka_err2str(place->err));
        if (kafka_watermarks(source->consumer, source->topic, place->partition, &first, &span->end, err) != STATUS_OK)
            return STATUS_FAILED;
        if (place->offset > span->end)
            complain("partition %d: the group's offset %" PRId64 " is past the end %" PRId64 ": was %s made anew? Nothing is read; reset the group's offsets",
                     (int)place->partition, place->offset, span->end, source->topic);
        span->next = place->offset < first ? first : place->offset; /* RD_KAFKA_OFFSET_INVALID is negative */
        span->read = span->next >= span->end;
        if (!span->read)
            source->total += span->end - span->next;
    }
    return STATUS_OK;
}

static enum status assign(struct replay_source *source, struct error *err)
{
    rd_kafka_topic_partition_list_t *wanted = rd_kafka_topic_partition_list_new(source->places->cnt);
    for (int i = 0; i < source->places->cnt; i++)
        if (!source->spans[i].read)
            rd_kafka_topic_partition_list_add(wanted, source->topic, source->places->elems[i].partition)->offset = source->spans[i].next;
    enum status status = kafka_assign(source->consumer, wanted, err);
    rd_kafka_topic_partition_list_destroy(wanted);
    return status;
}

/* librdkafka's in-process cluster (a worker's embedded one) accepts a transaction's offsets but doesn't store them. */
static bool is_mock(rd_kafka_t *consumer)
{
    char *id = rd_kafka_clusterid(consumer, CLUSTER_ID_TIMEOUT_MS);
    bool mock = id != NULL && strncmp(id, "mockCluster", strlen("mockCluster")) == 0;
    rd_kafka_mem_free(consumer, id);
    return mock;
}

static enum status find_waiting(struct replay_source *source, const char *group, struct error *err)
{
    if (kafka_partitions(source->consumer, source->topic, KAFKA_TOPIC_WAIT_MS, &source->places, err) != STATUS_OK)
        return STATUS_FAILED;
    source->spans = xcalloc((size_t)source->places->cnt, sizeof *source->spans);
    rd_kafka_resp_err_t rc = rd_kafka_committed(source->consumer, source->places, COMMITTED_TIMEOUT_MS);
    if (rc != RD_KAFKA_RESP_ERR_NO_ERROR)
        return error_set(err, ERROR_UNAVAILABLE, "kafka_committed", "committed offsets of group %s: %s", group, rd_kafka_err2str(rc));
    source->forgets = is_mock(source->consumer);
    return measure(source, err) == STATUS_OK ? assign(source, err) : STATUS_FAILED;
}

enum status replay_source_open(struct replay_source *source, const struct common *common, const char *group, const char *topic, bool waiting,
                               struct error *err)
{
    const struct kafka_property_pair must[] = {{"group.id", group},
                                               {"enable.auto.commit", "false"},
                                               {"enable.auto.offset.store", "false"},
                                               {"auto.offset.reset", "earliest"},
                                               {"isolation.level", "read_committed"},
                                               {"enable.partition.eof", "true"},
                                               {NULL, NULL}};
    *source = (struct replay_source){.topic = topic};
    if (kafka_consumer_open(common, must, &source->consumer, err) != STATUS_OK)
        return STATUS_FAILED;
    if (!waiting || find_waiting(source, group, err) == STATUS_OK)
        return STATUS_OK;
    replay_source_close(source);
    return STATUS_FAILED;
}

static struct replay_span *span_of(struct replay_source *source, int32_t partition)
{
    for (int i = 0; i < source->places->cnt; i++)
        if (source->places->elems[i].partition == partition)
            return &source->spans[i];
    return NULL;
}

static bool all_read(const struct replay_source *source)
{
    for (int i = 0; i < source->places->cnt; i++)
        if (!source->spans[i].read)
            return false;
    return true;
}

static void copy_dead_letter(const rd_kafka_message_t *message, struct record *ret)
{
    *ret = (struct record){.topic = xstrdup(rd_kafka_topic_name(message->rkt)), .partition = message->partition,
                           .offset = message->offset, .timestamp_ms = rd_kafka_message_timestamp(message, NULL),
                           .key_size = message->key_len, .value_size = message->len};
    ret->key = message->key == NULL ? NULL : xmemdup0(message->key, message->key_len);
    ret->value = message->payload == NULL ? NULL : xmemdup0(message->payload, message->len);
    rd_kafka_headers_t *headers = NULL;
    const char *name;
    const void *value;
    size_t size;
    if (rd_kafka_message_headers(message, &headers) == RD_KAFKA_RESP_ERR_NO_ERROR)
        for (size_t i = 0; rd_kafka_header_get_all(headers, i, &name, &value, &size) == RD_KAFKA_RESP_ERR_NO_ERROR; i++)
            headers_add(&ret->headers, name, value, size);
}

/* All offsets before `next` are read. */
static void advance(struct replay_source *source, struct replay_span *span, int64_t next)
{
    int64_t reached = next < span->end ? next : span->end;
    if (reached > span->next)
        source->done += reached - span->next;
    if (next > span->next) {
        span->next = next;
        span->moved = true;
    }
    span->read = span->read || next >= span->end;
}

/* OK: a dead letter; AGAIN: another message. */
static enum status take(struct replay_source *source, const rd_kafka_message_t *message, struct record *ret, struct error *err)
{
    struct replay_span *span = message->rkt == NULL ? NULL : span_of(source, message->partition);
    if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) { /* the end may be a transaction's marker, which isn't a record */
        if (span != NULL)
            span->read = true;
        return STATUS_AGAIN;
    }
    if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR)
        return error_set(err, ERROR_UNAVAILABLE, rd_kafka_err2name(message->err), "reading %s: %s", source->topic, rd_kafka_message_errstr(message));
    if (span == NULL || span->read || message->offset < span->next)
        return STATUS_AGAIN;
    if (message->offset >= span->end) { /* came after we started: for the next replay */
        span->read = true;
        return STATUS_AGAIN;
    }
    copy_dead_letter(message, ret);
    advance(source, span, message->offset + 1);
    return STATUS_OK;
}

enum status replay_source_next(struct replay_source *source, int wait_ms, struct record *ret_dead_letter, struct error *err)
{
    if (all_read(source))
        return STATUS_CLOSED;
    rd_kafka_message_t *message = rd_kafka_consumer_poll(source->consumer, wait_ms);
    if (message == NULL)
        return STATUS_AGAIN;
    enum status status = take(source, message, ret_dead_letter, err);
    rd_kafka_message_destroy(message);
    return status;
}

/* ---- one of them ---- */

bool replay_place_read(const char *text, const char *topic, struct replay_place *ret)
{
    size_t size = strlen(topic);
    int end = 0;
    if (strncmp(text, topic, size) != 0 || text[size] != '-' || text[size + 1] < '0' || text[size + 1] > '9')
        return false;
    return sscanf(text + size + 1, "%9" SCNd32 "-%18" SCNd64 "%n", &ret->partition, &ret->offset, &end) == 2 && ret->offset >= 0 &&
           text[size + 1 + (size_t)end] == '\0';
}

/* OK: it is the dead letter; CLOSED: it doesn't exist; AGAIN: another message came. */
static enum status take_one(const struct replay_source *source, const rd_kafka_message_t *message, const struct replay_place *place, struct record *ret, struct error *err)
{
    if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF || message->err == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION || message->err == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET)
        return message->partition == place->partition ? STATUS_CLOSED : STATUS_AGAIN;
    if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR)
        return error_set(err, ERROR_UNAVAILABLE, rd_kafka_err2name(message->err), "reading %s: %s", source->topic, rd_kafka_message_errstr(message));
    if (message->partition != place->partition || message->offset < place->offset)
        return STATUS_AGAIN;
    if (message->offset > place->offset)
        return STATUS_CLOSED;
    copy_dead_letter(message, ret);
    return STATUS_OK;
}

enum status replay_source_one(struct replay_source *source, const struct replay_place *place, int64_t wait_ms, struct record *ret_dead_letter, struct error *err)
{
    int64_t until = clock_mono_ms() + wait_ms, first, end;
    if (kafka_watermarks(source->consumer, source->topic, place->partition, &first, &end, err) != STATUS_OK)
        return STATUS_FAILED;
    if (place->offset < first || place->offset >= end)
        return STATUS_CLOSED;
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, source->topic, place->partition)->offset = place->offset;
    enum status status = kafka_assign(source->consumer, list, err);
    rd_kafka_topic_partition_list_destroy(list);
    if (status != STATUS_OK)
        return STATUS_FAILED;
    for (status = STATUS_AGAIN; status == STATUS_AGAIN && clock_mono_ms() < until && interrupts() == 0;) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(source->consumer, 100);
        if (message == NULL)
            continue;
        status = take_one(source, message, place, ret_dead_letter, err);
        rd_kafka_message_destroy(message);
    }
    if (status != STATUS_AGAIN)
        return status;
    return error_set(err, ERROR_UNAVAILABLE, "stalled", "%s-%d-%lld doesn't come", source->topic, (int)place->partition, (long long)place->offset);
}

rd_kafka_topic_partition_list_t *replay_source_offsets(const struct replay_source *source)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(source->places->cnt);
    for (int i = 0; i < source->places->cnt; i++)
        if (source->spans[i].moved)
            rd_kafka_topic_partition_list_add(list, source->topic, source->places->elems[i].partition)->offset = source->spans[i].next;
    if (list->cnt > 0)
        return list;
    rd_kafka_topic_partition_list_destroy(list);
    return NULL;
}

/* Never on a real broker: there the transaction has committed, and a second commit could undo a later replay's. */
static void commit_plainly(struct replay_source *source)
{
    rd_kafka_topic_partition_list_t *offsets = replay_source_offsets(source);
    if (offsets == NULL)
        return;
    rd_kafka_resp_err_t rc = rd_kafka_commit(source->consumer, offsets, 0);
    rd_kafka_topic_partition_list_destroy(offsets);
    if (rc != RD_KAFKA_RESP_ERR_NO_ERROR)
        complain("the embedded cluster didn't keep the offsets (%s): the next replay sends these letters again", rd_kafka_err2str(rc));
}

void replay_source_settled(struct replay_source *source)
{
    if (source->forgets)
        commit_plainly(source);
    for (int i = 0; i < source->places->cnt; i++)
        source->spans[i].moved = false;
}

void replay_source_close(struct replay_source *source)
{
    kafka_consumer_close(source->consumer);
    if (source->places != NULL)
        rd_kafka_topic_partition_list_destroy(source->places);
    free(source->spans);
    *source = (struct replay_source){0};
}
