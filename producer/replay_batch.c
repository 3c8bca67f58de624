#include "replay_batch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "completion/publish_refusal.h"
#include "kafka_client.h"

#define BYTES_MAX ((size_t)16 << 20)
#define MS_MAX 5000 /* a slow --rate must not hold a transaction open until the broker ends it */
#define TRANSACTION_TIMEOUT_MS 60000
#define TARGET_WAIT_MS 5000
#define REPORT_WAIT_MS 5000
#define FENCED "fenced"

struct replay_target {
    char *name;
    rd_kafka_resp_err_t missing;
};

/* ---- refusals ---- */

static void delivered(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque)
{
    (void)rk;
    struct replay_batch *batch = opaque;
    struct replay_dead_letter *dead_letter = message->_private;
    if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR || batch->ends)
        return;
    dead_letter->refused = message->err;
    if (batch->refused[0] != '\0')
        return;
    batch->refused_code = message->err;
    snprintf(batch->refused, sizeof batch->refused, "%s: %s", rd_kafka_topic_name(message->rkt), rd_kafka_err2str(message->err));
}

static bool is_own_fault(rd_kafka_resp_err_t code)
{
    return code != RD_KAFKA_RESP_ERR_NO_ERROR && refusal_is_final(refusal_kind_of(code));
}

static bool any_own_fault(const struct replay_batch *batch)
{
    for (size_t i = 0; i < batch->count; i++)
        if (is_own_fault(batch->dead_letters[i].refused))
            return true;
    return false;
}

/* A call fails as soon as the client knows of a refusal, which is reported at the next poll. */
static bool has_own_fault(struct replay_batch *batch)
{
    for (int64_t until = clock_mono_ms() + REPORT_WAIT_MS; !any_own_fault(batch) && rd_kafka_outq_len(batch->producer) > 0 && clock_mono_ms() < until;)
        rd_kafka_poll(batch->producer, 50);
    return any_own_fault(batch);
}

static bool means_fenced(rd_kafka_resp_err_t code)
{
    return code == RD_KAFKA_RESP_ERR__FENCED || code == RD_KAFKA_RESP_ERR_PRODUCER_FENCED ||
           code == RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH;
}

/* Frees error. It is random which call fails first after a fence: it may be a plain send that only returns "fatal", so the
 * producer's own fatal error and the first failed report are checked as well. */
static enum status refuse(const struct replay_batch *batch, const char *doing, rd_kafka_error_t *error, struct error *err)
{
    rd_kafka_resp_err_t code = rd_kafka_error_code(error);
    char why[160] = "";
    rd_kafka_resp_err_t fatal = rd_kafka_fatal_error(batch->producer, why, sizeof why);
    if (means_fenced(code) || means_fenced(fatal) || means_fenced(batch->refused_code))
        error_set(err, ERROR_PERMANENT, FENCED, "another replay of %s has started and took over; this one ends", batch->dead_topic);
    else
        error_set(err, ERROR_PERMANENT, rd_kafka_err2name(fatal != RD_KAFKA_RESP_ERR_NO_ERROR ? fatal : code), "%s: %s%s%s", doing,
                  why[0] != '\0' ? why : rd_kafka_error_string(error), batch->refused[0] != '\0' ? "; " : "", batch->refused);
    rd_kafka_error_destroy(error);
    return STATUS_FAILED;
}

/* by_client: refused by the client, not by a broker. */
static void pass_over(struct replay_batch *batch, const struct replay_dead_letter *dead_letter, rd_kafka_resp_err_t code, bool by_client)
{
    char why[400];
    bool too_large = refusal_kind_of(code) == REFUSAL_TOO_LARGE;
    snprintf(why, sizeof why, "%s takes it not, %zu bytes as it is: %s%s", dead_letter->target, dead_letter->record.value_size, rd_kafka_err2str(code),
             !too_large ? "" : by_client ? " (-X message.max.bytes=... allows more, if the topic does)" : " (the topic's max.message.bytes)");
    batch->not_sent(&dead_letter->record, why, batch->arg);
}

static void dead_letter_finish(struct replay_dead_letter *dead_letter)
{
    record_finish(&dead_letter->record);
    free(dead_letter->target);
    *dead_letter = (struct replay_dead_letter){0};
}

