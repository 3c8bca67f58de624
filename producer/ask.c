/* ask: one question, one answer; without a question, on a terminal, a chat, in which Ctrl-C cancels the job that is waited for and, at the
 * prompt, ends the chat. The end of every replies partition is
 * looked up before the job is sent, so that the reply is always after it: no group, nothing committed. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "answer_print.h"
#include "base/alloc.h"
#include "base/byte_order_mark.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "cancel.h"
#include "delta_view.h"
#include "job_check.h"
#include "job_options.h"
#include "kafka_client.h"
#include "line_reader.h"
#include "text_form.h"
#include "wire/reply.h"

#define POLL_MS 50
#define CANCEL_WAIT_MS 2000

enum { KEY_JSON = 256, KEY_STREAM, KEY_NO_STREAM, KEY_DELTAS };

struct ask {
    struct common *common;
    struct job_options job;
    struct topic_options topics;
    const char *deltas_topic, *question;
    char made_session[27]; /* of a chat without --session */
    int64_t timeout_ms;
    bool whole; /* --json */
    bool stream; /* the answer is shown as it comes */
    struct delta_view view;
    rd_kafka_t *producer, *consumer;
    int64_t started_ms, acknowledged_ms; /* clock_mono_ms; 0: not yet */
    rd_kafka_resp_err_t refused;
};

static const struct argp_option options[] = {
    {"timeout", 'T', "SECONDS", 0, "how long to wait for the reply (60)", 0},
    {"json", KEY_JSON, NULL, 0, "print the whole reply", 0},
    {"stream", KEY_STREAM, NULL, 0, "show the answer as it comes (on a terminal: unless --no-stream)", 0},
    {"no-stream", KEY_NO_STREAM, NULL, 0, "show it when it is whole", 0},
    {"deltas-topic", KEY_DELTAS, "TOPIC", 0, "where pieces of answers come (chat.deltas)", 0},
    {0}};

static error_t parse_option(int key, char *value, struct argp_state *state)
{
    struct ask *ask = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = ask->common;
        state->child_inputs[1] = &ask->job;
        state->child_inputs[2] = &ask->topics;
        return 0;
    case 'T':
        ask->timeout_ms = 1000 * (int64_t)number_argument(state, "--timeout", value, 1);
        return 0;
    case KEY_JSON:
        ask->whole = true;
        return 0;
    case KEY_STREAM:
        ask->stream = true;
        return 0;
    case KEY_NO_STREAM:
        ask->stream = false;
        return 0;
    case KEY_DELTAS:
        ask->deltas_topic = value;
        return 0;
    case ARGP_KEY_ARG:
        if (ask->question != NULL)
            argp_error(state, "one question only; put it in quotes");
        ask->question = value;
        return 0;
    case ARGP_KEY_END:
        if (ask->question == NULL && ask->job.id != NULL && isatty(STDIN_FILENO))
            argp_error(state, "--id goes with one question; in a chat each has its own");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_child children[] = {{&common_argp, 0, NULL, 10}, {&job_argp, 0, NULL, 0}, {&topic_argp, 0, NULL, 0}, {0}};
static const struct argp argp = {
    options, parse_option, "[QUESTION]", "Asks a question, waits for its reply and prints the answer."
    "\vWithout QUESTION: on a terminal a chat that keeps one session, else standard input is the question. "
    "Ctrl-C cancels the job that is waited for; in a chat the next question may follow. A second one leaves without waiting for the "
    "word. At a chat's prompt Ctrl-D and Ctrl-C leave.",
    children, NULL, NULL};

static void delivered(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque)
{
    (void)rk;
    struct ask *ask = opaque;
    if (message->_private != NULL) /* the cancel's report: its result is in the reply */
        return;
    ask->acknowledged_ms = clock_mono_ms();
    ask->refused = message->err;
}

static enum status assign_ends(struct ask *ask, struct error *err)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(8);
    struct error why = {0};
    enum status status = kafka_add_ends(ask->consumer, ask->topics.replies, KAFKA_TOPIC_WAIT_MS, list, err);
    if (status == STATUS_OK && ask->stream) /* without such a topic the answer comes whole */
        ask->stream = kafka_add_ends(ask->consumer, ask->deltas_topic, 0, list, &why) == STATUS_OK;
    if (status == STATUS_OK)
        status = kafka_assign(ask->consumer, list, err);
    rd_kafka_topic_partition_list_destroy(list);
    return status;
}

static void print_timing(const struct ask *ask, const struct reply_view *reply)
{
    const json_t *timing = json_object_get(reply->root, "timing_ms");
    fprintf(stderr, "acknowledged after %" PRId64 " ms, answered after %" PRId64 " ms; worker: queued %" JSON_INTEGER_FORMAT
            " ms, model %" JSON_INTEGER_FORMAT " ms, in all %" JSON_INTEGER_FORMAT " ms\n",
            ask->acknowledged_ms > 0 ? ask->acknowledged_ms - ask->started_ms : -1, clock_mono_ms() - ask->started_ms,
            json_integer_value(json_object_get(timing, "queued")), json_integer_value(json_object_get(timing, "llm")),
            json_integer_value(json_object_get(timing, "total")));
}

