#include "wire/job.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/byte_order_mark.h"
#include "base/clock.h"
#include "wire/job_scan.h"
#include "wire/json_writer.h"

static bool is_text(const char *text)
{
    return text == NULL || utf8_invalid_at(text, strlen(text)) == SCAN_NOWHERE;
}

char *job_encode(const struct job_parts *parts)
{
    struct json_writer job = {0};
    const char *message = parts->message + byte_order_mark_size(parts->message, strlen(parts->message));
    if (!is_text(parts->id) || !is_text(parts->session) || !is_text(message))
        return NULL;
    json_write_open(&job, NULL);
    json_write_text(&job, "id", parts->id);
    if (parts->session != NULL)
        json_write_text(&job, "session", parts->session);
    json_write_text(&job, "message", message);
    if (parts->params != NULL)
        json_write_raw(&job, "params", parts->params);
    if (parts->metadata != NULL)
        json_write_raw(&job, "metadata", parts->metadata);
    if (parts->stream)
        json_write_bool(&job, "stream", true);
    json_write_close(&job);
    return job.text;
}

static void random_bytes(uint8_t *out, size_t size)
{
    for (size_t got = 0; got < size;) {
        ssize_t n = getrandom(out + got, size - got, 0);
        if (n > 0) {
            got += (size_t)n;
        } else if (errno != EINTR) {
            perror("getrandom"); /* never on a supported kernel; repeated ids would lose jobs */
            abort();
        }
    }
}

void job_id_new(char out[27])
{
    static const char crockford[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    uint8_t bits[16]; /* 48 bits of milliseconds, big-endian, then 80 random bits */
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
