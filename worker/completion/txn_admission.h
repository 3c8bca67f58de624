/* What may enter a transaction next. No thread, no I/O. */
#ifndef CHAT_COMPLETION_TXN_ADMISSION_H
#define CHAT_COMPLETION_TXN_ADMISSION_H

#include "completion/end_queue.h"

/* Sets end.admitted of all owed ends: true for those that may enter now, at most room of them. In order; an end that is apart enters only alone,
 * and those behind it wait. Of a partition whose completed set is near the limit of the commit metadata as many as fit enter (whatever room is), by
 * rising offset, so that the order of a lane holds: an end with which the set no longer fitted into the commit would be read again after a
 * restart, and answered twice. */
void txn_admit(struct end_queue *ends, size_t room);

#endif
