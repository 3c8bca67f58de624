#include "dead_letter_counts.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "outside_text.h"

void dead_letter_counts_add(struct dead_letter_counts *counts, const char *target, const char *code, int32_t partition, int64_t offset)
{
    char *clean_target = outside_text_line(target);
    char *clean_code = outside_text_line(code == NULL ? "-" : code);
    size_t at = 0;
    while (at < counts->row_count && at < DEAD_LETTER_ROWS_MAX - 1 &&
           (strcmp(counts->rows[at].target, clean_target) != 0 || strcmp(counts->rows[at].code, clean_code) != 0))
        at++;
    struct dead_letter_row *row = &counts->rows[at];
    if (at < counts->row_count) {
        row->count++;
        free(clean_target);
        free(clean_code);
        return;
    }
    if (at == DEAD_LETTER_ROWS_MAX - 1) {
        free(clean_target);
        free(clean_code);
        clean_target = xstrdup("(others)");
        clean_code = xstrdup("(others)");
    }
    *row = (struct dead_letter_row){clean_target, clean_code, 1, partition, offset};
    counts->row_count++;
}

void dead_letter_counts_print(const struct dead_letter_counts *counts, const char *dead_topic, FILE *out)
{
    if (counts->row_count == 0)
        return;
    fprintf(out, "%8s  %-24s %-32s %s\n", "count", "topic", "error code", "first");
    for (size_t i = 0; i < counts->row_count; i++) {
        const struct dead_letter_row *row = &counts->rows[i];
        fprintf(out, "%8" PRId64 "  %-24s %-32s %s-%" PRId32 "-%" PRId64 "\n", row->count, row->target, row->code, dead_topic,
                row->partition, row->offset);
    }
}

void dead_letter_counts_finish(struct dead_letter_counts *counts)
{
    for (size_t i = 0; i < counts->row_count; i++) {
        free(counts->rows[i].target);
        free(counts->rows[i].code);
    }
    counts->row_count = 0;
}
