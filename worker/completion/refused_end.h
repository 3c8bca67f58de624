/* What becomes of an end of which Kafka refused a record: the one rule of both publishers. The end's records may still be under way;
 * what is decided here is for when they aren't (end_queue_again).
 *
 *   not now                           later, as it is
 *   in company, for a batch's sake    by itself: only who is refused alone gets another form
 *   a reply, its own partition        by its key, on the same topic
 *   a reply, its own topic refused    to replies_topic
 *   a reply, replies_topic refused    later, as it is: another would meet the same topic
 *   any other reply                   a small error reply without session and metadata, and a dead letter; in Redis the job stays ok, since it was paid
 *   a dead letter, too large          without its value
 *   all else                          later: there is no other form; the dead topic's breaker hears of dead letters */
#ifndef CHAT_COMPLETION_REFUSED_END_H
#define CHAT_COMPLETION_REFUSED_END_H

#include "completion/publish_refusal.h"
#include "task/service.h"
#include "task/task.h"

enum refused_next {
    REFUSED_AGAIN, /* at once, in the form that it has now */
    REFUSED_APART, /* the same, by itself */
    REFUSED_LATER
};

/* in_company: others were under way with it. Changes the task's form, counts and logs. The end's state is the caller's to move. */
enum refused_next refused_end(const struct service *service, struct task *task, bool is_dead_letter, bool in_company, const struct refusal *why);

#endif
