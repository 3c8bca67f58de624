/* replay: sends dead letters back to their topics, each once (replay_batch.h). Those that can't be sent are listed with their place, by
 * which --letter sends them once the fault is fixed. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "dead_letter_counts.h"
#include "kafka_client.h"
#include "outside_text.h"
#include "progress.h"
#include "replay_batch.h"
#include "replay_source.h"
#include "wire/dead_letter.h"

#define STALL_MS 60000
#define COUNT_NAME "chat.replay.count"

enum { KEY_EXECUTE = 256, KEY_LIMIT, KEY_RATE, KEY_TO, KEY_LETTER };

struct replay {
    struct common *common;
    const char *dead_topic, *to;
    int64_t limit, rate; /* 0: none */
    bool execute;
    const char **places; /* of the dead letters named by --letter, in their order; NULL: none were, so all waiting ones are sent */
    size_t place_count;
    char *group; /* also the transactional id */
    struct replay_batch batch;
    struct replay_source source;
    struct dead_letter_counts counts;
    struct progress progress;
    int64_t taken; /* dead letters chosen */
    int64_t skipped, not_sent;
    int64_t began_ms;
};

static const struct argp_option options[] = {
    {"execute", KEY_EXECUTE, NULL, 0, "send; without it the letters are only counted", 0},
    {"limit", KEY_LIMIT, "N", 0, "at most N letters", 0},
    {"rate", KEY_RATE, "N", 0, "at most N letters a second", 0},
    {"letter", KEY_LETTER, "PLACE", 0, "this one, as a list of replay's names it (chat.dead-0-17), whatever was replayed before; may be repeated", 0},
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
    case KEY_LETTER:
        replay->places = xrealloc(replay->places, (replay->place_count + 1) * sizeof *replay->places);
        replay->places[replay->place_count++] = value;
        return 0;
    case ARGP_KEY_ARG:
        argp_error(state, "unexpected argument: %s", value);
        return EINVAL;
    case ARGP_KEY_END:
        if (replay->to != NULL && strcmp(replay->to, replay->dead_topic) == 0)
            argp_error(state, "--to is the dead-letter topic itself");
        for (size_t i = 0; i < replay->place_count; i++) {
            struct replay_place place;
            if (!replay_place_read(replay->places[i], replay->dead_topic, &place))
                argp_error(state, "--letter takes TOPIC-PARTITION-OFFSET of %s, not '%s'", replay->dead_topic, replay->places[i]);
        }
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_child children[] = {{&common_argp, 0, NULL, 10}, {0}};
static const struct argp argp = {
    options, parse_option, NULL, "Sends dead letters back to the topic they came from, each once."
    "\vIt goes on where the last replay ended (the offsets of the group chat-replay.TOPIC) and stops at what was there when it "
    "started. Letters without a value, or that don't say where they came from, are listed and passed over. So are those that Kafka doesn't take "
    "(too large, or their topic is gone): the exit status is then 1, and --letter sends one of them when that is mended.",
    children, NULL, NULL};

/* ---- one dead letter ---- */

static char *header_text(const struct headers *headers, const char *name)
{
    const struct header *header = headers_find(headers, name);
    return header == NULL || header->value == NULL ? NULL : xmemdup0(header->value, header->size);
}

static void list(struct replay *replay, const struct record *dead_letter, const char *what, const char *why)
{
    AUTO_FREE char *line = outside_text_line(why); /* a dead letter's headers name its topic */
    progress_end(&replay->progress);
    printf("%s %s-%" PRId32 "-%" PRId64 ": %s\n", what, dead_letter->topic, dead_letter->partition, dead_letter->offset, line);
}

static void list_not_sent(const struct record *dead_letter, const char *why, void *arg)
{
    struct replay *replay = arg;
    replay->not_sent++;
    list(replay, dead_letter, "not sent", why);
}

static void skip(struct replay *replay, const struct record *dead_letter, const char *why)
{
    replay->skipped++;
    list(replay, dead_letter, "skipped", why);
}

/* Restores the record's headers from before it failed, and counts how often it was sent back. */
static void restore_headers(struct headers *headers)
{
    AUTO_FREE char *before = header_text(headers, COUNT_NAME);
    long long count = before == NULL ? 0 : strtoll(before, NULL, 10);
    char text[24];
    snprintf(text, sizeof text, "%lld", count < 0 || count > 1000000000 ? 1 : count + 1);
    dead_letter_strip(headers);
    headers_set_text(headers, COUNT_NAME, text);
}

static enum status handle(struct replay *replay, struct record *dead_letter, struct error *err)
{
    AUTO_FREE char *code = header_text(&dead_letter->headers, "chat.error.code");
    struct dead_letter_origin origin = {0};
    bool has_origin = dead_letter_origin(&dead_letter->headers, &origin);
    const char *target = replay->to != NULL ? replay->to : origin.topic;
    enum status status = STATUS_OK;
    if (headers_find(&dead_letter->headers, "chat.value.omitted") != NULL) {
        skip(replay, dead_letter, "its value was left out");
    } else if (dead_letter->value == NULL) {
        skip(replay, dead_letter, "it has no value (a tombstone): it would die again");
    } else if (!has_origin) {
        skip(replay, dead_letter, "it doesn't say where it came from");
    } else if (strcmp(target, replay->dead_topic) == 0) {
        skip(replay, dead_letter, "it came from the dead-letter topic itself");
    } else {
        replay->taken++;
        dead_letter_counts_add(&replay->counts, target, code, dead_letter->partition, dead_letter->offset);
        bool home = strcmp(target, origin.topic) == 0;
        if (replay->execute) {
            restore_headers(&dead_letter->headers);
            status = replay_batch_add(&replay->batch, dead_letter, target, home ? origin.partition : RD_KAFKA_PARTITION_UA, err);
        }
    }
    free(origin.topic);
    return status;
}

/* ---- the run ---- */

/* How long to wait before the next dead letter because of --rate, in ms. */
static int64_t ahead_ms(const struct replay *replay)
{
    if (replay->rate == 0 || !replay->execute)
        return 0;
    int64_t due = replay->began_ms + replay->taken * 1000 / replay->rate;
    int64_t ahead = due - clock_mono_ms();
    return ahead > 0 ? ahead : 0;
}

/* False: the loop must do something else first. */
static bool may_go_on(struct replay *replay)
{
    if (replay->batch.producer != NULL)
        rd_kafka_poll(replay->batch.producer, 0);
    progress_update(&replay->progress, replay->source.done, replay->taken);
    int64_t ahead = ahead_ms(replay);
    if (ahead > 0)
        rd_kafka_poll(replay->batch.producer, ahead < 50 ? (int)ahead : 50);
    return ahead == 0;
}

static bool is_enough(const struct replay *replay)
{
    return interrupts() > 0 || (replay->limit > 0 && replay->taken >= replay->limit);
}

static enum status take(struct replay *replay, struct record *dead_letter, struct error *err)
{
    enum status status = handle(replay, dead_letter, err);
    record_finish(dead_letter);
    return status;
}

static enum status commit(struct replay *replay, struct error *err)
{
    return replay->execute ? replay_batch_commit(&replay->batch, err) : STATUS_OK;
}

static enum status run_waiting(struct replay *replay, struct error *err)
{
    int64_t moved_ms = clock_mono_ms();
    while (!is_enough(replay)) {
        if (replay_batch_is_due(&replay->batch) && commit(replay, err) != STATUS_OK)
            return STATUS_FAILED;
        struct record dead_letter = {0};
        enum status got = may_go_on(replay) ? replay_source_next(&replay->source, 100, &dead_letter, err) : STATUS_OK;
        if (got == STATUS_CLOSED)
            break;
        if (got == STATUS_OK && dead_letter.topic != NULL)
            got = take(replay, &dead_letter, err);
        if (got == STATUS_FAILED)
            return STATUS_FAILED;
        if (got == STATUS_OK)
            moved_ms = clock_mono_ms();
        else if (clock_mono_ms() - moved_ms > STALL_MS)
            return error_set(err, ERROR_UNAVAILABLE, "stalled", "nothing came from %s for %d s", replay->dead_topic, STALL_MS / 1000);
    }
    return commit(replay, err);
}

static enum status run_named(struct replay *replay, struct error *err)
{
    for (size_t i = 0; i < replay->place_count && !is_enough(replay);) {
        struct replay_place place;
        struct record dead_letter = {0};
        if (replay_batch_is_due(&replay->batch) && commit(replay, err) != STATUS_OK)
            return STATUS_FAILED;
        if (!may_go_on(replay) || !replay_place_read(replay->places[i], replay->dead_topic, &place))
            continue;
        enum status got = replay_source_one(&replay->source, &place, STALL_MS, &dead_letter, err);
        if (got == STATUS_CLOSED) {
            replay->not_sent++;
            printf("not sent %s: there is no such letter (any more)\n", replay->places[i]);
        } else if (got != STATUS_OK || take(replay, &dead_letter, err) != STATUS_OK) {
            return STATUS_FAILED;
        }
        i++;
    }
    return commit(replay, err);
}

static enum status run(struct replay *replay, struct error *err)
{
    replay->began_ms = clock_mono_ms();
    return replay->place_count > 0 ? run_named(replay, err) : run_waiting(replay, err);
}

static enum status open_all(struct replay *replay, struct error *err)
{
    replay->batch.dead_topic = replay->dead_topic;
    replay->batch.not_sent = list_not_sent;
    replay->batch.arg = replay;
    if (replay->execute && replay_batch_open(&replay->batch, replay->common, replay->group, err) != STATUS_OK)
        return STATUS_FAILED;
    if (replay->execute && replay->to != NULL && replay_batch_target(&replay->batch, replay->to, err) != STATUS_OK) {
        err->class = ERROR_UNAVAILABLE;
        return STATUS_FAILED;
    }
    if (replay->place_count == 0)
        replay->batch.source = &replay->source;
    return replay_source_open(&replay->source, replay->common, replay->group, replay->dead_topic, replay->place_count == 0, err);
}

static void report(const struct replay *replay)
{
    dead_letter_counts_print(&replay->counts, replay->dead_topic, stdout);
    if (replay->execute)
        printf("%" PRId64 " letters sent back, %" PRId64 " not sent, %" PRId64 " skipped\n", replay->batch.sent, replay->not_sent, replay->skipped);
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
        replay_batch_close(&replay->batch); /* dead letters not committed by now are given up, before the report counts */
        report(replay);
        fflush(stdout);
        if (status != STATUS_OK)
            complain("%s; %" PRId64 " letters were sent back before, and run again it goes on from there", err.message, replay->batch.sent);
        else if (interrupts() > 0)
            complain("interrupted; run again to go on from there");
        if (replay->not_sent > 0)
            complain("%" PRId64 " letters can't be sent as it is. They stay where they are, and this group is past them: mend what the list says, then name each "
                     "with --letter", replay->not_sent);
        if (status != STATUS_OK || interrupts() > 0 || replay->not_sent > 0)
            exit_status = EXIT_NOT_DONE;
        replay_source_close(&replay->source);
    }
    replay_batch_close(&replay->batch);
    dead_letter_counts_finish(&replay->counts);
    free(replay->places);
    free(replay->group);
    free(replay);
    return exit_status;
}
