#include "service/signals.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mutex.h"
#include "telemetry/metrics.h"

#define LAST_LINE_S 1        /* how long the last line of log may take */
#define EARLY_CLOSE_MS 1000  /* while the settings are read */
#define WAIT_MS_MAX 86400000 /* of one wait; then anew */

static const int ours[] = {SIGTERM, SIGINT, SIGTSTP, SIGCONT, SIGUSR1};

static pthread_t thread;
static atomic_bool started, end_requested;
static _Atomic sig_atomic_t status = EX_TEMPFAIL;

/* Held for a few instructions at a time, by this file alone. */
static struct mutex lock = {.raw = PTHREAD_MUTEX_INITIALIZER};
static struct cond for_main; /* of signals_start */
static struct end_watch watch = {.close_ms = EARLY_CLOSE_MS, .step = END_START, .end_by_ms = INT64_MAX};
static bool pending_stop, pending_continue, pending_report; /* for the main thread */

/* ---- the last line ---- */

static void end_without_it(int number)
{
    (void)number;
    _exit(status);
}

/* Standard error may be a pipe that isn't read. */
static void bound_the_last_line(void)
{
    struct sigaction action = {.sa_handler = end_without_it};
    sigset_t alarms;
    sigemptyset(&action.sa_mask);
    sigaction(SIGALRM, &action, NULL);
    sigemptyset(&alarms);
    sigaddset(&alarms, SIGALRM);
    pthread_sigmask(SIG_UNBLOCK, &alarms, NULL);
    alarm(LAST_LINE_S);
}

static _Noreturn void end(enum end_verdict verdict, enum end_step step)
{
    if (verdict == END_AT_ONCE)
        status = EX_TEMPFAIL;
    bound_the_last_line();
    if (verdict == END_AT_ONCE)
        log_warn("ended_at_once", F_STR("step", end_step_name(step)), F_INT("alive", metric_get(METRIC_jobs_alive)),
                 F_STR("hint", "nothing is lost: what wasn't committed is redelivered, and what was stored is answered from the store"));
    else
        log_error("end_overdue", F_STR("step", end_step_name(step)), F_STR("waits_for", end_step_waits_for(step)),
                  F_INT("alive", metric_get(METRIC_jobs_alive)), F_INT("status", status),
                  F_STR("hint", "it ends as it is, after worker.close_timeout_ms; nothing is lost: what wasn't committed is redelivered, and what was stored is answered from the store"));
    _exit(status);
}

/* ---- the thread ---- */

static void take(int number)
{
    mutex_lock(&lock);
    switch (number) {
    case SIGTERM:
    case SIGINT:
        end_watch_signalled(&watch, clock_mono_ms());
        atomic_store(&end_requested, true);
        break;
    case SIGTSTP:
        pending_stop = true;
        pending_continue = false;
        break;
    case SIGCONT:
        pending_continue = true;
        pending_stop = false;
        break;
    case SIGUSR1:
        pending_report = true;
        break;
    default: /* end_by_ms has changed, or the wait is over */
        break;
    }
    cond_signal(&for_main);
    mutex_unlock(&lock);
}

static void look(void)
{
    mutex_lock(&lock);
    enum end_verdict verdict = end_watch_verdict(&watch, clock_mono_ms());
    enum end_step step = watch.step;
    mutex_unlock(&lock);
    if (verdict != END_NOT_YET)
        end(verdict, step);
}

static struct timespec wait_time(void)
{
    mutex_lock(&lock);
    int64_t left = watch.end_by_ms == INT64_MAX ? WAIT_MS_MAX : watch.end_by_ms - clock_mono_ms();
    mutex_unlock(&lock);
    left = left < 0 ? 0 : left > WAIT_MS_MAX ? WAIT_MS_MAX : left;
    return (struct timespec){.tv_sec = (time_t)(left / 1000), .tv_nsec = (long)(left % 1000) * 1000000L};
}

static void *signals_main(void *arg)
{
    sigset_t waited_for = *(const sigset_t *)arg;
    pthread_setname_np(pthread_self(), "chat-signals");
    for (;;) {
        struct timespec wait = wait_time();
        take(sigtimedwait(&waited_for, NULL, &wait));
        look();
    }
    return NULL;
}

enum status signals_start(struct error *err)
{
    static sigset_t waited_for;
    pthread_attr_t attributes;
    sigset_t blocked;
    sigemptyset(&waited_for);
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
        sigaddset(&waited_for, ours[i]);
    sigaddset(&waited_for, SIGRTMIN);
    blocked = waited_for;
    sigaddset(&blocked, SIGALRM);
    pthread_sigmask(SIG_BLOCK, &blocked, NULL);
    signal(SIGPIPE, SIG_IGN);
    cond_init(&for_main);
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    bool runs = pthread_create(&thread, &attributes, signals_main, &waited_for) == 0;
    pthread_attr_destroy(&attributes);
    atomic_store(&started, runs);
    return runs ? STATUS_OK : error_set(err, ERROR_FATAL, "thread_start", "the thread of signals can't be started; check ulimit -u");
}

/* ---- the main thread ---- */

/* chat-signals has to compute anew how long it waits. */
static void wake(void)
{
    if (atomic_load(&started))
        pthread_kill(thread, SIGRTMIN);
}

void signals_bound(int64_t drain_ms, int64_t close_ms)
{
    mutex_lock(&lock);
    watch.drain_ms = drain_ms;
    watch.close_ms = close_ms;
    mutex_unlock(&lock);
}

static int next_locked(void)
{
    bool *const bits[] = {&pending_stop, &pending_continue, &pending_report};
    static const int numbers[] = {SIGTSTP, SIGCONT, SIGUSR1};
    for (size_t i = 0; i < sizeof bits / sizeof *bits; i++)
        if (*bits[i]) {
            *bits[i] = false;
            return numbers[i];
        }
    return 0;
}

int signals_next(int64_t wait_ms)
{
    int64_t until = clock_mono_ms() + wait_ms;
    int number;
    mutex_lock(&lock);
    while ((number = next_locked()) == 0 && !atomic_load(&end_requested) && cond_wait_until(&for_main, &lock, until))
        ;
    mutex_unlock(&lock);
    return number;
}

bool signals_end_requested(void)
{
    return atomic_load(&end_requested);
}

void signals_step(enum end_step step)
{
    mutex_lock(&lock);
    end_watch_step(&watch, step, clock_mono_ms());
    mutex_unlock(&lock);
    wake();
    if (step >= END_DRAIN)
        log_debug("closing", F_STR("step", end_step_name(step)));
}

void signals_status(int new_status)
{
    status = new_status;
}
