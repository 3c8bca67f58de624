/* A commit's metadata. First bit of the input 0: any text. 1: the payload, with mark and checksum added, as in a
 * forgery. An accepted set must be above the base and within the log, and must be
 * written and read again without change. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "task/offset_codec.h"

#define BASE 1000
#define LOG_END (BASE + 100000)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct offset_runs *runs, int32_t epoch)
{
    int64_t at = BASE - 1;
    for (size_t i = 0; i < runs->count; i++) {
        if (runs->items[i].from <= at || runs->items[i].to <= runs->items[i].from || runs->items[i].to > LOG_END)
            abort();
        at = runs->items[i].to;
    }
    struct offset_text again = offset_encode(BASE, runs, epoch, SIZE_MAX / 2);
    struct offset_runs back;
    struct error err;
    int32_t back_epoch;
    if (!again.whole || strlen(again.text) > OFFSET_TEXT_MAX * 16) { /* more than a broker stores */
        free(again.text);
        return;
    }
    if (offset_decode(again.text, strlen(again.text), BASE, LOG_END, &back, &back_epoch, &err) != STATUS_OK || back.count != runs->count ||
        (runs->count > 0 && (back_epoch != epoch || memcmp(back.items, runs->items, runs->count * sizeof *runs->items) != 0)))
        abort();
    free(again.text);
    offset_runs_finish(&back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    AUTO_FREE char *text = (data[0] & 1) ? offset_wrap(BASE, data + 1, size - 1) : strndup((const char *)data + 1, size - 1);
    struct offset_runs runs;
    struct error err = {0};
    int32_t epoch;
    if (offset_decode(text, strlen(text), BASE, LOG_END, &runs, &epoch, &err) == STATUS_OK)
        check(&runs, epoch);
    else if (runs.count != 0 || err.message[0] == '\0')
        abort();
    offset_runs_finish(&runs);
    return 0;
}
