#include "telemetry/held_back.h"

#include <inttypes.h>
#include <stdatomic.h>

#include "base/clock.h"

static const struct settings *settings;
static struct {
    _Atomic int64_t value, until_ms;
} held[HELD_BACK_REASON_COUNT][PROVIDERS_MAX + 1];

void held_back_set(enum held_back_reason reason, size_t provider, int64_t value)
{
    atomic_store_explicit(&held[reason][provider].value, value, memory_order_relaxed);
}

void held_back_add(enum held_back_reason reason, size_t provider, int64_t by)
{
    atomic_fetch_add_explicit(&held[reason][provider].value, by, memory_order_relaxed);
}

void held_back_until(enum held_back_reason reason, size_t provider, int64_t until_ms)
{
    atomic_store_explicit(&held[reason][provider].until_ms, until_ms, memory_order_relaxed);
}

int64_t held_back_get(enum held_back_reason reason, size_t provider, int64_t now_ms)
{
    int64_t value = atomic_load_explicit(&held[reason][provider].value, memory_order_relaxed);
    if (value == 0 && now_ms < atomic_load_explicit(&held[reason][provider].until_ms, memory_order_relaxed))
        return 1;
    return value;
}

void held_back_name(const struct settings *its)
{
    settings = its;
}

void held_back_print(FILE *out)
{
    static const struct {
        const char *name;
        bool of_provider;
    } reasons[HELD_BACK_REASON_COUNT] = {
#define HELD_BACK_ROW(id, name, of_provider) [HELD_BACK_##id] = {name, of_provider},
        HELD_BACK_REASONS(HELD_BACK_ROW)
#undef HELD_BACK_ROW
    };
    int64_t now_ms = clock_mono_ms();
    fputs("# HELP chat_held_back What this process holds back now, by the reason: 1, or how many. 0: nothing.\n# TYPE chat_held_back gauge\n", out);
    for (int i = 0; i < HELD_BACK_REASON_COUNT; i++) {
        for (size_t j = 0; reasons[i].of_provider && settings != NULL && j < settings->provider_count; j++)
            fprintf(out, "chat_held_back{reason=\"%s\",provider=\"%s\"} %" PRId64 "\n", reasons[i].name, settings->providers[j].name,
                    held_back_get((enum held_back_reason)i, j, now_ms));
        if (!reasons[i].of_provider || i == HELD_BACK_BREAKER)
            fprintf(out, "chat_held_back{reason=\"%s\"} %" PRId64 "\n", reasons[i].name,
                    held_back_get((enum held_back_reason)i, HELD_BACK_NO_PROVIDER, now_ms));
    }
}
