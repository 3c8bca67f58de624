#include "telemetry/trace_text.h"

#include <stdlib.h>
#include <string.h>

#include "base/decimal.h"
#include "wire/json_writer.h"

/* ---- appending ---- */

static void put(struct trace_text *text, const char *bytes, size_t size)
{
    memcpy(text->bytes + text->size, bytes, size);
    text->size += size;
}

#define PUT(text, literal) put(text, literal, sizeof(literal) - 1)

/* As put; block: an array, all of which is copied, since so many bytes as are known now are a few moves. */
#define PUT_BLOCK(text, block, block_size)                                   \
    do {                                                                     \
        memcpy((text)->bytes + (text)->size, (block), sizeof(block));        \
        (text)->size += (block_size);                                        \
    } while (0)

static void put_number(struct trace_text *text, int64_t number)
{
    text->size += decimal_write(number, text->bytes + text->size);
}

/* Times of one second have all but six digits in common. */
static size_t write_time(struct trace_text *text, char *at, int64_t time_us)
{
    int64_t second = time_us / 1000000;
    if (second == 0) /* no zeros in front */
        return decimal_write(time_us, at);
    if (second != text->second || text->second_size == 0) {
        text->second = second;
        text->second_size = decimal_write(second, text->second_digits);
    }
    memcpy(at, text->second_digits, sizeof text->second_digits);
    decimal_write_six((uint32_t)(time_us % 1000000), at + text->second_size);
    return text->second_size + 6;
}

/* In microseconds. Where one step of a job ends the next one begins. */
static void put_time(struct trace_text *text, int64_t time_us)
{
    if (time_us != text->time_us || text->time_size == 0) {
        text->time_us = time_us;
        text->time_size = write_time(text, text->time_digits, time_us);
    }
    PUT_BLOCK(text, text->time_digits, text->time_size);
}

/* Names of settings and literals: plain words, all shorter than that (named_sections_may_be). */
static void put_name(struct trace_text *text, const char *name)
{
    put(text, name, strnlen(name, TRACE_NAME_BYTES_MAX));
}

#define STEP_TEXT_BYTES 24

struct step_text {
    char text[STEP_TEXT_BYTES];
    size_t size;
};

#define STEP_TEXT(id, name) {",\"name\":\"" name "\"", sizeof(",\"name\":\"" name "\"") - 1},
static const struct step_text step_texts[] = {STEP_KINDS(STEP_TEXT)};
#undef STEP_TEXT

static void put_step(struct trace_text *text, enum step step)
{
    PUT_BLOCK(text, step_texts[step].text, step_texts[step].size);
}

#define OPEN_EVENT ",\n{\"ph\":" /* the process' event alone has none before it */

/* ---- a job's members ---- */

static bool is_same(const struct step_job *one, const struct step_job *other)
{
    return one->offset == other->offset && one->partition == other->partition && strcmp(one->id, other->id) == 0;
}

static bool is_plain(const char *id)
{
    while (*id >= ' ' && *id < 127 && *id != '"' && *id != '\\')
        id++;
    return *id == '\0';
}

static char *append(char *at, const char *bytes, size_t size)
{
    memcpy(at, bytes, size);
    return at + size;
}

/* As JSON, with its quotes. */
static char *append_quoted(char *at, const char *id)
{
    if (is_plain(id)) {
        *at++ = '"';
        at = append(at, id, strlen(id));
        *at++ = '"';
        return at;
    }
    struct json_writer writer = {0};
    json_write_text(&writer, NULL, id);
    at = append(at, writer.text, writer.size);
    free(writer.text);
    return at;
}

#define APPEND(at, literal) append(at, literal, sizeof(literal) - 1)

/* begin, end: of a span, up to its time. members: of both kinds of events, from behind the name on. */
static void take_job(struct trace_text *text, const struct step_job *job)
{
    if (text->members_size > 0 && is_same(&text->job, job))
        return;
    text->job = *job;
    char partition[DECIMAL_SIZE], offset[DECIMAL_SIZE];
    size_t partition_size = decimal_write(job->partition, partition), offset_size = decimal_write(job->offset, offset);
    char *at = APPEND(text->begin, OPEN_EVENT "\"b\",");
    char *kind = at - sizeof "b\"," + 1;
    at = append(at, text->process, text->process_size);
    at = APPEND(at, ",\"cat\":\"job\",\"id\":\"");
    at = append(at, partition, partition_size);
    at = APPEND(at, ":");
    at = append(at, offset, offset_size);
    at = APPEND(at, "\",\"ts\":");
    text->span_size = (size_t)(at - text->begin);
    memcpy(text->end, text->begin, sizeof text->end);
    text->end[kind - text->begin] = 'e';
    at = APPEND(text->members, ",\"args\":{\"job\":");
    at = append_quoted(at, job->id);
    text->name_size = (size_t)(at - text->members);
    at = APPEND(at, ",\"partition\":");
    at = append(at, partition, partition_size);
    at = APPEND(at, ",\"offset\":");
    at = append(at, offset, offset_size);
    text->members_size = (size_t)(at - text->members);
}