static void forget_dead_letters(struct replay_batch *batch)
{
    for (size_t i = 0; i < batch->count; i++)
        dead_letter_finish(&batch->dead_letters[i]);
    batch->count = batch->bytes = 0;
}

/* ---- transactions ---- */

static bool try_again(rd_kafka_error_t *error, int64_t until)
{
    if (error == NULL || !rd_kafka_error_is_retriable(error) || clock_mono_ms() >= until)
        return false;
    rd_kafka_error_destroy(error);
    return true;
}

static enum status begin(struct replay_batch *batch, struct error *err)
{
    if (batch->in_transaction)
        return STATUS_OK;
    rd_kafka_error_t *error = rd_kafka_begin_transaction(batch->producer);
    if (error != NULL)
        return refuse(batch, "beginning a transaction", error, err);
    batch->in_transaction = true;
    batch->began_ms = clock_mono_ms();
    return STATUS_OK;
}

static enum status send_offsets(struct replay_batch *batch, const rd_kafka_topic_partition_list_t *offsets, struct error *err)
{
    int64_t until = clock_mono_ms() + TRANSACTION_TIMEOUT_MS;
    rd_kafka_consumer_group_metadata_t *group = rd_kafka_consumer_group_metadata(batch->source->consumer);
    rd_kafka_error_t *error;
    do
        error = rd_kafka_send_offsets_to_transaction(batch->producer, offsets, group, TRANSACTION_TIMEOUT_MS);
    while (try_again(error, until));
    rd_kafka_consumer_group_metadata_destroy(group);
    return error == NULL ? STATUS_OK : refuse(batch, "sending offsets", error, err);
}

/* offsets NULL: none. */
static enum status commit(struct replay_batch *batch, const rd_kafka_topic_partition_list_t *offsets, struct error *err)
{
    if (begin(batch, err) != STATUS_OK || (offsets != NULL && send_offsets(batch, offsets, err) != STATUS_OK))
        return STATUS_FAILED;
    int64_t until = clock_mono_ms() + TRANSACTION_TIMEOUT_MS;
    rd_kafka_error_t *error;
    do
        error = rd_kafka_commit_transaction(batch->producer, TRANSACTION_TIMEOUT_MS);
    while (try_again(error, until));
    if (error != NULL)
        return refuse(batch, "committing", error, err);
    batch->in_transaction = false;
    return STATUS_OK;
}

