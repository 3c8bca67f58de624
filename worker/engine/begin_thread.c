#include "engine/begin_thread.h"

#include <pthread.h>

#include "completion/completion.h"
#include "dispatch/dispatcher.h"
#include "session/session.h"
#include "telemetry/watchdog.h"

#define BATCH_MAX 128

void *begin_thread_main(void *arg)
{
    const struct service *service = arg;
    struct task *tasks[BATCH_MAX];
    pthread_setname_np(pthread_self(), "chat-begin");
    for (size_t n; (n = dispatcher_take_heads(service->dispatcher, tasks, BATCH_MAX)) > 0;) {
        watchdog_feed(WATCHED_BEGIN);
        session_begin(service, tasks, n);
        dispatcher_ready(service->dispatcher, tasks, n);
        for (size_t i = 0; i < n; i++)
            if (tasks[i] != NULL)
                completion_put_unrun(service->completion, &tasks[i]);
        watchdog_rest(WATCHED_BEGIN);
    }
    return NULL;
}
