/* cancel: jobs that are queued or running end as cancelled, those that have ended stay as they are. Who waits for their
 * replies hears of it; here it is done when the broker has acknowledged the records. */
#include "cancel.h"

#include <string.h>
#include <sysexits.h>

#include "base/cleanup.h"
#include "kafka_client.h"
#include "wire/control.h"

#define TOPIC_WAIT_MS 1000

enum { KEY_CONTROL = 256 };

struct cancel {
    struct common *common;
    const char *topic;
    char *const *jobs;
    int count, acknowledged;
};

static const struct argp_option options[] = {
    {"control-topic", KEY_CONTROL, "TOPIC", 0, "the control topic (" CONTROL_TOPIC ")", 0},
    {0}};

static error_t parse_option(int key, char *value, struct argp_state *state)
{
    struct cancel *cancel = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = cancel->common;
        return 0;
    case KEY_CONTROL:
        cancel->topic = value;
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

static const struct argp_child children[] = {{&common_argp, 0, NULL, 10}, {0}};
static const struct argp argp = {
    options, parse_option, "JOB...", "Cancels jobs by their ids, wherever they are: each that has not ended yet ends with a reply of status cancelled."
    "\vOne that is still on the topic is cancelled when a worker reads it, up to a day later.",
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

/* The first record of a topic that isn't there would wait for it, and say so only much later. */
static enum status must_be_there(rd_kafka_t *producer, const char *name, struct error *err)
{
    const struct rd_kafka_metadata *metadata = NULL;
    rd_kafka_topic_t *topic = rd_kafka_topic_new(producer, name, NULL);
    rd_kafka_resp_err_t rc = topic == NULL ? rd_kafka_last_error() : rd_kafka_metadata(producer, 0, topic, &metadata, TOPIC_WAIT_MS);
    if (rc == RD_KAFKA_RESP_ERR_NO_ERROR) {
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
    AUTO_FREE char *value = control_encode_cancel(job);
    if (value == NULL)
        return error_set(err, ERROR_PERMANENT, "invalid_id", "the id of a job is UTF-8, not empty, and shorter than %d bytes", CONTROL_BYTES_MAX);
    if (must_be_there(producer, control_topic, err) != STATUS_OK)
        return STATUS_FAILED;
    rd_kafka_resp_err_t rc = kafka_send(producer, control_topic, RD_KAFKA_PARTITION_UA, job, strlen(job), value, strlen(value), NULL, opaque);
    return rc == RD_KAFKA_RESP_ERR_NO_ERROR ? STATUS_OK : error_set(err, ERROR_UNAVAILABLE, "not_queued", "%s: %s", control_topic, rd_kafka_err2str(rc));
}

/* The exit status. */
static int send_all(rd_kafka_t *producer, struct cancel *cancel)
{
    struct error err = {0};
    for (int i = 0; i < cancel->count && interrupts() == 0; i++)
        if (cancel_send(producer, cancel->topic, cancel->jobs[i], cancel->jobs[i], &err) != STATUS_OK) {
            complain("%s", err.message);
            return err.class == ERROR_PERMANENT ? EX_DATAERR : EX_UNAVAILABLE;
        }
    return EXIT_DONE;
}

int cancel_command(int argc, char **argv, struct common *common)
{
    static const struct kafka_property_pair prompt[] = {{"linger.ms", "0"}, {NULL, NULL}};
    struct cancel cancel = {.common = common, .topic = CONTROL_TOPIC};
    struct error err = {0};
    rd_kafka_t *producer = NULL;
    if (argp_parse(&argp, argc, argv, 0, NULL, &cancel) != 0)
        return EX_USAGE;
    catch_interrupts();
    if (kafka_producer_open(common, prompt, NULL, delivered, &cancel, &producer, &err) != STATUS_OK) {
        complain("%s", err.message);
        return kafka_exit_status(&err);
    }
    int exit_status = send_all(producer, &cancel);
    kafka_drain(producer, 0);
    int acknowledged = cancel.acknowledged;
    kafka_producer_close(producer);
    if (common->verbose)
        complain("%d of %d records acknowledged", acknowledged, cancel.count);
    return exit_status == EXIT_DONE && acknowledged < cancel.count ? EXIT_NOT_DONE : exit_status;
}
