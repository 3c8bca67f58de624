/* cancel: jobs that are queued or running end as cancelled, those that have ended stay as they are. Which of the two it was is in their
 * replies, which are waited for, since a worker without the job sends none. */
#include "cancel.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "job_options.h"
#include "kafka_client.h"
#include "wire/control.h"
#include "wire/reply.h"

#define TOPIC_WAIT_MS 1000
#define POLL_MS 50

enum { KEY_WAIT = 256 };

struct cancel {
    struct common *common;
    struct topic_options topics;
    int64_t wait_ms; /* for their replies; 0: not at all */
    char *const *jobs;
    int count, acknowledged;
    bool *heard; /* by job: its reply has come */
    int answered;    /* how many replies have come */
    rd_kafka_t *producer, *consumer; /* consumer NULL: replies can't be read */
};

static const struct argp_option options[] = {
    {"wait", KEY_WAIT, "SECONDS", 0, "how long to wait for the replies that say so (5; 0: not at all)", 0},
    {0}};

/* Checks all ids before the first is sent. */
static bool are_ids(const struct cancel *cancel)
{
    for (int i = 0; i < cancel->count; i++) {
        struct error err = {0};
        AUTO_FREE char *value = NULL;
        if (control_encode_cancel(cancel->jobs[i], &value, &err) != STATUS_OK) {
            complain("job %d of %d: %s", i + 1, cancel->count, err.message);
            return false;
        }
    }
    return true;
}

static error_t parse_option(int key, char *value, struct argp_state *state)
{
    struct cancel *cancel = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = cancel->common;
        state->child_inputs[1] = &cancel->topics;
        return 0;
    case KEY_WAIT:
        cancel->wait_ms = 1000 * (int64_t)number_argument(state, "--wait", value, 0);
        return 0;
    case ARGP_KEY_ARGS:
        cancel->jobs = state->argv + state->next;
        cancel->count = state->argc - state->next;
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_error(state, "which job? give its id");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_child children[] = {{&common_argp, 0, NULL, 10}, {&topic_argp, 0, NULL, 0}, {0}};
static const struct argp argp = {
    options, parse_option, "JOB...", "Cancels jobs by their ids, wherever they are: each that has not ended yet ends with a reply of status cancelled."
    "\vOne that is still on the topic is cancelled when a worker reads it, up to a day later. Of a job whose reply doesn't come in "
    "time it says so, and exits with 1: no worker has it, or its replies go to another topic.",
    children, NULL, NULL};

static void delivered(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque)
{
    (void)rk;
    struct cancel *cancel = opaque;
    if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR)
        cancel->acknowledged++;
    else
        complain("job %s: %s", (const char *)message->_private, rd_kafka_err2str(message->err));
}

/* The first record to a missing topic would wait for it, and fail only much later. */
static enum status must_be_there(rd_kafka_t *producer, const char *name, struct error *err)
{
    const struct rd_kafka_metadata *metadata = NULL;
    rd_kafka_topic_t *topic = rd_kafka_topic_new(producer, name, NULL);
    rd_kafka_resp_err_t rc = topic == NULL ? rd_kafka_last_error() : rd_kafka_metadata(producer, 0, topic, &metadata, TOPIC_WAIT_MS);
    if (metadata != NULL) {
        rc = metadata->topic_cnt == 1 ? metadata->topics[0].err : RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
        rd_kafka_metadata_destroy(metadata);
    }
    if (topic != NULL)
        rd_kafka_topic_destroy(topic);
    if (rc == RD_KAFKA_RESP_ERR_NO_ERROR)
        return STATUS_OK;
    return error_set(err, ERROR_UNAVAILABLE, "kafka_topic", "control topic %s: %s; nothing can be cancelled", name, rd_kafka_err2str(rc));
}

enum status cancel_send(rd_kafka_t *producer, const char *control_topic, const char *job, void *opaque, struct error *err)
{
    AUTO_FREE char *value = NULL;
    if (control_encode_cancel(job, &value, err) != STATUS_OK || must_be_there(producer, control_topic, err) != STATUS_OK)
        return STATUS_FAILED;
    rd_kafka_resp_err_t rc = kafka_send(producer, control_topic, RD_KAFKA_PARTITION_UA, job, strlen(job), value, strlen(value), NULL, opaque);
    return rc == RD_KAFKA_RESP_ERR_NO_ERROR ? STATUS_OK : error_set(err, ERROR_UNAVAILABLE, "not_queued", "%s: %s", control_topic, rd_kafka_err2str(rc));
}

