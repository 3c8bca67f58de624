/* submit: sends jobs to the topic, with the worker's own checks; the id of each is printed once the broker has
 * acknowledged it. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "job_check.h"
#include "job_options.h"
#include "kafka_client.h"
#include "line_reader.h"
#include "progress.h"
#include "wire/job.h"

#define IDLE_WAIT_MS 50

enum { KEY_TEXT = 256, KEY_STREAM };

struct submit {
    struct common *common;
    struct job_options job; /* its session: also for a file's jobs without one */
    const char *file, *message;
    bool stream;
    bool text;
    rd_kafka_t *producer;
    struct progress progress;
    int64_t sent, acknowledged, refused; /* numbers of records; the others sent have no report yet */
};

static const struct argp_option options[] = {
    {"file", 'f', "FILE", 0, "a job object a line (NDJSON); - is standard input; --session is for those that name none", 0},
    {"stream", KEY_STREAM, NULL, 0, "the answers are wanted in pieces as they come, too (chat.deltas)", 0},
    {"text", KEY_TEXT, NULL, 0, "the lines are messages, not job objects", 0},
    {0}};

static error_t parse_option(int key, char *value, struct argp_state *state)
{
    struct submit *submit = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = submit->common;
        state->child_inputs[1] = &submit->job;
        return 0;
    case 'f':
        submit->file = value;
        return 0;
    case KEY_STREAM:
        submit->stream = true;
        return 0;
    case KEY_TEXT:
        submit->text = true;
        return 0;
    case ARGP_KEY_ARG:
        if (submit->message != NULL)
            argp_error(state, "one message only; put it in quotes");
        submit->message = value;
        return 0;
    case ARGP_KEY_END:
        if (submit->message != NULL && (submit->file != NULL || submit->text))
            argp_error(state, "a message, or lines from a file: not both");
        if (submit->message == NULL && submit->job.id != NULL)
            argp_error(state, "--id goes with one message; in a file each job has its own");
        if (submit->message == NULL && (submit->job.metadata != NULL || submit->job.params != NULL) && !submit->text)
            argp_error(state, "--metadata and --params go with a message or --text; a job object has its own");
        if (submit->message == NULL && submit->stream && !submit->text)
            argp_error(state, "--stream goes with a message or --text; a job object has its own");
        if (submit->message == NULL && submit->file == NULL && isatty(STDIN_FILENO))
            argp_error(state, "give a message, --file FILE, or lines on standard input");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_child children[] = {{&common_argp, 0, NULL, 10}, {&job_argp, 0, NULL, 0}, {0}};
static const struct argp argp = {
    options, parse_option, "[MESSAGE]",
    "Puts jobs on the topic and prints the id of each once it is acknowledged."
    "\vWithout MESSAGE the jobs are lines of --file, or of standard input. A bad line ends it: what came before is sent, "
    "nothing after it. Ctrl-C stops reading and waits for what was sent; a second one doesn't wait.",
    children, NULL, NULL};

static void delivered(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque)
{
    (void)rk;
    struct submit *submit = opaque;
    AUTO_FREE char *id = message->_private;
    if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
        submit->acknowledged++;
        puts(id);
    } else if (submit->refused++ == 0) { /* the first is reported, all are counted */
        progress_end(&submit->progress);
        complain("job %s: %s", id, rd_kafka_err2str(message->err));
    }
}

/* The same job with an id: inserted as text, so that the rest stays as the user wrote it. */
static char *with_id(const char *value, size_t size, const char *id, size_t *ret_size)
{
    const char *brace = memchr(value, '{', size); /* a job that decodes begins with it */
    size_t rest = size - (size_t)(brace + 1 - value);
    char *out = xasprintf("{\"id\":\"%s\",%.*s", id, (int)rest, brace + 1);
    *ret_size = strlen(out);
    return out;
}

/* Checks one job object and sends it. FAILED: it is malformed (ERROR_PERMANENT), or can't
 * be queued (ERROR_UNAVAILABLE). */
static enum status send_job(struct submit *submit, const char *value, size_t size, struct error *err)
{
    struct job job = {0};
    if (job_check(submit->job.topic, submit->job.session, value, size, &job, err) != STATUS_OK) {
        job_finish(&job);
        return STATUS_FAILED;
    }
    AUTO_FREE char *made = NULL;
    char new_id[27];
    if (job.id_is_auto) {
        job_id_new(new_id);
        made = with_id(value, size, new_id, &size);
        value = made;
    }
    char *id = xstrdup(job.id_is_auto ? new_id : job.id);
    rd_kafka_resp_err_t rc = kafka_send(submit->producer, submit->job.topic, RD_KAFKA_PARTITION_UA, job.session,
                                        job.session == NULL ? 0 : strlen(job.session), value, size, NULL, id);
    job_finish(&job);
    if (rc == RD_KAFKA_RESP_ERR_NO_ERROR) {
        submit->sent++;
        return STATUS_OK;
    }
    free(id);
    bool too_large = rc == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE;
    return error_set(err, too_large ? ERROR_PERMANENT : ERROR_UNAVAILABLE, "not_queued", "%s%s", rd_kafka_err2str(rc),
                     too_large ? " (-X message.max.bytes=... allows more, if the topic does)" : "");
}

