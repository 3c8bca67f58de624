/* replay: dead letters back to where they came from. The letters of a batch and the group's offsets go in one
 * transaction, so that a letter is sent once however often replay runs or dies; the transactional id is the dead
 * topic's, so that of two replays at once the later one ends the earlier. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "kafka_client.h"
#include "letter_counts.h"
#include "progress.h"
#include "replay_source.h"
#include "wire/dead_letter.h"

#define BATCH_LETTERS_MAX 500
#define BATCH_MS_MAX 5000 /* a slow --rate must not hold a transaction open until the broker ends it */
#define TRANSACTION_TIMEOUT_MS 60000
#define STALL_MS 60000
#define COUNT_NAME "chat.replay.count"

enum { KEY_EXECUTE = 256, KEY_LIMIT, KEY_RATE, KEY_TO };

struct replay {
    struct common *common;
    const char *dead_topic, *to;
    int64_t limit, rate; /* 0: none */
    bool execute;
    char *group; /* also the transactional id */
    rd_kafka_t *producer;
    struct replay_source source;
    struct letter_counts counts;
    struct progress progress;
    bool in_transaction;
    int64_t batch_letters, batch_started_ms;
    int64_t taken, settled; /* letters chosen; letters whose transaction is committed */
    int64_t skipped;
    int64_t began_ms;
    rd_kafka_resp_err_t refused_code; /* why the first record wasn't acknowledged */
    char refused[160];                /* the same in words, with the topic; "" */
};

static const struct argp_option options[] = {
    {"execute", KEY_EXECUTE, NULL, 0, "send; without it the letters are only counted", 0},
    {"limit", KEY_LIMIT, "N", 0, "at most N letters", 0},
    {"rate", KEY_RATE, "N", 0, "at most N letters a second", 0},
    {"to", KEY_TO, "TOPIC", 0, "send there, not to the topic each letter came from", 0},
    {"topic", 't', "TOPIC", 0, "the dead-letter topic (chat.dead)", 0},
    {"dead-topic", 0, NULL, OPTION_ALIAS, NULL, 0},
    {0}};

static error_t parse_option(int key, char *value, struct argp_state *state)
{
    struct replay *replay = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = replay->common;
        return 0;
    case KEY_EXECUTE:
        replay->execute = true;
        return 0;
    case KEY_LIMIT:
        replay->limit = number_argument(state, "--limit", value, 1);
        return 0;
    case KEY_RATE:
        replay->rate = number_argument(state, "--rate", value, 1);
        return 0;
    case KEY_TO:
        replay->to = value;
        return 0;
    case 't':
        replay->dead_topic = value;
        return 0;
    case ARGP_KEY_ARG:
        argp_error(state, "unexpected argument: %s", value);
        return EINVAL;
    case ARGP_KEY_END:
        if (replay->to != NULL && strcmp(replay->to, replay->dead_topic) == 0)
            argp_error(state, "--to is the dead-letter topic itself");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_child children[] = {{&common_argp, 0, NULL, 10}, {0}};
static const struct argp argp = {
    options, parse_option, NULL, "Sends dead letters back to the topic they came from, each once."
    "\vIt goes on where the last replay ended (the offsets of the group chat-replay.TOPIC) and stops at what was there when it "
    "started. Letters without a value, or that don't say where they came from, are listed and passed over.",
    children, NULL, NULL};

/* ---- one transaction a batch ---- */

static void delivered(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque)
{
    (void)rk;
    struct replay *replay = opaque;
    if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR || replay->refused[0] != '\0')
        return;
    replay->refused_code = message->err;
    snprintf(replay->refused, sizeof replay->refused, "%s: %s", rd_kafka_topic_name(message->rkt), rd_kafka_err2str(message->err));
}

static bool means_fenced(rd_kafka_resp_err_t code)
{
    return code == RD_KAFKA_RESP_ERR__FENCED || code == RD_KAFKA_RESP_ERR_PRODUCER_FENCED ||
           code == RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH;
}