/* If the abort fails, the broker aborts the transaction at its time-out. */
static void give_up(struct replay_batch *batch)
{
    char why[8];
    if (!batch->in_transaction || rd_kafka_fatal_error(batch->producer, why, sizeof why) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return;
    batch->ends = true;
    rd_kafka_error_t *error = rd_kafka_abort_transaction(batch->producer, TRANSACTION_TIMEOUT_MS);
    if (error != NULL)
        rd_kafka_error_destroy(error);
    batch->ends = batch->in_transaction = false;
}

/* After a refused record a client may be out of sequence (librdkafka: "skipped sequence numbers"); a new one with the
 * same id aborts the open transaction. */
static enum status begin_anew(struct replay_batch *batch, struct error *err)
{
    if (strcmp(err->code, FENCED) == 0)
        return STATUS_FAILED;
    batch->ends = true;
    kafka_producer_close(batch->producer);
    batch->producer = NULL;
    batch->ends = batch->in_transaction = false;
    batch->refused_code = RD_KAFKA_RESP_ERR_NO_ERROR;
    batch->refused[0] = '\0';
    *err = (struct error){0};
    return replay_batch_open(batch, batch->common, batch->group, err);
}

/* ---- dead letters ---- */

static rd_kafka_resp_err_t send_dead_letter(struct replay_batch *batch, struct replay_dead_letter *dead_letter)
{
    const struct record *record = &dead_letter->record;
    rd_kafka_resp_err_t rc = kafka_send(batch->producer, dead_letter->target, dead_letter->partition, record->key, record->key_size, record->value,
                                        record->value_size, &record->headers, dead_letter);
    if (rc != RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION || dead_letter->partition == RD_KAFKA_PARTITION_UA)
        return rc;
    dead_letter->partition = RD_KAFKA_PARTITION_UA; /* the topic was recreated with fewer */
    return send_dead_letter(batch, dead_letter);
}

static enum status stop(const struct replay_batch *batch, const char *target, rd_kafka_resp_err_t rc, struct error *err)
{
    return refuse(batch, "sending", rd_kafka_error_new(rc, "%s: %s", target, rd_kafka_err2str(rc)), err);
}

/* Sends one dead letter of a refused batch by itself, with the offset behind it. */
static enum status send_apart(struct replay_batch *batch, struct replay_dead_letter *dead_letter, struct error *err)
{
    rd_kafka_topic_partition_list_t *offset = NULL;
    if (begin(batch, err) != STATUS_OK)
        return STATUS_FAILED;
    rd_kafka_resp_err_t rc = send_dead_letter(batch, dead_letter);
    if (is_own_fault(rc)) {
        pass_over(batch, dead_letter, rc, true);
        return STATUS_OK;
    }
    if (rc != RD_KAFKA_RESP_ERR_NO_ERROR)
        return stop(batch, dead_letter->target, rc, err);
    if (batch->source != NULL) {
        offset = rd_kafka_topic_partition_list_new(1);
        rd_kafka_topic_partition_list_add(offset, batch->dead_topic, dead_letter->record.partition)->offset = dead_letter->record.offset + 1;
    }
    enum status status = commit(batch, offset, err);
    if (offset != NULL)
        rd_kafka_topic_partition_list_destroy(offset);
    if (status == STATUS_OK) {
        batch->sent++;
    } else if (has_own_fault(batch)) {
        status = begin_anew(batch, err);
        if (status == STATUS_OK)
            pass_over(batch, dead_letter, dead_letter->refused, false);
        dead_letter->refused = RD_KAFKA_RESP_ERR_NO_ERROR;
    }
    return status;
}

static enum status send_all_apart(struct replay_batch *batch, struct error *err)
{
    if (begin_anew(batch, err) != STATUS_OK)
        return STATUS_FAILED;
    for (size_t i = 0; i < batch->count; i++)
        batch->dead_letters[i].refused = RD_KAFKA_RESP_ERR_NO_ERROR; /* refused with its batch, so perhaps not at fault */
    for (size_t i = 0; i < batch->count; i++) {
        if (interrupts() > 1)
            return error_set(err, ERROR_PERMANENT, "interrupted", "interrupted");
        if (send_apart(batch, &batch->dead_letters[i], err) != STATUS_OK)
            return STATUS_FAILED;
    }
    forget_dead_letters(batch);
    return replay_batch_commit(batch, err); /* the offsets of dead letters skipped behind the last of them */
}

enum status replay_batch_commit(struct replay_batch *batch, struct error *err)
{
    rd_kafka_topic_partition_list_t *offsets = batch->source != NULL ? replay_source_offsets(batch->source) : NULL;
    if (offsets == NULL && !batch->in_transaction)
        return STATUS_OK;
    enum status status = commit(batch, offsets, err);
    if (offsets != NULL)
        rd_kafka_topic_partition_list_destroy(offsets);
    if (status != STATUS_OK)
        return has_own_fault(batch) ? send_all_apart(batch, err) : STATUS_FAILED;
    batch->sent += (int64_t)batch->count;
    forget_dead_letters(batch);
    if (batch->source != NULL)
        replay_source_settled(batch->source);
    return STATUS_OK;
}

/* ---- the interface ---- */

enum status replay_batch_open(struct replay_batch *batch, const struct common *common, const char *group, struct error *err)
{
    const struct kafka_property_pair must[] = {{"transactional.id", group}, {NULL, NULL}};
    static const struct kafka_property_pair timeouts[] = {{"transaction.timeout.ms", "60000"}, {"linger.ms", "5"}, {NULL, NULL}};
    batch->common = common;
    batch->group = group;
    if (kafka_producer_open(common, timeouts, must, delivered, batch, &batch->producer, err) != STATUS_OK)
        return STATUS_FAILED;
    int64_t until = clock_mono_ms() + TRANSACTION_TIMEOUT_MS;
    rd_kafka_error_t *error;
    do
        error = rd_kafka_init_transactions(batch->producer, 30000);
    while (interrupts() == 0 && try_again(error, until));
    if (error == NULL)
        return STATUS_OK;
    refuse(batch, "starting transactions", error, err);
    err->class = ERROR_UNAVAILABLE;
    return STATUS_FAILED;
}

static rd_kafka_resp_err_t look_up(struct replay_batch *batch, const char *topic, bool *ret_answered)
{
    const struct rd_kafka_metadata *metadata = NULL;
    rd_kafka_topic_t *handle = rd_kafka_topic_new(batch->producer, topic, NULL);
    rd_kafka_resp_err_t rc = handle == NULL ? RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION : rd_kafka_metadata(batch->producer, 0, handle, &metadata, TARGET_WAIT_MS);
    *ret_answered = handle == NULL || rc == RD_KAFKA_RESP_ERR_NO_ERROR;
    if (metadata != NULL) {
        rc = metadata->topic_cnt == 1 ? metadata->topics[0].err : RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
        rd_kafka_metadata_destroy(metadata);
    }
    if (handle != NULL)
        rd_kafka_topic_destroy(handle);
    return is_own_fault(rc) || !*ret_answered ? rc : RD_KAFKA_RESP_ERR_NO_ERROR;
}

enum status replay_batch_target(struct replay_batch *batch, const char *topic, struct error *err)
{
    size_t at = 0;
    while (at < batch->target_count && strcmp(batch->targets[at].name, topic) != 0)
        at++;
    if (at == batch->target_count) {
        bool answered;
        rd_kafka_resp_err_t missing = look_up(batch, topic, &answered);
        if (!answered)
            return error_set(err, ERROR_UNAVAILABLE, "kafka_topic", "topic %s: %s", topic, rd_kafka_err2str(missing));
        batch->targets = xrealloc(batch->targets, (at + 1) * sizeof *batch->targets);
        batch->targets[batch->target_count++] = (struct replay_target){xstrdup(topic), missing};
    }
    rd_kafka_resp_err_t missing = batch->targets[at].missing;
    if (missing == RD_KAFKA_RESP_ERR_NO_ERROR)
        return STATUS_OK;
    return error_set(err, ERROR_PERMANENT, rd_kafka_err2name(missing), "topic %s: %s", topic, rd_kafka_err2str(missing));
}

enum status replay_batch_add(struct replay_batch *batch, struct record *dead_letter, const char *target, int32_t partition, struct error *err)
{
    struct replay_dead_letter *added = &batch->dead_letters[batch->count];
    enum status status = replay_batch_target(batch, target, err);
    *added = (struct replay_dead_letter){.record = *dead_letter, .target = xstrdup(target), .partition = partition};
    *dead_letter = (struct record){0};
    if (status != STATUS_OK && err->class == ERROR_PERMANENT) {
        batch->not_sent(&added->record, err->message, batch->arg);
        *err = (struct error){0};
        dead_letter_finish(added);
        return STATUS_OK;
    }
    if (status != STATUS_OK || begin(batch, err) != STATUS_OK) {
        dead_letter_finish(added);
        return STATUS_FAILED;
    }
    rd_kafka_resp_err_t rc = send_dead_letter(batch, added);
    bool goes_apart = rc != RD_KAFKA_RESP_ERR_NO_ERROR && !is_own_fault(rc) && has_own_fault(batch); /* an earlier record has failed the transaction */
    if (rc == RD_KAFKA_RESP_ERR_NO_ERROR || goes_apart) {
        batch->count++;
        batch->bytes += added->record.value_size;
        return goes_apart ? send_all_apart(batch, err) : STATUS_OK;
    }
    if (is_own_fault(rc))
        pass_over(batch, added, rc, true);
    else
        status = stop(batch, target, rc, err);
    dead_letter_finish(added);
    return status;
}

bool replay_batch_is_due(const struct replay_batch *batch)
{
    return batch->in_transaction &&
           (batch->count >= REPLAY_BATCH_DEAD_LETTERS_MAX || batch->bytes >= BYTES_MAX || clock_mono_ms() - batch->began_ms >= MS_MAX);
}

void replay_batch_close(struct replay_batch *batch)
{
    if (batch->producer != NULL)
        give_up(batch);
    batch->ends = true;
    kafka_producer_close(batch->producer);
    forget_dead_letters(batch);
    for (size_t i = 0; i < batch->target_count; i++)
        free(batch->targets[i].name);
    free(batch->targets);
    batch->targets = NULL;
    batch->target_count = 0;
    batch->producer = NULL;
}
