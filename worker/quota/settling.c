#include "quota/settling.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "dispatch/dispatcher.h"
#include "quota/budget.h"
#include "quota/permits.h"
#include "quota/refused_tenants.h"
#include "redis/redis_script.h"
#include "session/redis_call.h"
#include "task/task_part.h"
#include "telemetry/held_back.h"
#include "telemetry/metrics.h"

#define UNSETTLED_MAX 10000 /* kept while Redis is away */

void settling_take(struct task *task, struct reservations *unsettled, bool keep_waiting)
{
    if (task->reservations == NULL)
        return;
    reservations_move(task->reservations, unsettled, keep_waiting);
    if (task->reservations->count > 0)
        return;
    task->rated.waits = false;
    reservations_finish(task->reservations);
    task_part_free(task->reservations);
    task->reservations = NULL;
}

/* ---- settling ---- */

struct settle {
    struct permit_settle_op *permits;
    struct budget_settle_op *budgets;
    size_t permit_count, budget_count;
};

static enum status call_settle(struct redis_conn *conn, const struct service *service, void *arg, struct error *err)
{
    struct settle *settle = arg;
    const char *prefix = service->store.key_prefix;
    if (settle->permit_count > 0 && permits_settle(conn, prefix, settle->permits, settle->permit_count, err) != STATUS_OK)
        return STATUS_FAILED;
    return settle->budget_count > 0 ? budget_settle(conn, prefix, settle->budgets, settle->budget_count, err) : STATUS_OK;
}

static void add_settle(const struct service *service, struct settle *settle, struct permit_limits *limits, const struct reservation *reservation)
{
    static const struct error not_sent = {.class = ERROR_UNAVAILABLE, .code = "not_sent"};
    const struct provider_settings *provider = &service->settings->providers[reservation->provider];
    bool called = reservation->state == RESERVED_CALLED;
    if (reservation->permit_tokens != RESERVED_NONE) {
        *limits = permits_limits_of(provider);
        settle->permits[settle->permit_count++] = (struct permit_settle_op){.provider = provider->name,
                                                                            .limits = limits,
                                                                            .tokens_reserved = reservation->permit_tokens,
                                                                            .tokens_used = reservation->used_tokens,
                                                                            .called = called,
                                                                            .error = not_sent};
    }
    if (reservation->budget_tokens != RESERVED_NONE)
        settle->budgets[settle->budget_count++] = (struct budget_settle_op){.tenant = reservation->tenant,
                                                                            .day = reservation->budget_day,
                                                                            .tokens_reserved = reservation->budget_tokens,
                                                                            .tokens_used = called ? reservation->used_tokens : 0,
                                                                            .error = not_sent};
}

/* Is this half of a reservation to be settled again? Not if Redis may have executed the settle: it would count twice. */
static bool keep_half(const struct error *own, int64_t *tokens, bool *lost)
{
    bool keep = redis_script_refused(own);
    *lost = *lost || (own->class != ERROR_NONE && !keep);
    if (!keep)
        *tokens = RESERVED_NONE;
    return keep;
}

/* Keeps reservations whose settle certainly wasn't executed; returns for how many that is unknown. */
static size_t keep_unsettled(struct reservations *list, const struct settle *settle)
{
    const struct permit_settle_op *permit = settle->permits;
    const struct budget_settle_op *budget = settle->budgets;
    size_t kept = 0, lost_count = 0;
    for (size_t i = 0; i < list->count; i++) {
        struct reservation *reservation = &list->items[i];
        bool keep = false, lost = false;
        if (reservation->permit_tokens != RESERVED_NONE)
            keep = keep_half(&permit++->error, &reservation->permit_tokens, &lost);
        if (reservation->budget_tokens != RESERVED_NONE)
            keep = keep_half(&budget++->error, &reservation->budget_tokens, &lost) || keep;
        lost_count += lost;
        if (keep)
            list->items[kept++] = *reservation;
        else
            free(reservation->tenant);
    }
    list->count = kept;
    return lost_count;
}

/* Lets jobs parked in this process for the provider's rate start as soon as returned permits allow. */
static void draw_line_together(const struct service *service, size_t provider, const struct permit_settle_op *latest)
{
    if (held_back_get(HELD_BACK_RATE, provider, clock_mono_ms()) > 0)
        dispatcher_hasten(service->dispatcher, provider, clock_mono_ms() + permits_line_ms(latest));
}

static void draw_lines_together(const struct service *service, const struct settle *settle)
{
    for (size_t i = 0; i < service->settings->provider_count; i++) {
        const struct permit_settle_op *latest = NULL;
        for (size_t j = 0; j < settle->permit_count; j++)
            if (settle->permits[j].error.class == ERROR_NONE && settle->permits[j].provider == service->settings->providers[i].name)
                latest = &settle->permits[j];
        if (latest != NULL)
            draw_line_together(service, i, latest);
    }
}

void settling_run(const struct service *service, struct reservations *list)
{
    struct error why;
    if (list->count == 0)
        return;
    struct permit_limits *limits = xcalloc(list->count, sizeof *limits);
    struct settle settle = {.permits = xcalloc(list->count, sizeof *settle.permits), .budgets = xcalloc(list->count, sizeof *settle.budgets)};
    for (size_t i = 0; i < list->count; i++)
        add_settle(service, &settle, &limits[i], &list->items[i]);
    (void)!redis_call(service, call_settle, &settle, &why); /* each operation has its own error */
    draw_lines_together(service, &settle);
    size_t lost = keep_unsettled(list, &settle);
    free(limits);
    free(settle.permits);
    free(settle.budgets);
    if (list->count > UNSETTLED_MAX) {
        lost += list->count;
        reservations_finish(list);
    }
    METRIC_ADD(reservations_lost_total, (int64_t)lost);
    if (lost > 0)
        log_warn("reservations_lost", F_INT("count", lost), F_STR("hint", "what was reserved counts as used"));
    if (list->count == 0)
        reservations_finish(list);
}

/* ---- permits that other processes returned ---- */

static enum status call_look(struct redis_conn *conn, const struct service *service, void *arg, struct error *err)
{
    return permits_settle(conn, service->store.key_prefix, arg, 1, err);
}

void settling_look(const struct service *service)
{
    int64_t now_ms = clock_mono_ms();
    for (size_t i = 0; i < service->settings->provider_count; i++) {
        const struct provider_settings *provider = &service->settings->providers[i];
        struct permit_limits limits = permits_limits_of(provider);
        struct permit_settle_op look = {.provider = provider->name, .limits = &limits, .called = true};
        struct error why;
        if (held_back_get(HELD_BACK_RATE, i, now_ms) > 0 && redis_call(service, call_look, &look, &why) == STATUS_OK && look.error.class == ERROR_NONE)
            draw_line_together(service, i, &look);
    }
    refused_tenants_look(now_ms);
}
