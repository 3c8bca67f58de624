/* Which record a thread worked on when the process crashed (SEGV, ABRT, BUS, ILL, FPE): a
 * handler appends a line to worker.crash_file, and the next start reads it before it joins the group.
 *
 * Which jobs are dangerous is otherwise decided by the crashes counted in Redis (dispatch/admission.h). In addition, with this file the log
 * names the record, and a record that crashes the decoder, before it has a claim, is detected: the intake decodes one at a
 * time, so two such notes of one record are proof.
 *
 * A file is used by one process at a time. Not noted: a kill -9, the OOM killer, a stack overflow. */
#ifndef CHAT_TELEMETRY_CRASH_NOTES_H
#define CHAT_TELEMETRY_CRASH_NOTES_H

#include "base/error.h"
#include "wire/record.h"

#define CRASHES_DECODING_MAX 2 /* of one record; then it is a dead letter, unread */

struct crash_notes;

/* Once in the process, before its threads: reads the notes, logs them as warnings (`crashed_before`), keeps the notes of decoding, and
 * installs the handler, which chains to the previous one. file NULL: no notes, and *ret is NULL. FAILED, permanent:
 * the file can't be written, or another process has it. */
enum status crash_notes_open(const char *file, struct crash_notes **ret, struct error *err) MUST_CHECK;
/* Would crash_notes_open fail? Leaves nothing behind. Not if another process has the file at the moment: that may be this worker, running. */
enum status crash_notes_check(const char *file, struct error *err) MUST_CHECK;
void crash_notes_close(struct crash_notes *notes); /* NULL is fine */

enum crash_doing { DOING_NOTHING, DOING_DECODING, DOING_JOURNEY };

/* Sets what the calling thread does from now on, with a record that is borrowed until the next call. Any thread; two stores. */
void crash_notes_doing(enum crash_doing doing, const struct record *record);

/* How often decoding this record crashed: same topic, partition, offset and timestamp. notes NULL: 0. Any thread. */
int crash_notes_decoding(const struct crash_notes *notes, const struct record *record);

#endif
