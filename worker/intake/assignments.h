/* The partitions that this member owns now, each as one assignment (partition.h), found by partition number. Intake thread only;
 * blocks never. */
#ifndef CHAT_INTAKE_ASSIGNMENTS_H
#define CHAT_INTAKE_ASSIGNMENTS_H

#include "task/partition.h"

struct assignments {
    struct partition **partitions; /* in no order; a reference on each */
    size_t count, capacity;
    struct partition **by_id; /* by partition number, of the one topic that is read; NULL: not assigned */
    size_t ids;
    uint64_t generation; /* of the last assignment */
    char *member; /* the member id that new assignments belong to; NULL: not known yet */
};

struct partition *assignments_find(const struct assignments *assignments, const char *topic, int32_t id); /* NULL: not assigned */
/* Returns the present assignment of the partition, if there is one. All partitions are of one topic. */
struct partition *assignments_add(struct assignments *assignments, const char *topic, int32_t id);
/* Stores the current member id; true: it differs from the one before. */
bool assignments_note_member(struct assignments *assignments, const char *member);
void assignments_forget(struct assignments *assignments, struct partition *partition);
void assignments_finish(struct assignments *assignments);

#endif
