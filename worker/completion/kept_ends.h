/* The ends a transaction is made of, in the order of their jobs' lanes, and what it says of their partitions. No thread,
 * no I/O: what may enter and what is committed are decided here. */
#ifndef CHAT_COMPLETION_KEPT_ENDS_H
#define CHAT_COMPLETION_KEPT_ENDS_H

#include "dispatch/task.h"

struct kept {
    struct task *task; /* a reference */
    bool inside;           /* the open transaction */
    bool admitted;         /* may enter it; as of the last kept_ends_admit */
    bool alone;            /* refused in company: in a transaction of its own it shows whose fault it was */
    int64_t not_before_ms; /* clock_mono_ms; refused in every form, or 0 */
    bool refused_reply, refused_letter;
};

struct kept_ends {
    struct kept *items;
    size_t count, capacity;
};

void kept_ends_add(struct kept_ends *ends, struct kept kept);
/* Takes out those that `goes` is true of, gives up their references; the others keep their order. Returns how many went. */
size_t kept_ends_remove(struct kept_ends *ends, bool (*goes)(const struct kept *kept));
void kept_ends_finish(struct kept_ends *ends);

struct partitions {
    struct partition **items; /* references */
    size_t count, capacity;
};

/* Each once. */
void partitions_add(struct partitions *partitions, struct partition *partition);
void partitions_clear(struct partitions *partitions);
void partitions_finish(struct partitions *partitions);

/* Sets `admitted`: what may enter now, at most room of them. In order, but for those that wait aside; one that is `alone`
 * enters only by itself, and those behind it wait; sealed: such a one is inside. Of a partition whose completed set is near a
 * commit's limit the most that fit enter (room or not), by rising offset, so that the order of a lane holds: an end that let
 * the set outgrow the commit would be handed out again after a restart, and answered twice. */
void kept_ends_admit(struct kept_ends *ends, size_t room, bool sealed, int64_t now_ms);

/* What a transaction says of one partition. */
struct share {
    struct partition *partition; /* borrowed */
    int64_t *with;               /* the offsets of its ends, rising; borrowed */
    size_t n;
    int64_t offset;
    char *metadata; /* owned */
};

struct shares {
    struct share *items;
    size_t count;
    int64_t *offsets;
};

/* Of the ends inside, and of the offers, whose offsets go along. False: not all that would be done fits into a commit's
 * metadata. *ret is to be finished in either case. */
bool shares_make(const struct kept_ends *ends, const struct partitions *offers, struct shares *ret) MUST_CHECK;
void shares_finish(struct shares *shares);
/* The broker took none, for one was too long, and didn't say which: the longest, then. */
void shares_metadata_refused(struct shares *shares);

#endif
