/* chat-worker: reads the command line, wires the parts together, waits for signals, takes them apart again.
 * What each part does stands in its header; `ls worker` is the job's way through them. */
#include <argp.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <stdio.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "breakers/weather.h"
#include "completion/completion.h"
#include "completion/delta_publisher.h"
#include "completion/publisher.h"
#include "dispatch/dispatcher.h"
#include "engine/begin_thread.h"
#include "engine/engine.h"
#include "engine/renewer.h"
#include "engine/timekeeper.h"
#include "intake/control_reader.h"
#include "intake/intake.h"
#include "kafka/kafka_conf.h"
#include "kafka/kafka_embedded.h"
#include "kafka/kafka_probe.h"
#include "llm/http_targets.h"
#include "service/admin_server.h"
#include "service/preflight.h"
#include "service/redis_check.h"
#include "service/shutdown.h"
#include "service/signals.h"
#include "service/startup.h"
#include "session/held_claims.h"
#include "settings/settings.h"
#include "telemetry/crash_notes.h"
#include "telemetry/held_back.h"
#include "telemetry/metrics.h"
#include "telemetry/watchdog.h"
#include "version.h"
#include "wire/embedded_address.h"

#define MAX_POLL_INTERVAL_MS 300000 /* librdkafka's default */

extern char **environ;

/* ---- command line ---- */

enum action { RUN, PRINT_CONFIG, CHECK_CONFIG, PRINT_MARKDOWN, PRINT_EXAMPLE };
enum { KEY_PRINT = 256, KEY_CHECK, KEY_CONNECT, KEY_MARKDOWN, KEY_EXAMPLE };

struct arguments {
    enum action action;
    bool connect;
    const char *file;
    const char *overrides[256];
    size_t override_count;
};

const char *argp_program_version = "chat-worker " CHAT_VERSION;

static const struct argp_option options[] = {
    {"config", 'c', "FILE", 0, "read settings from FILE (INI)", 0},
    {"set", 'X', "SECTION.KEY=VALUE", 0, "set one setting; wins over the file and the environment", 0},
    {"check-config", KEY_CHECK, NULL, 0, "check the settings and exit (0, or 78 and why)", 0},
    {"connect", KEY_CONNECT, NULL, 0, "with --check-config: try Kafka and Redis too", 0},
    {"print-config", KEY_PRINT, NULL, 0, "print the settings in force, secrets masked, and exit", 0},
    {"print-example", KEY_EXAMPLE, NULL, 0, "print an example settings file and exit", 0},
    {"print-markdown", KEY_MARKDOWN, NULL, OPTION_HIDDEN, "print docs/configuration.md", 0},
    {0}};

