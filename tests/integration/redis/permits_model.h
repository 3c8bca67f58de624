/* A model of a provider's permits, in plain C: GCRA with reservations, refunds and charges. */
#ifndef CHAT_TESTS_PERMITS_MODEL_H
#define CHAT_TESTS_PERMITS_MODEL_H

#include "quota/permits.h"

enum { REQUESTS, TOKENS, LIMITS };

struct permits_model {
    int64_t burst_us[LIMITS];   /* 0: no limit */
    int64_t arrival_us[LIMITS]; /* when all reservations will be used up */
};

struct model_answer {
    bool reserved;
    int64_t wait_us;
    enum permit_limit waits_for;
};

static inline int64_t later(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static inline struct model_answer model_take(struct permits_model *model, int64_t now_us, const int64_t cost_us_of[LIMITS],
                                             int64_t max_wait_ms)
{
    struct model_answer answer = {0};
    for (int i = 0; i < LIMITS; i++) {
        int64_t room_us = later(model->burst_us[i], cost_us_of[i]);
        int64_t wait_us = later(model->arrival_us[i], now_us) + cost_us_of[i] - room_us - now_us;
        if (model->burst_us[i] == 0 || wait_us <= answer.wait_us)
            continue;
        answer.wait_us = wait_us;
        answer.waits_for = i == REQUESTS ? PERMIT_REQUESTS : PERMIT_TOKENS;
    }
    answer.reserved = answer.wait_us <= max_wait_ms * 1000;
    for (int i = 0; i < LIMITS && answer.reserved; i++)
        if (model->burst_us[i])
            model->arrival_us[i] = later(model->arrival_us[i], now_us + answer.wait_us) + cost_us_of[i];
    return answer;
}

static inline void model_settle(struct permits_model *model, int64_t now_us, const int64_t added_us[LIMITS])
{
    for (int i = 0; i < LIMITS; i++)
        if (added_us[i])
            model->arrival_us[i] = later(later(model->arrival_us[i], now_us) + added_us[i], now_us);
}

#endif
