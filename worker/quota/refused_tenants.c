#include "quota/refused_tenants.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <xxhash.h>

#include "base/mutex.h"
#include "telemetry/held_back.h"

static struct mutex lock = {PTHREAD_MUTEX_INITIALIZER}; /* guards the two variables below */
static struct {
    uint64_t who;
    int64_t day_ends_ms;
} refused[REFUSED_TENANTS_MAX];
static size_t count;
static atomic_bool any; /* false: no tenant was refused, so no lock is needed */

static void tell_locked(void)
{
    atomic_store(&any, count > 0);
    held_back_set(HELD_BACK_BUDGET, HELD_BACK_NO_PROVIDER, (int64_t)count);
}

static size_t find_locked(uint64_t who)
{
    size_t at = 0;
    while (at < count && refused[at].who != who)
        at++;
    return at;
}

void refused_tenants_add(const char *tenant, int64_t day_ends_ms)
{
    uint64_t who = XXH3_64bits(tenant, strlen(tenant));
    mutex_lock(&lock);
    size_t at = find_locked(who);
    if (at < REFUSED_TENANTS_MAX) {
        refused[at].who = who;
        refused[at].day_ends_ms = day_ends_ms;
        count += at == count;
        tell_locked();
    }
    mutex_unlock(&lock);
}

void refused_tenants_remove(const char *tenant)
{
    if (!atomic_load_explicit(&any, memory_order_relaxed))
        return;
    mutex_lock(&lock);
    size_t at = find_locked(XXH3_64bits(tenant, strlen(tenant)));
    if (at < count) {
        refused[at] = refused[--count];
        tell_locked();
    }
    mutex_unlock(&lock);
}

void refused_tenants_look(int64_t now_ms)
{
    if (!atomic_load_explicit(&any, memory_order_relaxed))
        return;
    mutex_lock(&lock);
    for (size_t i = count; i-- > 0;)
        if (now_ms >= refused[i].day_ends_ms)
            refused[i] = refused[--count];
    tell_locked();
    mutex_unlock(&lock);
}