/* The exit status. */
static int send_all(struct cancel *cancel)
{
    struct error err = {0};
    for (int i = 0; i < cancel->count && interrupts() == 0; i++)
        if (cancel_send(cancel->producer, cancel->topics.control, cancel->jobs[i], cancel->jobs[i], &err) != STATUS_OK) {
            complain("%s", err.message);
            return EX_UNAVAILABLE;
        }
    return EXIT_DONE;
}

/* ---- the replies ---- */

/* Reads the replies from their end offsets on, set before a cancel is sent. If that isn't possible, cancels are sent all the same. */
static void listen_to_replies(struct cancel *cancel)
{
    static const struct kafka_property_pair reading[] = {
        {"group.id", "chat-cancel"}, {"enable.auto.commit", "false"}, {"auto.offset.reset", "latest"}, {NULL, NULL}};
    struct error err = {0};
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(8);
    if (kafka_consumer_open(cancel->common, reading, &cancel->consumer, &err) != STATUS_OK ||
        kafka_add_ends(cancel->consumer, cancel->topics.replies, 0, list, &err) != STATUS_OK || kafka_assign(cancel->consumer, list, &err) != STATUS_OK) {
        complain("%s: what becomes of the jobs can't be told", err.message);
        kafka_consumer_close(cancel->consumer);
        cancel->consumer = NULL;
    }
    rd_kafka_topic_partition_list_destroy(list);
}

static void take_reply(struct cancel *cancel, const rd_kafka_message_t *message)
{
    struct reply_view reply = {0};
    if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR || message->payload == NULL || reply_decode(message->payload, message->len, &reply, NULL) != STATUS_OK)
        return; /* other producers may write there too */
    for (int i = 0; i < cancel->count; i++) {
        if (cancel->heard[i] || strcmp(cancel->jobs[i], reply.job) != 0)
            continue;
        cancel->heard[i] = true;
        cancel->answered++;
        if (strcmp(reply.status, "cancelled") != 0)
            complain("job %s had ended before: its reply has the status %s", reply.job, reply.status);
        else if (cancel->common->verbose)
            complain("job %s is cancelled", reply.job);
    }
    json_decref(reply.root);
}

/* True: the replies of all jobs have come. */
static bool hear_of_all(struct cancel *cancel)
{
    for (int64_t until = clock_mono_ms() + cancel->wait_ms; cancel->answered < cancel->count && interrupts() == 0 && clock_mono_ms() < until;) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(cancel->consumer, POLL_MS);
        if (message == NULL)
            continue;
        take_reply(cancel, message);
        rd_kafka_message_destroy(message);
    }
    for (int i = 0; i < cancel->count; i++)
        if (!cancel->heard[i] && interrupts() == 0)
            complain("job %s: no reply says that it is cancelled, within %" PRId64 " s. No worker seems to have it: it has ended, or there is no such job, or it "
                     "is still on the topic, and is cancelled when a worker reads it", cancel->jobs[i], cancel->wait_ms / 1000);
    return cancel->answered == cancel->count;
}

int cancel_command(int argc, char **argv, struct common *common)
{
    static const struct kafka_property_pair prompt[] = {{"linger.ms", "0"}, {NULL, NULL}};
    struct cancel cancel = {.common = common, .wait_ms = 5000};
    struct error err = {0};
    if (argp_parse(&argp, argc, argv, 0, NULL, &cancel) != 0)
        return EX_USAGE;
    if (!are_ids(&cancel))
        return EX_DATAERR;
    catch_interrupts();
    if (kafka_producer_open(common, prompt, NULL, delivered, &cancel, &cancel.producer, &err) != STATUS_OK) {
        complain("%s", err.message);
        return kafka_exit_status(&err);
    }
    cancel.heard = xcalloc((size_t)cancel.count, sizeof *cancel.heard);
    if (cancel.wait_ms > 0)
        listen_to_replies(&cancel);
    int exit_status = send_all(&cancel);
    kafka_drain(cancel.producer, 0);
    int acknowledged = cancel.acknowledged; /* read before the close, which reports the rest as given up */
    if (exit_status == EXIT_DONE && acknowledged < cancel.count)
        exit_status = EXIT_NOT_DONE;
    if (common->verbose)
        complain("%d of %d records acknowledged", acknowledged, cancel.count);
    if (exit_status == EXIT_DONE && cancel.consumer != NULL && !hear_of_all(&cancel))
        exit_status = EXIT_NOT_DONE;
    kafka_consumer_close(cancel.consumer);
    kafka_producer_close(cancel.producer);
    free(cancel.heard);
    return exit_status;
}