/* Ends error. Which call meets the fence first is chance: it may be a plain send that only says "fatal", so the
 * producer's own fatal error and the first bad report are asked as well. */
static enum status refuse(struct replay *replay, const char *doing, rd_kafka_error_t *error, struct error *err)
{
    rd_kafka_resp_err_t code = rd_kafka_error_code(error);
    char why[160] = "";
    rd_kafka_resp_err_t fatal = rd_kafka_fatal_error(replay->producer, why, sizeof why);
    if (means_fenced(code) || means_fenced(fatal) || means_fenced(replay->refused_code))
        error_set(err, ERROR_PERMANENT, "fenced", "another replay of %s has started and took over; this one ends", replay->dead_topic);
    else
        error_set(err, ERROR_PERMANENT, rd_kafka_err2name(fatal != RD_KAFKA_RESP_ERR_NO_ERROR ? fatal : code), "%s: %s%s%s", doing,
                  why[0] != '\0' ? why : rd_kafka_error_string(error), replay->refused[0] != '\0' ? "; " : "", replay->refused);
    rd_kafka_error_destroy(error);
    return STATUS_FAILED;
}

static enum status begin(struct replay *replay, struct error *err)
{
    if (replay->in_transaction)
        return STATUS_OK;
    rd_kafka_error_t *error = rd_kafka_begin_transaction(replay->producer);
    if (error != NULL)
        return refuse(replay, "beginning a transaction", error, err);
    replay->in_transaction = true;
    replay->batch_letters = 0;
    replay->batch_started_ms = clock_mono_ms();
    return STATUS_OK;
}

static bool try_again(rd_kafka_error_t *error, int64_t until)
{
    if (error == NULL || !rd_kafka_error_is_retriable(error) || clock_mono_ms() >= until)
        return false;
    rd_kafka_error_destroy(error);
    return true;
}

static enum status commit(struct replay *replay, struct error *err)
{
    rd_kafka_topic_partition_list_t *offsets = replay_source_offsets(&replay->source);
    if (offsets == NULL)
        return STATUS_OK; /* every letter moves an offset: nothing was taken either */
    if (begin(replay, err) != STATUS_OK) { /* skipped letters alone move offsets too */
        rd_kafka_topic_partition_list_destroy(offsets);
        return STATUS_FAILED;
    }
    int64_t until = clock_mono_ms() + TRANSACTION_TIMEOUT_MS;
    rd_kafka_consumer_group_metadata_t *group = rd_kafka_consumer_group_metadata(replay->source.consumer);
    rd_kafka_error_t *error;
    do
        error = rd_kafka_send_offsets_to_transaction(replay->producer, offsets, group, TRANSACTION_TIMEOUT_MS);
    while (try_again(error, until));
    rd_kafka_consumer_group_metadata_destroy(group);
    rd_kafka_topic_partition_list_destroy(offsets);
    if (error != NULL)
        return refuse(replay, "sending offsets", error, err);
    do
        error = rd_kafka_commit_transaction(replay->producer, TRANSACTION_TIMEOUT_MS);
    while (try_again(error, until));
    if (error != NULL)
        return refuse(replay, "committing", error, err);
    replay->in_transaction = false;
    replay->settled += replay->batch_letters;
    replay_source_settled(&replay->source);
    return STATUS_OK;
}

