/* pthread mutexes and conditions with clang's thread-safety annotations. In C the attributes work on
 * functions, not on struct members: a field's guard is named in its comment, and a static function that
 * needs the lock ends in _locked and carries REQUIRES. Conditions wait on CLOCK_MONOTONIC. */
#ifndef CHAT_BASE_MUTEX_H
#define CHAT_BASE_MUTEX_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#if defined(__clang__)
#define TSA(x) __attribute__((x))
#else
#define TSA(x)
#endif
#define REQUIRES(...) TSA(requires_capability(__VA_ARGS__))

struct TSA(capability("mutex")) mutex {
    pthread_mutex_t raw;
};

void mutex_init(struct mutex *m);
void mutex_destroy(struct mutex *m);
void mutex_lock(struct mutex *m) TSA(acquire_capability(*m));
void mutex_unlock(struct mutex *m) TSA(release_capability(*m));

struct cond {
    pthread_cond_t raw;
};

void cond_init(struct cond *c);
void cond_destroy(struct cond *c);
void cond_signal(struct cond *c);
void cond_broadcast(struct cond *c);
void cond_wait(struct cond *c, struct mutex *m) REQUIRES(*m);
/* False when until_ms (clock_mono_ms) was reached first. Spurious wake-ups happen: loop on the condition. */
bool cond_wait_until(struct cond *c, struct mutex *m, int64_t until_ms) REQUIRES(*m);

#endif
