/* Bars as text of Chrome's trace events, for telemetry/trace.h: quickly, since a bar's text must cost little beside its job. What is the same from bar to bar is
 * made once: a job's and a lane's texts while bars of one come one after the other, as they mostly do. Pure. */
#ifndef CHAT_TELEMETRY_TRACE_TEXT_H
#define CHAT_TELEMETRY_TRACE_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "telemetry/steps.h"

#define TRACE_EVENT_BYTES_MAX 2048 /* of what one call writes: what it appends, and a few bytes behind that */
#define TRACE_NAME_BYTES_MAX 256 /* of what a bar waits for, and of a reason: the rest is left out */
#define TRACE_OPENING_BYTES 112 /* of what an event begins with, at most */

struct trace_text {
    bool has_tracks; /* lanes are threads, with tracks of their own */
    char *bytes;     /* the caller's: room for TRACE_EVENT_BYTES_MAX behind size */
    size_t size;
    char process[24];
    size_t process_size;
    struct step_job job; /* of the last bar: what the next five are made of */
    char begin[TRACE_OPENING_BYTES], end[TRACE_OPENING_BYTES], members[STEP_ID_BYTES * 6 + 96];
    size_t span_size, members_size; /* 0: there was none */
    size_t name_size; /* of the members: the id alone */
    int lane; /* of the last slice */
    char slice[TRACE_OPENING_BYTES];
    size_t slice_size; /* 0: there was none */
    int64_t time_us, second;   /* the last ones; their digits: undefined while there are none */
    char time_digits[24 + 6], second_digits[24];
    size_t time_size, second_size;
};

struct trace_text trace_text_new(bool has_tracks, int process, char *bytes);

/* The process' name: the first event, once. */
void trace_text_process(struct trace_text *text);
/* A lane's name, and its place among the others. */
void trace_text_track(struct trace_text *text, int lane);
void trace_text_bar(struct trace_text *text, const struct step_bar *bar, bool unfinished);
/* So many bars were lost by then; why: a literal. */
void trace_text_lost(struct trace_text *text, uint64_t lost, const char *why, int64_t now_us);

#endif