/* members_size: a span's id says the job's partition and offset already. */
static void put_args(struct trace_text *text, size_t members_size, const struct step_bar *bar, bool unfinished)
{
    put(text, text->members, members_size);
    if (bar->waits_for != NULL) {
        PUT(text, ",\"waits_for\":\"");
        put_name(text, bar->waits_for);
        PUT(text, "\"");
    }
    if (unfinished)
        PUT(text, ",\"unfinished\":true");
    PUT(text, "}}");
}

/* ---- events ---- */

struct trace_text trace_text_new(bool has_tracks, int process, char *bytes)
{
    struct trace_text text = {.has_tracks = has_tracks, .bytes = bytes};
    char *at = APPEND(text.process, "\"pid\":");
    at += decimal_write(process, at);
    text.process_size = (size_t)(at - text.process);
    return text;
}

static void put_place(struct trace_text *text, int lane)
{
    put(text, text->process, text->process_size);
    PUT(text, ",\"tid\":");
    put_number(text, lane + 1); /* 0 is the process's */
}

void trace_text_process(struct trace_text *text)
{
    PUT(text, "{\"ph\":\"M\",");
    put_place(text, -1);
    PUT(text, ",\"name\":\"process_name\",\"args\":{\"name\":\"chat-worker\"}}");
}

void trace_text_track(struct trace_text *text, int lane)
{
    char name[STEPS_NAME_BYTES];
    steps_lane_name(lane, name);
    PUT(text, OPEN_EVENT "\"M\",");
    put_place(text, lane);
    PUT(text, ",\"name\":\"thread_name\",\"args\":{\"name\":\"");
    put(text, name, strlen(name));
    PUT(text, "\"}}" OPEN_EVENT "\"M\",");
    put_place(text, lane);
    PUT(text, ",\"name\":\"thread_sort_index\",\"args\":{\"sort_index\":");
    put_number(text, lane);
    PUT(text, "}}");
}

/* slice: of a lane's, up to its time. */
static void take_lane(struct trace_text *text, int lane)
{
    if (text->slice_size > 0 && text->lane == lane)
        return;
    text->lane = lane;
    char *at = APPEND(text->slice, OPEN_EVENT "\"X\",");
    at = append(at, text->process, text->process_size);
    at = APPEND(at, ",\"tid\":");
    at += decimal_write(lane + 1, at); /* 0 is the process's */
    at = APPEND(at, ",\"ts\":");
    text->slice_size = (size_t)(at - text->slice);
}

static void put_slice(struct trace_text *text, const struct step_bar *bar, bool unfinished)
{
    take_lane(text, bar->lane);
    PUT_BLOCK(text, text->slice, text->slice_size);
    put_time(text, bar->from_us);
    PUT(text, ",\"dur\":");
    put_number(text, bar->until_us - bar->from_us);
    put_step(text, bar->step);
    put_args(text, text->members_size, bar, unfinished);
}

static void put_span(struct trace_text *text, const struct step_bar *bar, bool unfinished)
{
    PUT_BLOCK(text, text->begin, text->span_size);
    put_time(text, bar->from_us);
    put_step(text, bar->step);
    put_args(text, text->name_size, bar, unfinished);
    PUT_BLOCK(text, text->end, text->span_size);
    put_time(text, bar->until_us);
    put_step(text, bar->step);
    PUT(text, "}");
}

void trace_text_bar(struct trace_text *text, const struct step_bar *bar, bool unfinished)
{
    take_job(text, &bar->job);
    if (bar->of_lane && text->has_tracks)
        put_slice(text, bar, unfinished);
    else
        put_span(text, bar, unfinished);
}

void trace_text_lost(struct trace_text *text, uint64_t lost, const char *why, int64_t now_us)
{
    PUT(text, OPEN_EVENT "\"i\",\"s\":\"p\",");
    put_place(text, -1);
    PUT(text, ",\"ts\":");
    put_time(text, now_us);
    PUT(text, ",\"name\":\"");
    put_number(text, (int64_t)lost);
    PUT(text, " bars lost: ");
    put_name(text, why);
    PUT(text, "\"}");
}
