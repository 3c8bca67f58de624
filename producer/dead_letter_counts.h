/* Counts for replay's report: dead letters by target and error code, each with the place of the first. One thread. */
#ifndef CHAT_PRODUCER_DEAD_LETTER_COUNTS_H
#define CHAT_PRODUCER_DEAD_LETTER_COUNTS_H

#include <stdint.h>
#include <stdio.h>

#define DEAD_LETTER_ROWS_MAX 200 /* headers come from outside: beyond that many kinds, the last row counts the rest */

struct dead_letter_row {
    char *target, *code;
    int64_t count;
    int32_t partition; /* the first such dead letter's place on the dead topic */
    int64_t offset;
};

struct dead_letter_counts {
    struct dead_letter_row rows[DEAD_LETTER_ROWS_MAX];
    size_t row_count;
};

/* code may be NULL. Copies. */
void dead_letter_counts_add(struct dead_letter_counts *counts, const char *target, const char *code, int32_t partition, int64_t offset);
void dead_letter_counts_print(const struct dead_letter_counts *counts, const char *dead_topic, FILE *out);
void dead_letter_counts_finish(struct dead_letter_counts *counts);

#endif
