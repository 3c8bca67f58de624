/* What replay found, for its report: letters by target and error code, with the first place of each. One thread. */
#ifndef CHAT_PRODUCER_LETTER_COUNTS_H
#define CHAT_PRODUCER_LETTER_COUNTS_H

#include <stdint.h>
#include <stdio.h>

#define LETTER_ROWS_MAX 200 /* headers come from outside: beyond that many kinds, the last row takes the rest */

struct letter_row {
    char *target, *code;
    int64_t count;
    int32_t partition; /* the first such letter's place on the dead topic */
    int64_t offset;
};

struct letter_counts {
    struct letter_row rows[LETTER_ROWS_MAX];
    size_t row_count;
};

/* code may be NULL. Copies. */
void letter_counts_add(struct letter_counts *counts, const char *target, const char *code, int32_t partition, int64_t offset);
void letter_counts_print(const struct letter_counts *counts, const char *dead_topic, FILE *out);
void letter_counts_finish(struct letter_counts *counts);

#endif
