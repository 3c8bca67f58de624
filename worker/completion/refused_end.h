/* What is done with an end if Kafka refused one of its records: the rule of both publishers. The end's other records may still be under way;
 * the decision is carried out once they aren't (end_queue_again).
 *
 *   not now                           later, as it is
 *   with others, a fault of a batch   alone: only a record that is refused alone gets another form
 *   a reply, its own partition        by its key, on the same topic
 *   a reply, its own topic refused    to replies_topic
 *   a reply, replies_topic refused    later, as it is: another reply would be refused as well
 *   any other reply                   a small error reply without session and metadata, and a dead letter; in Redis the job stays ok, since it was paid
 *   a dead letter, too large          without its value
 *   all else                          later: there is no other form; a dead letter's failure is reported to the dead topic's breaker */
#ifndef CHAT_COMPLETION_REFUSED_END_H
#define CHAT_COMPLETION_REFUSED_END_H

#include "completion/publish_refusal.h"
#include "task/service.h"
#include "task/task.h"

enum refused_next {
    REFUSED_AGAIN, /* at once, in the form that it has now */
    REFUSED_APART, /* alone, in the form that it has now */
    REFUSED_LATER
};

/* in_company: other records were under way with it. Changes the task's form, counts and logs. The caller changes the end's state. */
enum refused_next refused_end(const struct service *service, struct task *task, bool is_dead_letter, bool in_company, const struct refusal *why);

#endif