static void give_up(struct replay *replay)
{
    char why[8];
    if (!replay->in_transaction || rd_kafka_fatal_error(replay->producer, why, sizeof why) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return;
    rd_kafka_error_t *error = rd_kafka_abort_transaction(replay->producer, TRANSACTION_TIMEOUT_MS);
    if (error != NULL) /* the broker aborts it when its time is up */
        rd_kafka_error_destroy(error);
    replay->in_transaction = false;
}

/* ---- one letter ---- */

static char *header_text(const struct headers *headers, const char *name)
{
    const struct header *header = headers_find(headers, name);
    return header == NULL || header->value == NULL ? NULL : xmemdup0(header->value, header->size);
}

static void skip(struct replay *replay, const struct record *letter, const char *why)
{
    replay->skipped++;
    progress_end(&replay->progress);
    printf("skipped %s-%" PRId32 "-%" PRId64 ": %s\n", letter->topic, letter->partition, letter->offset, why);
}

/* The record as it was before it died, and how often it was sent back. */
static void restore_headers(struct headers *headers)
{
    AUTO_FREE char *before = header_text(headers, COUNT_NAME);
    long long count = before == NULL ? 0 : strtoll(before, NULL, 10);
    char text[24];
    snprintf(text, sizeof text, "%lld", count < 0 || count > 1000000000 ? 1 : count + 1);
    dead_letter_strip(headers);
    headers_set_text(headers, COUNT_NAME, text);
}

/* origin_partition: the job's own, so that its session stays in order with the jobs around it; gone when the topic was
 * made anew with fewer. */
static enum status send_back(struct replay *replay, struct record *letter, const char *target, int32_t origin_partition, struct error *err)
{
    if (begin(replay, err) != STATUS_OK)
        return STATUS_FAILED;
    restore_headers(&letter->headers);
    rd_kafka_resp_err_t rc = kafka_send(replay->producer, target, origin_partition, letter->key, letter->key_size, letter->value,
                                        letter->value_size, &letter->headers, NULL);
    if (rc == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION)
        rc = kafka_send(replay->producer, target, RD_KAFKA_PARTITION_UA, letter->key, letter->key_size, letter->value,
                        letter->value_size, &letter->headers, NULL);
    if (rc != RD_KAFKA_RESP_ERR_NO_ERROR) {
        rd_kafka_error_t *fatal = rd_kafka_error_new(rc, "%s: %s", target, rd_kafka_err2str(rc));
        return refuse(replay, "sending", fatal, err);
    }
    replay->batch_letters++;
    return STATUS_OK;
}

static enum status handle(struct replay *replay, struct record *letter, struct error *err)
{
    AUTO_FREE char *code = header_text(&letter->headers, "chat.error.code");
    struct dead_letter_origin origin = {0};
    bool has_origin = dead_letter_origin(&letter->headers, &origin);
    const char *target = replay->to != NULL ? replay->to : origin.topic;
    enum status status = STATUS_OK;
    if (headers_find(&letter->headers, "chat.value.omitted") != NULL) {
        skip(replay, letter, "its value was left out");
    } else if (letter->value == NULL) {
        skip(replay, letter, "it has no value (a tombstone): it would die again");
    } else if (!has_origin) {
        skip(replay, letter, "it doesn't say where it came from");
    } else if (strcmp(target, replay->dead_topic) == 0) {
        skip(replay, letter, "it came from the dead-letter topic itself");
    } else {
        replay->taken++;
        letter_counts_add(&replay->counts, target, code, letter->partition, letter->offset);
        bool home = strcmp(target, origin.topic) == 0;
        if (replay->execute)
            status = send_back(replay, letter, target, home ? origin.partition : RD_KAFKA_PARTITION_UA, err);
    }
    free(origin.topic);
    return status;
}

/* ---- the run ---- */

static bool batch_is_due(const struct replay *replay)
{
    return replay->in_transaction && (replay->batch_letters >= BATCH_LETTERS_MAX || clock_mono_ms() - replay->batch_started_ms >= BATCH_MS_MAX);
}

/* How long --rate wants us to wait before the next letter, in ms. */
static int64_t ahead_ms(const struct replay *replay)
{
    if (replay->rate == 0 || !replay->execute)
        return 0;
    int64_t due = replay->began_ms + replay->taken * 1000 / replay->rate;
    int64_t ahead = due - clock_mono_ms();
    return ahead > 0 ? ahead : 0;
}

static enum status run(struct replay *replay, struct error *err)
{
    int64_t moved_ms = replay->began_ms = clock_mono_ms();
    while (interrupts() == 0 && (replay->limit == 0 || replay->taken < replay->limit)) {
        if (batch_is_due(replay) && commit(replay, err) != STATUS_OK)
            return STATUS_FAILED;
        if (replay->producer != NULL)
            rd_kafka_poll(replay->producer, 0);
        progress_update(&replay->progress, replay->source.done, replay->taken);
        int64_t ahead = ahead_ms(replay);
        if (ahead > 0) {
            rd_kafka_poll(replay->producer, ahead < 50 ? (int)ahead : 50);
            moved_ms = clock_mono_ms();
            continue;
        }
        struct record letter = {0};
        enum status got = replay_source_next(&replay->source, 100, &letter, err);
        if (got == STATUS_CLOSED)
            break;
        if (got == STATUS_FAILED)
            return STATUS_FAILED;
        if (got == STATUS_OK) {
            got = handle(replay, &letter, err);
            record_finish(&letter);
            if (got != STATUS_OK)
                return STATUS_FAILED;
            moved_ms = clock_mono_ms();
        } else if (clock_mono_ms() - moved_ms > STALL_MS) {
            return error_set(err, ERROR_UNAVAILABLE, "stalled", "nothing came from %s for %d s", replay->dead_topic, STALL_MS / 1000);
        }
    }
    return replay->execute ? commit(replay, err) : STATUS_OK;
}

static enum status open_all(struct replay *replay, struct error *err)
{
    const struct kafka_property_pair must[] = {{"transactional.id", replay->group}, {NULL, NULL}};
    static const struct kafka_property_pair timeouts[] = {{"transaction.timeout.ms", "60000"}, {"linger.ms", "5"}, {NULL, NULL}};
    if (replay->execute) {
        if (kafka_producer_open(replay->common, timeouts, must, delivered, replay, &replay->producer, err) != STATUS_OK)
            return STATUS_FAILED;
        int64_t until = clock_mono_ms() + TRANSACTION_TIMEOUT_MS;
        rd_kafka_error_t *error;
        do
            error = rd_kafka_init_transactions(replay->producer, 30000);
        while (interrupts() == 0 && try_again(error, until));
        if (error != NULL) {
            refuse(replay, "starting transactions", error, err);
            err->class = ERROR_UNAVAILABLE;
            return STATUS_FAILED;
        }
    }
    return replay_source_open(&replay->source, replay->common, replay->group, replay->dead_topic, err);
}

static void report(const struct replay *replay)
{
    letter_counts_print(&replay->counts, replay->dead_topic, stdout);
    if (replay->execute)
        printf("%" PRId64 " letters sent back, %" PRId64 " skipped\n", replay->settled, replay->skipped);
    else
        printf("%" PRId64 " letters would be sent back, %" PRId64 " skipped; nothing is sent without --execute\n", replay->taken, replay->skipped);
}

int replay_command(int argc, char **argv, struct common *common)
{
    struct replay *replay = xcalloc(1, sizeof *replay);
    struct error err = {0};
    int exit_status = EXIT_DONE;
    replay->common = common;
    replay->dead_topic = "chat.dead";
    if (argp_parse(&argp, argc, argv, 0, NULL, replay) != 0)
        return EX_USAGE;
    replay->group = xasprintf("chat-replay.%s", replay->dead_topic);
    catch_interrupts();
    if (open_all(replay, &err) != STATUS_OK) {
        complain("%s", err.message);
        exit_status = kafka_exit_status(&err);
    } else {
        replay->progress = progress_start("replay", replay->source.total, true);
        enum status status = run(replay, &err);
        progress_end(&replay->progress);
        if (status != STATUS_OK)
            give_up(replay);
        report(replay);
        fflush(stdout);
        if (status != STATUS_OK)
            complain("%s; %" PRId64 " letters were sent back before, and run again it goes on from there", err.message, replay->settled);
        else if (interrupts() > 0)
            complain("interrupted; run again to go on from there");
        if (status != STATUS_OK || interrupts() > 0)
            exit_status = EXIT_NOT_DONE;
        replay_source_close(&replay->source);
    }
    kafka_producer_close(replay->producer);
    letter_counts_finish(&replay->counts);
    free(replay->group);
    free(replay);
    return exit_status;
}
