/* What the two engines implement of engine.h. Private to engine/. */
#ifndef CHAT_ENGINE_ENGINE_KIND_H
#define CHAT_ENGINE_ENGINE_KIND_H

#include "engine/engine.h"

struct engine_kind {
    void (*cancel_all)(struct engine *engine);
    void (*cancel)(struct engine *engine, const struct task *task);
    void (*cancel_flagged)(struct engine *engine);
    int (*busy)(struct engine *engine);
    void (*report)(struct engine *engine);
    void (*join)(struct engine *engine);
};

/* The first member of each engine. */
struct engine {
    const struct engine_kind *kind;
};

enum status engine_threads_start(const struct service *service, engine_thread_create *create, struct engine **ret, struct error *err) MUST_CHECK;
enum status engine_loop_start(const struct service *service, engine_thread_create *create, struct engine **ret, struct error *err) MUST_CHECK;

#endif
