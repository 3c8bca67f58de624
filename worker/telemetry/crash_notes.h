/* Which record a thread had in hand when the process died of a signal of its own making (SEGV, ABRT, BUS, ILL, FPE): a
 * handler appends a line to worker.crash_file, and the next start reads it before it joins the group.
 *
 * Which jobs are dangerous is otherwise decided by their records in Redis (dispatch/admission.h). What this adds: the log
 * names the culprit, and a record that kills the decoder, before it has a claim, is found out: the intake reads one at a
 * time, so two such notes of one record are proof.
 *
 * A file is one process's at a time. Not seen: a kill -9, the kernel's when memory runs out, a stack that overflows. */
#ifndef CHAT_TELEMETRY_CRASH_NOTES_H
#define CHAT_TELEMETRY_CRASH_NOTES_H

#include "base/error.h"
#include "wire/record.h"

#define CRASHES_DECODING_MAX 2 /* of one record; then it is a dead letter, unread */

struct crash_notes;

/* Once in the process, before its threads: reads what was noted, warns of it (`crashed_before`), keeps the notes of decoding, and
 * installs the handler, which passes on to the one before it. file NULL: notes nothing, and *ret is NULL. FAILED, permanent:
 * it can't be written, or another process has it. */
enum status crash_notes_open(const char *file, struct crash_notes **ret, struct error *err) MUST_CHECK;
/* Would it be refused? Leaves nothing behind. That another process has the file at the moment is no reason: it may be this worker's. */
enum status crash_notes_check(const char *file, struct error *err) MUST_CHECK;
void crash_notes_close(struct crash_notes *notes); /* NULL is fine */

enum crash_doing { DOING_NOTHING, DOING_DECODING, DOING_JOURNEY };

/* What the calling thread does from now on, with a record that is borrowed until the next call. Any thread; two stores. */
void crash_notes_doing(enum crash_doing doing, const struct record *record);

/* How often this record killed the decoder: the same place and timestamp. notes NULL: 0. Any thread. */
int crash_notes_decoding(const struct crash_notes *notes, const struct record *record);

#endif