/* True when it is the reply: *ret_status is then the exit status. */
static bool is_ours(struct ask *ask, const rd_kafka_message_t *message, const char *id, int *ret_status)
{
    struct reply_view reply = {0};
    if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR || message->payload == NULL)
        return false;
    if (ask->stream && strcmp(rd_kafka_topic_name(message->rkt), ask->deltas_topic) == 0) {
        answer_print_delta(&ask->view, message->payload, message->len, id);
        return false;
    }
    if (reply_decode(message->payload, message->len, &reply, NULL) != STATUS_OK)
        return false; /* other producers may write there too */
    bool ours = strcmp(reply.job, id) == 0;
    if (ours)
        *ret_status = answer_print_reply(&ask->view, message->payload, message->len, &reply, ask->whole);
    if (ours && ask->common->verbose)
        print_timing(ask, &reply);
    json_decref(reply.root);
    return ours;
}

/* Polls once. True when the waiting is over: *ret_status is then the exit status. */
static bool look(struct ask *ask, const char *id, int *ret_status)
{
    bool acknowledged = ask->acknowledged_ms > 0; /* until then the delivery report comes next */
    *ret_status = EXIT_NOT_DONE;
    rd_kafka_poll(ask->producer, acknowledged ? 0 : POLL_MS);
    if (ask->refused != RD_KAFKA_RESP_ERR_NO_ERROR) {
        complain("the question was not acknowledged: %s", rd_kafka_err2str(ask->refused));
        return true;
    }
    rd_kafka_message_t *message = rd_kafka_consumer_poll(ask->consumer, acknowledged ? POLL_MS : 0);
    if (message == NULL)
        return false;
    bool over = is_ours(ask, message, id, ret_status);
    if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
        complain("%s: %s", ask->topics.replies, rd_kafka_message_errstr(message));
        over = true;
    }
    rd_kafka_message_destroy(message);
    return over;
}

/* Ctrl-C: cancels the job. Waits a moment for its reply, cancelled or, if that was quicker, with the answer; not after a
 * second Ctrl-C. */
static void cancel(struct ask *ask, const char *id)
{
    struct error err = {0};
    int exit_status;
    bool sent = cancel_send(ask->producer, ask->topics.control, id, ask, &err) == STATUS_OK;
    if (!sent)
        complain("%s", err.message);
    for (int64_t until = clock_mono_ms() + CANCEL_WAIT_MS; sent && interrupts() < 2 && clock_mono_ms() < until;)
        if (look(ask, id, &exit_status)) {
            if (exit_status == EXIT_DONE)
                complain("interrupted, but the answer came first");
            return;
        }
    complain("interrupted; job %s may still be answered on %s", id, ask->topics.replies);
}

static int wait_reply(struct ask *ask, const char *id)
{
    int64_t until = ask->started_ms + ask->timeout_ms;
    int exit_status;
    while (interrupts() == 0 && clock_mono_ms() < until)
        if (look(ask, id, &exit_status))
            return exit_status;
    if (interrupts() > 0)
        cancel(ask, id);
    else
        complain("no reply to job %s within %" PRId64 " s (%s)", id, ask->timeout_ms / 1000,
                 ask->acknowledged_ms > 0 ? "the job is on the topic: does a worker run?" : "not even the broker acknowledged it");
    return EXIT_NOT_DONE;
}

static enum status encode(const struct ask *ask, const char *id, const char *question, char **ret, struct error *err)
{
    struct job job = {0};
    *ret = job_encode(&(struct job_parts){.id = id, .session = ask->job.session, .message = question, .params = ask->job.params,
                                          .metadata = ask->job.metadata, .stream = ask->stream});
    if (*ret == NULL)
        return error_set(err, ERROR_PERMANENT, "invalid_utf8", "the question isn't UTF-8");
    enum status status = job_check(ask->job.topic, ask->job.session, *ret, strlen(*ret), &job, err);
    job_finish(&job);
    return status;
}

static int ask_once(struct ask *ask, const char *question)
{
    char made[27];
    job_id_new(made);
    const char *id = ask->job.id != NULL ? ask->job.id : made;
    AUTO_FREE char *value = NULL;
    struct error err = {0};
    if (encode(ask, id, question, &value, &err) != STATUS_OK) {
        complain("%s", err.message);
        return EX_DATAERR;
    }
    delta_view_finish(&ask->view);
    ask->started_ms = clock_mono_ms();
    ask->acknowledged_ms = 0;
    ask->refused = RD_KAFKA_RESP_ERR_NO_ERROR;
    rd_kafka_resp_err_t rc = kafka_send(ask->producer, ask->job.topic, RD_KAFKA_PARTITION_UA, ask->job.session,
                                        ask->job.session == NULL ? 0 : strlen(ask->job.session), value, strlen(value), NULL, NULL);
    if (rc != RD_KAFKA_RESP_ERR_NO_ERROR) {
        complain("%s: %s", ask->job.topic, rd_kafka_err2str(rc));
        return rc == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE ? EX_DATAERR : EXIT_NOT_DONE;
    }
    return wait_reply(ask, id);
}

