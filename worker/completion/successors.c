#include "completion/successors.h"

#include "completion/completion.h"
#include "dispatch/dispatch_entry.h"
#include "dispatch/dispatcher.h"
#include "dispatch/dispatcher_hand_over.h"
#include "session/held_claims.h"
#include "session/session.h"

void successors_go_on(const struct service *service, struct task *task)
{
    struct task *next;
    if (dispatcher_hand_over_end(service->dispatcher, task, HAND_OVER_ANY_THREAD, &next) == HANDED_TO_END)
        completion_put_unrun(service->completion, &next);
    dispatcher_end(service->dispatcher, task);
}

void successors_give_back(const struct service *service, struct task **tasks, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct task *successor = tasks[i]->entry->successor;
        if (successor != NULL) {
            session_drop_turns(successor);
            held_claims_run_over(successor);
        }
        if (dispatcher_hand_over_end(service->dispatcher, tasks[i], HAND_OVER_BACK, &successor) == HANDED_TO_END)
            completion_cancel(service->completion, successor);
    }
}
