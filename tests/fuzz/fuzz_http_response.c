/* A server's response: however it is cut into pieces it is read alike, and as libcurl itself reads it, but for what is stricter on purpose
 * (tests/lib/http_oracle.h). */
#include <stdint.h>
#include <stdio.h>

#include "../lib/http_oracle.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "differs: %s\n", what);
        abort();
    }
}

static void require_alike(const struct http_read *a, const struct http_read *b)
{
    require(a->good == b->good && a->status == b->status && a->reading == b->reading, "the verdict, by pieces");
    require(a->body.size == b->body.size && memcmp(text_buffer_text(&a->body), text_buffer_text(&b->body), b->body.size) == 0, "the body, by pieces");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const size_t steps[] = {2, 7, 100, size};
    const char *bytes = (const char *)data;
    struct http_read single, theirs;
    if (size == 0)
        return 0;
    http_read_ours(bytes, size, 1, &single);
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        struct http_read other;
        http_read_ours(bytes, size, steps[i], &other);
        require_alike(&other, &single);
        http_read_finish(&other);
    }
    http_read_libcurls(bytes, size, &theirs);
    const char *difference = http_reads_differ(&single, &theirs);
    if (difference != NULL)
        fprintf(stderr, "ours: %d %d %s; libcurl: %d %d %s\n", single.good, single.status, single.problem != NULL ? single.problem : "", theirs.good, theirs.status, theirs.problem);
    require(difference == NULL, difference);
    http_read_finish(&single);
    http_read_finish(&theirs);
    return 0;
}