static enum status send_message(struct submit *submit, const char *message, struct error *err)
{
    char id[27];
    if (submit->job.id == NULL)
        job_id_new(id);
    AUTO_FREE char *value = job_encode(&(struct job_parts){.id = submit->job.id != NULL ? submit->job.id : id, .session = submit->job.session, .message = message,
                                                           .params = submit->job.params, .metadata = submit->job.metadata, .stream = submit->stream});
    if (value == NULL)
        return error_set(err, ERROR_PERMANENT, "invalid_utf8", "the text isn't UTF-8");
    return send_job(submit, value, strlen(value), err);
}

static enum status send_line(struct submit *submit, char *line, size_t size, struct error *err)
{
    if (strspn(line, " \t") == size)
        return STATUS_OK; /* a blank line is no job */
    if (!submit->text)
        return send_job(submit, line, size, err);
    if (strlen(line) != size)
        return error_set(err, ERROR_PERMANENT, "invalid_text", "the text holds a NUL byte");
    return send_message(submit, line, err);
}

/* A hint for a file that isn't one job a line: an array, an object over many lines, objects with commas between them. */
static const char *line_hint(const struct submit *submit, const struct error *err)
{
    bool json = !submit->text && (strstr(err->message, "ends too early") != NULL || strstr(err->message, "more text after the JSON") != NULL ||
                                  strstr(err->message, "must be a JSON object, not an array") != NULL);
    return json ? " (each line is a job by itself; jq -c makes such lines)" : "";
}

/* 0, or the exit status. */
static int send_lines(struct submit *submit, int fd, const char *name)
{
    struct stat found = {0};
    int64_t total = fstat(fd, &found) == 0 && S_ISREG(found.st_mode) ? (int64_t)found.st_size : 0;
    submit->progress = progress_start("submit", total, !isatty(STDOUT_FILENO));
    struct line_reader reader = line_reader_start(fd, name);
    int exit_status = EXIT_DONE;
    while (interrupts() == 0 && submit->refused == 0) {
        struct error err = {0};
        char *line = NULL;
        size_t size = 0;
        enum status got = line_reader_next(&reader, IDLE_WAIT_MS, &line, &size, &err);
        if (got == STATUS_CLOSED)
            break;
        bool read_failed = got == STATUS_FAILED;
        if (got == STATUS_OK && send_line(submit, line, size, &err) != STATUS_OK)
            got = STATUS_FAILED;
        rd_kafka_poll(submit->producer, 0);
        if (got == STATUS_AGAIN)
            fflush(stdout); /* a reader of our ids gets them while we wait */
        if (got == STATUS_FAILED) {
            progress_end(&submit->progress);
            if (read_failed)
                complain("%s", err.message);
            else
                complain("%s:%" PRId64 ": %s%s", name, reader.line, err.message, line_hint(submit, &err));
            exit_status = err.class == ERROR_PERMANENT ? EX_DATAERR : EXIT_NOT_DONE;
            break;
        }
        progress_update(&submit->progress, reader.bytes, submit->acknowledged);
    }
    line_reader_finish(&reader);
    return exit_status;
}

static int send_all(struct submit *submit)
{
    if (submit->message != NULL) {
        struct error err = {0};
        if (send_message(submit, submit->message, &err) == STATUS_OK)
            return EXIT_DONE;
        complain("%s", err.message);
        return err.class == ERROR_PERMANENT ? EX_DATAERR : EXIT_NOT_DONE;
    }
    if (submit->file == NULL || strcmp(submit->file, "-") == 0)
        return send_lines(submit, STDIN_FILENO, "<stdin>");
    int fd = open(submit->file, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        complain("%s: %s", submit->file, strerror(errno));
        return EX_DATAERR;
    }
    int exit_status = send_lines(submit, fd, submit->file);
    close(fd);
    return exit_status;
}

int submit_command(int argc, char **argv, struct common *common)
{
    struct submit submit = {.common = common};
    struct error err = {0};
    if (argp_parse(&argp, argc, argv, 0, NULL, &submit) != 0)
        return EX_USAGE;
    catch_interrupts();
    if (kafka_producer_open(common, NULL, NULL, delivered, &submit, &submit.producer, &err) != STATUS_OK ||
        kafka_must_have(submit.producer, submit.job.topic, &err) != STATUS_OK) {
        complain("%s", err.message);
        kafka_producer_close(submit.producer);
        return kafka_exit_status(&err);
    }
    int exit_status = send_all(&submit);
    bool heard_all = kafka_drain(submit.producer, 1);
    progress_end(&submit.progress);
    int64_t lost = submit.sent - submit.acknowledged; /* read before the close, which reports the rest as given up */
    if (lost > 0)
        complain("%" PRId64 " of %" PRId64 " records not acknowledged%s", lost, submit.sent,
                 heard_all ? "" : " (given up waiting: some may have arrived)");
    if (interrupts() > 0)
        complain("interrupted; %" PRId64 " records were sent, %" PRId64 " acknowledged", submit.sent, submit.acknowledged);
    else if (exit_status != EXIT_DONE && submit.sent > 0)
        complain("%" PRId64 " records before that were acknowledged; nothing after it was sent", submit.acknowledged);
    else if (common->verbose)
        complain("%" PRId64 " records acknowledged", submit.acknowledged);
    if (exit_status == EXIT_DONE && (lost > 0 || interrupts() > 0))
        exit_status = EXIT_NOT_DONE;
    submit.refused += 1; /* the close's failures are reported already */
    kafka_producer_close(submit.producer);
    return exit_status;
}
