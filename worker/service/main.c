/* chat-worker: reads the command line, checks or runs, waits for signals. How its parts are wired together: process.h;
 * `ls worker` is the job's way through them. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

#include "completion/completion.h"
#include "engine/engine.h"
#include "intake/intake.h"
#include "kafka/kafka_conf.h"
#include "service/command_line.h"
#include "service/preflight.h"
#include "service/process.h"
#include "service/redis_check.h"
#include "service/settings_warnings.h"
#include "service/shutdown.h"
#include "service/signals.h"
#include "service/startup.h"
#include "service/trace_file.h"
#include "settings/settings.h"
#include "telemetry/crash_notes.h"
#include "telemetry/held_back.h"
#include "telemetry/metrics.h"
#include "version.h"

extern char **environ;

static int exit_status(const struct error *err)
{
    switch (err->class) {
    case ERROR_NONE:
    case ERROR_CANCELLED: return EX_OK;
    case ERROR_UNAVAILABLE: return EX_UNAVAILABLE;
    case ERROR_RETRIABLE: return EX_TEMPFAIL;
    case ERROR_FATAL: return EX_SOFTWARE;
    case ERROR_PERMANENT: break; /* starting it again doesn't help: the settings have to change */
    }
    return EX_CONFIG;
}

static int complain(const struct error *err)
{
    fprintf(stderr, "chat-worker: %s\n", err->message);
    return exit_status(err);
}

static void warn(const char *message, void *arg)
{
    (void)arg;
    log_warn("settings_warning", F_STR("text", message));
}

/* Until a signal asks for the end (true) or the intake fails (false, *err). */
static bool serve(struct process *process, struct error *err)
{
    while (!signals_end_requested()) {
        switch (signals_next(500)) {
        case SIGTSTP:
            intake_hold(process->intake, true);
            held_back_set(HELD_BACK_HELD, HELD_BACK_NO_PROVIDER, 1);
            log_info("intake_held", F_STR("hint", "SIGCONT takes new jobs again"));
            break;
        case SIGCONT:
            intake_hold(process->intake, false);
            held_back_set(HELD_BACK_HELD, HELD_BACK_NO_PROVIDER, 0);
            log_info("intake_resumed");
            break;
        case SIGUSR1:
            engine_report(process->service.engine);
            break;
        default:
            break;
        }
        if (process_failed(process, err))
            return false;
    }
    return true;
}

static int run(const struct settings *settings, const char *trace_name)
{
    static struct process process; /* zero; its address is shared with every thread */
    struct trace_file *trace = NULL;
    struct error err = {0};
    signals_bound(settings->worker.drain_timeout_ms, settings->worker.close_timeout_ms);
    log_configure(settings->log.level, settings->log.format);
    settings_warnings(settings, warn, NULL);
    if (preflight_check(settings, &err) != STATUS_OK || crash_notes_open(settings->worker.crash_file, &process.service.notes, &err) != STATUS_OK ||
        process_make(&process, settings, &err) != STATUS_OK || trace_file_open(trace_name, &trace, &err) != STATUS_OK ||
        process_start(&process, &err) != STATUS_OK) {
        int status = complain(&err);
        trace_file_close(trace);
        if (!process_take_apart(&process, status))
            _exit(status);
        return status;
    }
    log_info("worker_started", F_STR("version", CHAT_VERSION), F_STR("bootstrap", process_bootstrap(&process)),
             F_STR("redis", redis_pool_address(process.service.redis)), F_STR("engine", settings->worker.engine == ENGINE_LOOP ? "loop" : "threads"),
             F_INT(settings->worker.engine == ENGINE_LOOP ? "in_flight" : "threads", settings_jobs_at_once(settings)),
             F_STR("incarnation", process.service.store.self.id));
    signals_step(END_SERVE);
    int status = serve(&process, &err) ? EX_OK : exit_status(&err);
    process.draining = true;
    (void)shutdown_drain(&process.service, process.intake, &process.control);
    if (status != EX_OK)
        (void)complain(&err);
    trace_file_close(trace);
    if (completion_is_left(process.service.completion)) /* a thread in a call that doesn't return uses the process's parts */
        _exit(status != EX_OK ? status : EX_TEMPFAIL);
    bool all = process_take_apart(&process, status);
    log_info("worker_stopped", F_INT("left", metric_get(METRIC_jobs_alive)));
    if (!all)
        _exit(status);
    return status;
}

static int check(const struct settings *settings, bool connect)
{
    struct error err = {0};
    struct redis_pool *redis = NULL;
    signals_bound(0, settings->worker.close_timeout_ms);
    log_configure(settings->log.level, settings->log.format);
    if (preflight_check(settings, &err) != STATUS_OK || redis_pool_create(settings->redis.url, 1, settings->redis.timeout_ms, &redis, &err) != STATUS_OK)
        return complain(&err);
    enum status status = STATUS_OK;
    if (connect && process_is_embedded(settings)) {
        status = redis_check(redis, settings->redis.key_prefix, &err);
    } else if (connect) {
        status = startup_check(settings, settings->kafka.bootstrap_servers, redis, NULL, signals_end_requested, NULL, &err);
    }
    redis_pool_destroy(redis);
    if (status != STATUS_OK)
        return complain(&err);
    puts(connect ? "settings are valid; Kafka and Redis answer" : "settings are valid");
    return EX_OK;
}

/* What is printed may go into a file, and the disk may be full. */
static int printed(int status)
{
    if ((fflush(stdout) == 0 && !ferror(stdout)) || status != EX_OK)
        return status;
    fputs("chat-worker: standard output can't be written\n", stderr);
    return EX_IOERR;
}

int main(int argc, char **argv)
{
    struct arguments arguments;
    struct settings *settings = NULL;
    struct error err = {0};
    command_line_read(argc, argv, &arguments);
    if (arguments.action == PRINT_PAGE) {
        arguments.page(stdout);
        return printed(EX_OK);
    }
    startup_tune_malloc();
    if (signals_start(&err) != STATUS_OK)
        return complain(&err);
    struct settings_sources sources = {.file = arguments.file, .environment = environ, .overrides = arguments.overrides, .kafka_names = &kafka_conf_names};
    if (settings_load(&sources, &settings, &err) != STATUS_OK) {
        fprintf(stderr, "chat-worker: %s\n", err.message);
        return EX_CONFIG;
    }
    int status = EX_OK;
    if (arguments.action == PRINT_CONFIG)
        settings_print(settings, stdout);
    else if (arguments.action == CHECK_CONFIG)
        status = check(settings, arguments.connect);
    else
        status = run(settings, arguments.trace_file);
    settings_destroy(settings);
    return arguments.action == RUN ? status : printed(status);
}
