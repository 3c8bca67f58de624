#include "service/process.h"

#include <string.h>

#include "base/clock.h"
#include "breakers/breakers.h"
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
#include "kafka/kafka_embedded.h"
#include "llm/http_targets.h"
#include "quota/take_line.h"
#include "service/admin_server.h"
#include "service/probes.h"
#include "service/signals.h"
#include "service/startup.h"
#include "session/held_claims.h"
#include "telemetry/crash_notes.h"
#include "telemetry/held_back.h"
#include "telemetry/metrics.h"
#include "telemetry/steps.h"
#include "wire/embedded_address.h"

bool process_failed(struct process *process, struct error *err)
{
    return intake_failed(process->intake, err) || publisher_failed(process->service.publisher, err);
}

bool process_is_embedded(const struct settings *settings)
{
    return strcmp(settings->kafka.bootstrap_servers, "embedded") == 0;
}

static void name_incarnation(struct incarnation *self, const struct settings *settings)
{
    session_store_token(self->id);
    self->instance = settings->kafka.group_instance_id;
    self->started_ms = clock_wall_ms();
}

enum status process_make(struct process *process, const struct settings *settings, struct error *err)
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
    steps_start((int)settings_jobs_at_once(settings), settings->worker.engine == ENGINE_LOOP ? STEPS_LOOP : STEPS_THREADS);
    if (redis_pool_create(settings->redis.url, (int)settings->redis.pool_size, settings->redis.timeout_ms, &service->redis, err) != STATUS_OK ||
        http_targets_pool(settings, &service->http, err) != STATUS_OK)
        return STATUS_FAILED;
    service->llm = llm_client_create(settings);
    if (process_is_embedded(settings) && kafka_embedded_start(settings, &process->embedded, err) != STATUS_OK)
        return STATUS_FAILED;
    service->slots = provider_slots_create(settings);
    service->times = provider_times_create(settings);
    return STATUS_OK;
}

const char *process_bootstrap(const struct process *process)
{
    return process->embedded ? kafka_embedded_bootstrap(process->embedded) : process->service.settings->kafka.bootstrap_servers;
}

static enum status start_thread(pthread_t *thread, void *(*run)(void *), struct service *service, bool *started, struct error *err)
{
    *started = pthread_create(thread, NULL, run, service) == 0;
    return *started ? STATUS_OK : error_set(err, ERROR_FATAL, "thread_start", "a thread can't be started; check ulimit -u");
}

/* Fails if a signal came during the start: no job was taken yet. */
static enum status unless_end_requested(struct error *err)
{
    return signals_end_requested() ? error_set(err, ERROR_CANCELLED, "stopped", "stopped while it started") : STATUS_OK;
}

enum status process_start(struct process *process, struct error *err)
{
    struct service *service = &process->service;
    const struct settings *settings = service->settings;
    struct admin_probes probes = probes_of(process);
    if (admin_server_start(settings->admin.listen, settings->admin.port_file, settings->admin.token, &probes, &process->admin, err) != STATUS_OK ||
        startup_check(settings, process_bootstrap(process), service->redis, &service->store, signals_end_requested, &service->jobs_partitions, err) != STATUS_OK ||
        publisher_create(service, process_bootstrap(process), signals_end_requested, &service->publisher, err) != STATUS_OK || unless_end_requested(err) != STATUS_OK)
        return STATUS_FAILED;
    service->deltas = delta_publisher_create(settings, process_bootstrap(process));
    service->dispatcher = dispatcher_create(settings->worker.ordering, settings->worker.redis_io, (int)settings_jobs_at_once(settings));
    dispatcher_bound_ends(service->dispatcher, settings->worker.buffered_bytes_max / 2);
    service->claims = held_claims_create(settings->redis.lease_ms);
    service->breakers = breakers_create(settings, service->dispatcher);
    service->completion = completion_create(service);
    if (take_line_is_needed(service) && take_line_start(service, &service->takes, err) != STATUS_OK)
        return STATUS_FAILED;
    if (engine_start(service, NULL, &service->engine, err) != STATUS_OK || completion_start(service->completion, err) != STATUS_OK)
        return STATUS_FAILED;
    if (settings->worker.redis_io == REDIS_IO_BATCHED &&
        start_thread(&process->begin_thread, begin_thread_main, service, &process->begin_started, err) != STATUS_OK)
        return STATUS_FAILED;
    if (start_thread(&process->timekeeper, timekeeper_main, service, &process->timekeeper_started, err) != STATUS_OK)
        return STATUS_FAILED;
    if (renewer_start(service, &process->renewer, err) != STATUS_OK ||
        control_reader_start(service, process_bootstrap(process), &process->control, err) != STATUS_OK || unless_end_requested(err) != STATUS_OK)
        return STATUS_FAILED;
    struct intake *intake;
    if (intake_start(service, process_bootstrap(process), &intake, err) != STATUS_OK)
        return STATUS_FAILED;
    process->intake = intake;
    return STATUS_OK;
}

bool process_take_apart(struct process *process, int status)
{
    struct service *service = &process->service;
    signals_status(status);
    signals_step(END_THREADS);
    embedded_address_withdraw(); /* of an embedded broker that may never be stopped */
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
    take_line_stop(service->takes);
    admin_server_stop(process->admin);
    if (metric_get(METRIC_jobs_alive) > 0)
        return false;
    signals_step(END_CLIENTS);
    bool all = intake_destroy(process->intake);
    delta_publisher_destroy(service->deltas);
    publisher_destroy(service->publisher);
    completion_destroy(service->completion);
    breakers_destroy(service->breakers);
    held_claims_destroy(service->claims);
    dispatcher_destroy(service->dispatcher);
    kafka_embedded_stop(process->embedded);
    signals_step(END_EXIT);
    provider_slots_destroy(service->slots);
    provider_times_destroy(service->times);
    llm_client_destroy(service->llm);
    http_pool_destroy(service->http);
    redis_pool_destroy(service->redis);
    crash_notes_close(service->notes);
    return all;
}
