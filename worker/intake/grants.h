/* The partitions that this member owns now, each as one grant (partition.h), found by their number. Intake thread only;
 * blocks never. */
#ifndef CHAT_INTAKE_GRANTS_H
#define CHAT_INTAKE_GRANTS_H

#include "task/partition.h"

struct grants {
    struct partition **partitions; /* in no order; a reference on each */
    size_t count, capacity;
    struct partition **by_id; /* of the one topic that is read; NULL where there is no grant */
    size_t ids;
    uint64_t generation; /* of the last grant */
};

struct partition *grants_find(const struct grants *grants, const char *topic, int32_t id); /* NULL: not ours */
/* The one that is ours already, if there is one. All are of one topic. */
struct partition *grants_add(struct grants *grants, const char *topic, int32_t id);
void grants_forget(struct grants *grants, struct partition *partition);
void grants_finish(struct grants *grants);

#endif