static error_t parse_option(int key, char *value, struct argp_state *state)
{
    struct arguments *arguments = state->input;
    switch (key) {
    case 'c':
        arguments->file = value;
        return 0;
    case 'X':
        if (arguments->override_count + 1 >= sizeof arguments->overrides / sizeof *arguments->overrides)
            argp_error(state, "too many -X");
        arguments->overrides[arguments->override_count++] = value;
        return 0;
    case KEY_PRINT:
        arguments->action = PRINT_CONFIG;
        return 0;
    case KEY_CHECK:
        arguments->action = CHECK_CONFIG;
        return 0;
    case KEY_CONNECT:
        arguments->connect = true;
        return 0;
    case KEY_MARKDOWN:
        arguments->action = PRINT_MARKDOWN;
        return 0;
    case KEY_EXAMPLE:
        arguments->action = PRINT_EXAMPLE;
        return 0;
    case ARGP_KEY_ARG:
        argp_error(state, "unexpected argument: %s", value);
        return EINVAL;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* The settings are part of --help: made from their table. */
static char *help_filter(int key, const char *text, void *input)
{
    (void)input;
    if (key != ARGP_KEY_HELP_POST_DOC)
        return (char *)(uintptr_t)text;
    char *made = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&made, &size);
    fprintf(out, "Settings (file, then CHATW__SECTION__KEY in the environment, then -X; the last wins):\n\n");
    settings_print_help(out);
    fprintf(out, "\nSignals: TERM or INT drains (a second one ends within a second), TSTP takes no new jobs, CONT takes them again, "
                 "USR1 logs what each thread does.\nExit status: 0 after a drain; 64 usage, 69 a service can't be reached, "
                 "70 internal error, 74 what it was to print can't be written, 75 ended at once by a second signal, or by itself because something it waited for didn't come in worker.close_timeout_ms, or its "
                 "Kafka producer was fenced, too slow or failed for good (nothing is lost: start it again), 78 settings "
                 "(also a group.instance.id that another process came with).\n");
    fclose(out);
    return made;
}

static const struct argp argp = {options, parse_option, NULL,
                                 "Answers chat jobs from Kafka with plain threads: Redis for claims and history, an LLM for the answer."
                                 "\v ",
                                 NULL, help_filter, NULL};

/* ---- the worker ---- */

struct process {
    struct service service;
    struct kafka_embedded *embedded;
    struct intake *_Atomic intake; /* NULL until it has started; the admin thread asks */
    struct control_reader *control;
    struct admin_server *admin;
    struct renewer *renewer;
    pthread_t begin_thread, timekeeper;
    bool begin_started, timekeeper_started;
    _Atomic bool draining;
    struct watchdog watchdog; /* admin thread only, as the next */
    enum watched stuck;
};

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

/* What the process can't go on after; the drain that follows lets running calls reach Redis. */
static bool has_failed(struct process *process, struct error *err)
{
    return intake_failed(process->intake, err) || publisher_failed(process->service.publisher, err);
}

/* The probe alone would do so, too, where there is one; jobs of its partitions wait meanwhile. */
static void give_up_transactions(struct process *process)
{
    struct error err;
    error_set(&err, ERROR_RETRIABLE, "transactions_stuck", "a call of the Kafka client hasn't ended for %lld s, though the brokers answer",
              (long long)process->watchdog.silent_ms[WATCHED_TRANSACTIONS] / 1000);
    publisher_give_up(process->service.publisher, &err);
}

/* Admin thread, as the next two. */
static void look(void *arg)
{
    struct process *process = arg;
    int64_t broker_answers_ms = process->intake != NULL ? intake_broker_answers_ms(process->intake) : 0;
    enum watched before = process->stuck;
    watchdog_look(&process->watchdog, clock_mono_ms());
    process->stuck = watchdog_stuck(&process->watchdog, process->service.settings, broker_answers_ms);
    if (process->stuck != before && process->stuck != WATCHED_COUNT)
        log_error("thread_stuck", F_STR("thread", watchdog_name(process->stuck)), F_INT("silent_ms", process->watchdog.silent_ms[process->stuck]));
    if (process->stuck == WATCHED_TRANSACTIONS && process->stuck != before)
        give_up_transactions(process);
}

/* Whose fault it isn't stays ready: a rebalance, or a broker that is away, would take the whole fleet out at once. */
static bool is_ready(void *arg)
{
    struct error err;
    struct process *process = arg;
    if (process->intake == NULL || process->draining || has_failed(process, &err))
        return false;
    /* The client leaves the group by itself when it isn't polled for so long. */
    const char *given = settings_kafka_property(process->service.settings, "max.poll.interval.ms");
    int64_t polled_within_ms = given != NULL ? strtoll(given, NULL, 10) : MAX_POLL_INTERVAL_MS;
    return intake_in_group(process->intake) && process->watchdog.silent_ms[WATCHED_INTAKE] < polled_within_ms;
}

static bool is_healthy(void *arg, char *why, size_t size)
{
    struct error err;
    struct process *process = arg;
    if (process->intake == NULL)
        return true;
    if (has_failed(process, &err)) {
        snprintf(why, size, "%s", err.message);
        return false;
    }
    if (process->draining)
        return true;
    if (process->stuck != WATCHED_COUNT) {
        snprintf(why, size, "stuck: the thread %s has said nothing for %lld s", watchdog_name(process->stuck),
                 (long long)process->watchdog.silent_ms[process->stuck] / 1000);
        return false;
    }
    return !intake_stuck(process->intake, why, size);
}

static void warn(const char *message, void *arg)
{
    (void)arg;
    log_warn("settings_warning", F_STR("text", message));
}

static void name_incarnation(struct incarnation *self, const struct settings *settings)
{
    session_store_token(self->id);
    self->instance = settings->kafka.group_instance_id;
    self->started_ms = clock_wall_ms();
}

static bool is_embedded(const struct settings *settings)
{
    return strcmp(settings->kafka.bootstrap_servers, "embedded") == 0;
}

static enum status make_parts(struct process *process, const struct settings *settings, struct error *err)
{
    struct service *service = &process->service;
    service->settings = settings;
    process->stuck = WATCHED_COUNT;
    service->store = (struct session_store_conf){.key_prefix = settings->redis.key_prefix,
                                                 .lease_ms = settings->redis.lease_ms,
                                                 .alive_ms = timekeeper_alive_ms(settings),
                                                 .reply_ttl_s = settings->redis.reply_ttl_s,
                                                 .session_ttl_s = settings->redis.session_ttl_s,
                                                 .history_turns_max = settings->redis.history_turns_max,
                                                 .applied_max = settings->redis.history_turns_max > APPLIED_MIN ? settings->redis.history_turns_max : APPLIED_MIN,
                                                 .history_bytes_max = settings->llm.history_bytes_max};
    name_incarnation(&service->store.self, settings);
    held_back_name(settings);
    if (redis_pool_create(settings->redis.url, (int)settings->redis.pool_size, settings->redis.timeout_ms, &service->redis, err) != STATUS_OK ||
        http_targets_pool(settings, &service->http, err) != STATUS_OK)
        return STATUS_FAILED;
    service->llm = llm_client_create(settings, service->http);
    if (is_embedded(settings) && kafka_embedded_start(settings, &process->embedded, err) != STATUS_OK)
        return STATUS_FAILED;
    service->health = provider_health_create(settings);
    return STATUS_OK;
}

static const char *bootstrap_of(const struct process *process)
{
    return process->embedded ? kafka_embedded_bootstrap(process->embedded) : process->service.settings->kafka.bootstrap_servers;
}

static enum status start_thread(pthread_t *thread, void *(*run)(void *), struct service *service, bool *started, struct error *err)
{
    *started = pthread_create(thread, NULL, run, service) == 0;
    return *started ? STATUS_OK : error_set(err, ERROR_FATAL, "thread_start", "a thread can't be started; check ulimit -u");
}

/* A start that is told to end goes no further: nothing was taken yet. */
static enum status unless_told(struct error *err)
{
    return signals_told_to_end() ? error_set(err, ERROR_CANCELLED, "stopped", "stopped while it started") : STATUS_OK;
}

static enum status start(struct process *process, struct error *err)
{
    struct service *service = &process->service;
    const struct settings *settings = service->settings;
    struct admin_probes probes = {.ready = is_ready, .healthy = is_healthy, .look = look, .arg = process};
    if (admin_server_start(settings->admin.listen, settings->admin.port_file, &probes, &process->admin, err) != STATUS_OK ||
        startup_check(settings, bootstrap_of(process), service->redis, &service->store, signals_told_to_end, &service->jobs_partitions, err) != STATUS_OK ||
        publisher_create(service, bootstrap_of(process), signals_told_to_end, &service->publisher, err) != STATUS_OK || unless_told(err) != STATUS_OK)
        return STATUS_FAILED;
    service->deltas = delta_publisher_create(settings, bootstrap_of(process));
    service->dispatcher = dispatcher_create(settings->worker.ordering, settings->worker.redis_io, (int)settings->worker.threads);
    dispatcher_bound_ends(service->dispatcher, settings->worker.buffered_bytes_max / 2);
    service->claims = held_claims_create(settings->redis.lease_ms);
    service->weather = weather_create(settings, service->dispatcher);
    service->completion = completion_create(service);
    if (engine_start(service, NULL, &service->engine, err) != STATUS_OK || completion_start(service->completion, err) != STATUS_OK)
        return STATUS_FAILED;
    if (settings->worker.redis_io == REDIS_IO_BATCHED &&
        start_thread(&process->begin_thread, begin_thread_main, service, &process->begin_started, err) != STATUS_OK)
        return STATUS_FAILED;
    if (start_thread(&process->timekeeper, timekeeper_main, service, &process->timekeeper_started, err) != STATUS_OK)
        return STATUS_FAILED;
    if (renewer_start(service, &process->renewer, err) != STATUS_OK ||
        control_reader_start(service, bootstrap_of(process), &process->control, err) != STATUS_OK || unless_told(err) != STATUS_OK)
        return STATUS_FAILED;
    struct intake *intake;
    if (intake_start(service, bootstrap_of(process), &intake, err) != STATUS_OK)
        return STATUS_FAILED;
    process->intake = intake;
    return STATUS_OK;
}

/* Undoes make_parts and start, as far as they came. What there is to tell is told: status, should it not come to its end. False: jobs whose
 * ends nobody took, or a client that doesn't close, are left to the process's end, which must come at once: exit handlers would take
 * from under running threads what they use. */
static bool take_apart(struct process *process, int status)
{
    struct service *service = &process->service;
    signals_status(status);
    signals_step(END_THREADS);
    embedded_address_withdraw(); /* of one that may not be stopped */
    control_reader_stop(process->control);
    if (service->completion != NULL && !completion_stop(service->completion, clock_mono_ms()))
        return false;
    if (service->dispatcher != NULL)
        dispatcher_stop(service->dispatcher);
    if (process->begin_started)
        pthread_join(process->begin_thread, NULL);
    if (process->timekeeper_started)
        pthread_join(process->timekeeper, NULL);
    renewer_stop(process->renewer);
    engine_join(service->engine);
    admin_server_stop(process->admin);
    if (metric_get(METRIC_jobs_alive) > 0)
        return false;
    signals_step(END_CLIENTS);
    bool all = intake_destroy(process->intake);
    delta_publisher_destroy(service->deltas);
    publisher_destroy(service->publisher);
    completion_destroy(service->completion);
    weather_destroy(service->weather);
    held_claims_destroy(service->claims);
    dispatcher_destroy(service->dispatcher);
    kafka_embedded_stop(process->embedded);
    signals_step(END_EXIT);
    provider_health_destroy(service->health);
    llm_client_destroy(service->llm);
    http_pool_destroy(service->http);
    redis_pool_destroy(service->redis);
    crash_notes_close(service->notes);
    return all;
}

/* Until told to end (true) or the intake fails (false, *err). */
static bool serve(struct process *process, struct error *err)
{
    while (!signals_told_to_end()) {
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
        if (has_failed(process, err))
            return false;
    }
    return true;
}

static int run(const struct settings *settings)
{
    static struct process process; /* zero; its address is shared with every thread */
    struct error err = {0};
    signals_bound(settings->worker.drain_timeout_ms, settings->worker.close_timeout_ms);
    log_configure(settings->log.level, settings->log.format);
    settings_warnings(settings, warn, NULL);
    if (preflight_check(settings, &err) != STATUS_OK || crash_notes_open(settings->worker.crash_file, &process.service.notes, &err) != STATUS_OK ||
        make_parts(&process, settings, &err) != STATUS_OK || start(&process, &err) != STATUS_OK) {
        int status = complain(&err);
        if (!take_apart(&process, status))
            _exit(status);
        return status;
    }
    log_info("worker_started", F_STR("version", CHAT_VERSION), F_STR("bootstrap", bootstrap_of(&process)),
             F_STR("redis", redis_pool_address(process.service.redis)), F_INT("threads", settings->worker.threads),
             F_STR("incarnation", process.service.store.self.id));
    signals_step(END_SERVE);
    int status = serve(&process, &err) ? EX_OK : exit_status(&err);
    process.draining = true;
    (void)shutdown_drain(&process.service, process.intake, &process.control);
    if (status != EX_OK)
        (void)complain(&err);
    if (completion_is_left(process.service.completion)) /* a thread in a call that doesn't end uses all of it */
        _exit(status != EX_OK ? status : EX_TEMPFAIL);
    bool all = take_apart(&process, status);
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
    if (preflight_check(settings, &err) != STATUS_OK || redis_pool_create(settings->redis.url, 1, settings->redis.timeout_ms, &redis, &err) != STATUS_OK)
        return complain(&err);
    enum status status = STATUS_OK;
    if (connect && is_embedded(settings)) {
        status = redis_check(redis, settings->redis.key_prefix, &err);
    } else if (connect) {
        status = startup_check(settings, settings->kafka.bootstrap_servers, redis, NULL, signals_told_to_end, NULL, &err);
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
    struct arguments arguments = {0};
    struct settings *settings = NULL;
    struct error err = {0};
    argp_err_exit_status = EX_USAGE;
    argp_parse(&argp, argc, argv, 0, NULL, &arguments);
    if (arguments.action == PRINT_MARKDOWN || arguments.action == PRINT_EXAMPLE) {
        (arguments.action == PRINT_MARKDOWN ? settings_print_markdown : settings_print_example)(stdout);
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
        status = run(settings);
    settings_destroy(settings);
    return arguments.action == RUN ? status : printed(status);
}
