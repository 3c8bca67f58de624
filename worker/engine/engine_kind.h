/* What the two engines implement of engine.h. Private to engine/. */
#ifndef CHAT_ENGINE_ENGINE_KIND_H
#define CHAT_ENGINE_ENGINE_KIND_H

#include "engine/engine.h"

#define ENGINE_THREAD_NAME_BYTES 16 /* the kernel's, and STEPS_NAME_BYTES */

struct engine_kind {
    void (*cancel_all)(struct engine *engine);
    void (*cancel)(struct engine *engine, const struct task *task);
    void (*cancel_flagged)(struct engine *engine);
    int (*busy)(struct engine *engine);
    void (*thread_of)(struct engine *engine, int lane, char ret[ENGINE_THREAD_NAME_BYTES]); /* what runs the lane's job */
    void (*join)(struct engine *engine);
};

/* The first member of each engine. */
struct engine {
    const struct engine_kind *kind;
    int threads;
};

enum status engine_threads_start(const struct service *service, engine_thread_create *create, struct engine **ret, struct error *err) MUST_CHECK;
enum status engine_loop_start(const struct service *service, engine_thread_create *create, struct engine **ret, struct error *err) MUST_CHECK;

#endif
