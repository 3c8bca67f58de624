/* What may enter a transaction next. No thread, no I/O. */
#ifndef CHAT_COMPLETION_TXN_ADMISSION_H
#define CHAT_COMPLETION_TXN_ADMISSION_H

#include "completion/end_queue.h"

/* Sets end.admitted of all that are owed: what may enter now, at most room of them. In order; one that is apart enters only by itself,
 * and those behind it wait. Of a partition whose completed set is near a commit's limit the most that fit enter (room or not), by
 * rising offset, so that the order of a lane holds: an end that let the set outgrow the commit would be handed out again after a
 * restart, and answered twice. */
void txn_admit(struct end_queue *ends, size_t room);

#endif
