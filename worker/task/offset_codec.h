/* The completed set as text for a commit's metadata, and back. Pure; any thread.
 *
 *   "cw1" base64( form, leader epoch, payload, checksum )
 *
 * form      'r' runs: from the base on, how many aren't done, how many are, and so on, as LEB128 numbers
 *           'b' bits: bit i of byte i / 8 stands for base + i
 *           'c' CRoaring's portable form (https://github.com/RoaringBitmap/RoaringFormatSpec) of offset - base
 *           Whichever is smallest is written; all are read.
 * epoch     the highest leader epoch among the records, + 1, LEB128; 0: not known
 * checksum  XXH3, 64 bits, little endian, over the base (64 bits, little endian) and all before it
 *
 * Kafka limits a commit's metadata (offset.metadata.max.bytes, 4,096 by default). Any subset of
 * the set is safe: a job that isn't in it is read again, and answered from the stored reply.
 *
 * Any client that may commit to the group can write a commit's metadata: text in another format, incomplete, of another base or
 * with offsets that the log doesn't contain yet is ignored. (A client that may commit can skip records anyway by committing
 * a higher offset, so a checksum, not a signature, is enough.) */
#ifndef CHAT_TASK_OFFSET_CODEC_H
#define CHAT_TASK_OFFSET_CODEC_H

#include "base/error.h"
#include "task/offset_runs.h"

#define OFFSET_TEXT_MAX 4096 /* characters */
/* Offsets further from the base aren't written, and text that claims such is refused. */
#define OFFSET_SPAN_MAX (INT64_C(1) << 32)

struct offset_text {
    char *text; /* owned; "" for an empty set */
    bool whole; /* false: the last runs are omitted, since all wouldn't fit into chars_max */
};

/* runs begin at or above base. leader_epoch -1: not known. */
struct offset_text offset_encode(int64_t base, const struct offset_runs *runs, int32_t leader_epoch, size_t chars_max);

/* Form, epoch and payload with mark and checksum: owned by the caller. For encode, and for tests with forged text. */
char *offset_wrap(int64_t base, const uint8_t *bytes, size_t size);

/* text NULL or empty: an empty set. log_end: the log end offset. FAILED: *ret is empty and *err contains
 * why the text is ignored (`foreign`, `damaged`, `other_base`, `beyond_log`). The caller frees *ret by
 * offset_runs_finish. */
enum status offset_decode(const char *text, size_t size, int64_t base, int64_t log_end, struct offset_runs *ret,
                          int32_t *ret_leader_epoch, struct error *err) MUST_CHECK;

#endif
