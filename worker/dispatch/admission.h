/* How many jobs may be under way, and which may start next: pure; called under the dispatcher's lock.
 *
 * Two bounds. While a dependency is away, its breaker admits few jobs or none. And a job whose claim was found
 * unreleased after a crash is a suspect: a redelivery runs it beside the same jobs again, so a crash proves nothing
 * against one of them until it ran alone. By the crashes counted for the job:
 *   0, 1       runs freely, since a process may be killed for many reasons
 *   2          runs with at most √threads others
 *   3 or more  runs alone, and after two crashes alone (5 in all) it is a dead letter.
 * Suspects start first, those with fewer crashes before the others: while one waits, no free job starts, else it would
 * never be alone. */
#ifndef CHAT_DISPATCH_ADMISSION_H
#define CHAT_DISPATCH_ADMISSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* In the order in which classes are started. */
enum admission_class {
    ADMIT_EXPIRED, /* past its own deadline, or cancelled: no model is asked, so it has no bound */
    ADMIT_FEW,     /* a suspect among few */
    ADMIT_ALONE,   /* a suspect */
    ADMIT_FREE,
    ADMISSION_CLASSES
};

#define CRASHES_FREE_MAX 1
#define CRASHES_DEAD 5

enum admission_class admission_class_of(int64_t crashes);

struct admission {
    size_t few;     /* how many other jobs may run beside a suspect among few */
    size_t bound;   /* what the breakers admit; SIZE_MAX: no bound */
    size_t running[ADMISSION_CLASSES];
};

#define ADMISSION_UNBOUNDED SIZE_MAX

void admission_init(struct admission *admission, size_t threads);
/* May one more of this class start now? */
bool admission_allows(const struct admission *admission, enum admission_class class);
/* No bound applies and no suspect waits: jobs may start unchecked. */
bool admission_is_free(const struct admission *admission);

#endif