/* The next non-blank line; false: the end. While waiting for it, other jobs' replies are read and dropped. */
static bool next_turn(struct ask *ask, struct line_reader *reader, char **ret_line)
{
    size_t size = 0;
    fputs("you> ", stdout);
    fflush(stdout);
    while (interrupts() == 0) {
        struct error err = {0};
        enum status got = line_reader_next(reader, POLL_MS, ret_line, &size, &err);
        if (got == STATUS_OK && strspn(*ret_line, " \t") != strlen(*ret_line))
            return true;
        if (got == STATUS_OK) {
            fputs("you> ", stdout);
            fflush(stdout);
        } else if (got != STATUS_AGAIN) {
            break;
        }
        rd_kafka_message_t *message = rd_kafka_consumer_poll(ask->consumer, 0);
        if (message != NULL)
            rd_kafka_message_destroy(message);
        rd_kafka_poll(ask->producer, 0);
    }
    putchar('\n');
    return false;
}

static int chat(struct ask *ask)
{
    job_id_new(ask->made_session);
    if (ask->job.session == NULL)
        ask->job.session = ask->made_session;
    struct line_reader reader = line_reader_start(STDIN_FILENO, "<stdin>");
    char *line = NULL;
    int exit_status = EXIT_DONE;
    while (exit_status == EXIT_DONE && next_turn(ask, &reader, &line)) {
        ask_once(ask, line); /* a failure is printed, and the chat goes on; also when Ctrl-C has cancelled the job */
        if (interrupts() > 1)
            exit_status = EXIT_NOT_DONE;
        interrupts_forget();
    }
    line_reader_finish(&reader);
    return exit_status;
}

/* The question on standard input; owned. NULL: there is none, which is reported. */
static char *read_question(void)
{
    AUTO_FREE char *text = xcalloc(1, MESSAGE_BYTES_MAX + 2);
    size_t size = fread(text, 1, MESSAGE_BYTES_MAX + 1, stdin);
    const char *fault = text_form_fault(text, size);
    if (ferror(stdin))
        complain("no question: standard input: %s", strerror(errno));
    else if (fault != NULL)
        complain("no question: standard input is %s", fault);
    else if (size > MESSAGE_BYTES_MAX)
        complain("no question: standard input holds more than %zu bytes", MESSAGE_BYTES_MAX);
    else if (memchr(text, '\0', size) != NULL)
        complain("no question: standard input holds a NUL byte, and isn't text");
    else {
        while (size > 0 && (text[size - 1] == '\n' || text[size - 1] == '\r'))
            text[--size] = '\0';
        if (size > byte_order_mark_size(text, size))
            return steal_ptr(&text);
        complain("no question: none given, and standard input is empty");
    }
    return NULL;
}

int ask_command(int argc, char **argv, struct common *common)
{
    static const struct kafka_property_pair prompt[] = {{"linger.ms", "0"}, {NULL, NULL}};
    /* assign() needs a group.id; no group is joined and nothing is committed. */
    static const struct kafka_property_pair reading[] = {
        {"group.id", "chat-ask"}, {"enable.auto.commit", "false"}, {"auto.offset.reset", "latest"}, {NULL, NULL}};
    struct ask ask = {.common = common, .deltas_topic = "chat.deltas", .timeout_ms = 60000, .stream = isatty(STDOUT_FILENO)};
    struct error err = {0};
    AUTO_FREE char *from_stdin = NULL;
    int exit_status = EXIT_NOT_DONE;
    if (argp_parse(&argp, argc, argv, 0, NULL, &ask) != 0)
        return EX_USAGE;
    ask.stream = ask.stream && !ask.whole;
    bool is_chat = ask.question == NULL && isatty(STDIN_FILENO);
    if (ask.question == NULL && !is_chat) {
        from_stdin = read_question();
        if (from_stdin == NULL)
            return EX_USAGE;
        ask.question = from_stdin;
    }
    catch_interrupts();
    if (kafka_producer_open(common, prompt, NULL, delivered, &ask, &ask.producer, &err) != STATUS_OK ||
        kafka_must_have(ask.producer, ask.job.topic, &err) != STATUS_OK || kafka_consumer_open(common, reading, &ask.consumer, &err) != STATUS_OK || assign_ends(&ask, &err) != STATUS_OK) {
        complain("%s", err.message);
        exit_status = kafka_exit_status(&err);
    } else {
        exit_status = is_chat ? chat(&ask) : ask_once(&ask, ask.question);
    }
    kafka_consumer_close(ask.consumer);
    kafka_producer_close(ask.producer);
    delta_view_finish(&ask.view);
    return exit_status;
}
