#include "wire/job.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "base/cleanup.h"
#include "base/clock.h"

char *job_encode(const char *id, const char *session, const char *message, json_t *metadata, bool stream)
{
    /* "*" leaves a member out when its value is NULL; "O" borrows. */
    AUTO_JSON json_t *job = json_pack("{s:s, s:s*, s:s, s:O*, s:o*}", "id", id, "session", session, "message", message,
                                      "metadata", metadata, "stream", stream ? json_true() : NULL);
    return job == NULL ? NULL : json_dumps(job, JSON_COMPACT);
}

static void random_bytes(uint8_t *out, size_t size)
{
    for (size_t got = 0; got < size;) {
        ssize_t n = getrandom(out + got, size - got, 0);
        if (n > 0) {
            got += (size_t)n;
        } else if (errno != EINTR) {
            perror("getrandom"); /* no kernel we run on: ids that repeat would lose jobs */
            abort();
        }
    }
}

void job_id_new(char out[27])
{
    static const char crockford[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    uint8_t bits[16]; /* 48 bits of milliseconds, big-endian, then 80 of chance */
    uint64_t now_ms = (uint64_t)clock_wall_ms();
    for (int i = 0; i < 6; i++)
        bits[i] = (uint8_t)(now_ms >> (40 - 8 * i));
    random_bytes(bits + 6, sizeof bits - 6);

    /* 26 digits of 5 bits are 130: two zero bits lead. */
    unsigned pending = 0;
    int pending_bits = 2;
    size_t byte = 0;
    for (int i = 0; i < 26; i++) {
        if (pending_bits < 5) {
            pending = (pending << 8) | bits[byte++];
            pending_bits += 8;
        }
        pending_bits -= 5;
        out[i] = crockford[(pending >> pending_bits) & 31];
        pending &= (1U << pending_bits) - 1;
    }
    out[26] = '\0';
}
