/* GCRA with reservations, to the microsecond: sequences of permits by the scripts alone, with a fixed clock. What the
 * calls guarantee: test_permits.c; random ones against a model: test_permits_model.c. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "quota/permits.h"
#include "redis_fixture.h"
#include "redis_scripts.h"
#include "script_at.h"

TestSuite(permits_gcra, .init = fixture_start, .fini = fixture_stop, .timeout = 60);

enum kind { END, TAKE, SETTLE };

/* One request a second, a token in 10 ms, a burst of 2 s: two requests, 200 tokens; unless a sequence sets others. */
struct step {
    enum kind kind;
    int64_t at_ms;
    int64_t tokens;      /* SETTLE: to add */
    int64_t max_wait_ms; /* SETTLE: requests to add */
    bool reserved;
    int64_t wait_ms;
    enum permit_limit waits_for;
};

struct sequence {
    const char *name;
    int64_t requests_per_minute, tokens_per_minute;
    struct step steps[12];
};

static const struct sequence sequences[] = {
    {"a burst, then the rate", 60, 0, {
        {TAKE, 0, 1, 0, true, 0, PERMIT_NO_LIMIT},
        {TAKE, 0, 1, 0, true, 0, PERMIT_NO_LIMIT},
        {TAKE, 0, 1, 0, false, 1000, PERMIT_REQUESTS},
        {TAKE, 999, 1, 0, false, 1, PERMIT_REQUESTS},
        {TAKE, 1000, 1, 0, true, 0, PERMIT_NO_LIMIT},
        {TAKE, 1000, 1, 0, false, 1000, PERMIT_REQUESTS},
    }},
    {"an idle hour saves up a burst and no more", 60, 0, {
        {TAKE, 0, 1, 0, true, 0, PERMIT_NO_LIMIT},
        {TAKE, 3600000, 1, 0, true, 0, PERMIT_NO_LIMIT},
        {TAKE, 3600000, 1, 0, true, 0, PERMIT_NO_LIMIT},
        {TAKE, 3600000, 1, 0, false, 1000, PERMIT_REQUESTS},
    }},
    {"those who may wait stand in line, and whoever may not sees the line", 60, 0, {
        {TAKE, 0, 1, 9000, true, 0, PERMIT_NO_LIMIT},
        {TAKE, 0, 1, 9000, true, 0, PERMIT_NO_LIMIT},
        {TAKE, 0, 1, 9000, true, 1000, PERMIT_REQUESTS},
        {TAKE, 0, 1, 9000, true, 2000, PERMIT_REQUESTS},
        {TAKE, 0, 1, 2999, false, 3000, PERMIT_REQUESTS},
        {TAKE, 0, 1, 3000, true, 3000, PERMIT_REQUESTS},
        {TAKE, 500, 1, 0, false, 3500, PERMIT_REQUESTS},
    }},
    {"tokens", 0, 6000, {
        {TAKE, 0, 150, 0, true, 0, PERMIT_NO_LIMIT},
        {TAKE, 0, 51, 0, false, 10, PERMIT_TOKENS},
        {TAKE, 0, 50, 0, true, 0, PERMIT_NO_LIMIT},
        {TAKE, 0, 100, 1000, true, 1000, PERMIT_TOKENS},
        {TAKE, 0, 0, 0, false, 1000, PERMIT_TOKENS},
        {TAKE, 2000, 100, 0, true, 0, PERMIT_NO_LIMIT},
    }},
    {"one of more than the burst starts when nothing is left, and those behind it wait", 0, 6000, {
        {TAKE, 0, 500, 0, true, 0, PERMIT_NO_LIMIT},
        {TAKE, 0, 1, 0, false, 3010, PERMIT_TOKENS},
        {TAKE, 3010, 1, 0, true, 0, PERMIT_NO_LIMIT},
        {TAKE, 4000, 500, 1009, false, 1010, PERMIT_TOKENS},
        {TAKE, 4000, 500, 1010, true, 1010, PERMIT_TOKENS},
        {TAKE, 8019, 1, 0, false, 1, PERMIT_TOKENS},
        {TAKE, 8020, 1, 0, true, 0, PERMIT_NO_LIMIT},
    }},
    {"a small one doesn't pass one that waits", 0, 6000, {
        {TAKE, 0, 200, 0, true, 0, PERMIT_NO_LIMIT},
        {TAKE, 0, 200, 9000, true, 2000, PERMIT_TOKENS},
        {TAKE, 0, 1, 2000, false, 2010, PERMIT_TOKENS},
    }},
    {"amid a stream of small ones that fill the time they may wait, one of more than the burst needs a burst more", 0, 6000, {
        {TAKE, 0, 200, 1000, true, 0, PERMIT_NO_LIMIT},
        {TAKE, 0, 100, 1000, true, 1000, PERMIT_TOKENS},
        {TAKE, 0, 1, 1000, false, 1010, PERMIT_TOKENS},
        {TAKE, 0, 300, 1000, false, 3000, PERMIT_TOKENS},
        {TAKE, 500, 50, 1000, true, 1000, PERMIT_TOKENS},
        {TAKE, 500, 300, 3000, true, 3000, PERMIT_TOKENS},
    }},
    {"both or neither: a refusal by tokens takes no request, one by requests no tokens", 60, 6000, {
        {TAKE, 0, 200, 0, true, 0, PERMIT_NO_LIMIT},
        {TAKE, 0, 100, 0, false, 1000, PERMIT_TOKENS},
        {TAKE, 1000, 100, 0, true, 0, PERMIT_NO_LIMIT},
        {TAKE, 1000, 1, 0, false, 10, PERMIT_TOKENS},
        {TAKE, 2000, 1, 0, true, 0, PERMIT_NO_LIMIT},
        {TAKE, 2000, 1, 0, true, 0, PERMIT_NO_LIMIT},
        {TAKE, 2000, 50, 0, false, 1000, PERMIT_REQUESTS},
        {TAKE, 3000, 198, 0, true, 0, PERMIT_NO_LIMIT},
    }},
    {"a line for tokens ends in no burst of requests", 60, 6000, {
        {TAKE, 0, 200, 0, true, 0, PERMIT_NO_LIMIT},
        {TAKE, 0, 600, 9000, true, 2000, PERMIT_TOKENS},
        {TAKE, 0, 1, 9000, true, 6010, PERMIT_TOKENS},
        {TAKE, 0, 1, 9000, true, 6020, PERMIT_TOKENS},
        {TAKE, 0, 1, 9000, true, 7010, PERMIT_REQUESTS},
        {TAKE, 0, 1, 9000, true, 8010, PERMIT_REQUESTS},
    }},
    {"what wasn't used makes room at once", 60, 6000, {
        {TAKE, 0, 200, 0, true, 0, PERMIT_NO_LIMIT},
        {TAKE, 0, 150, 0, false, 1500, PERMIT_TOKENS},
        {SETTLE, 0, -150, 0, true, 0, PERMIT_NO_LIMIT},
        {TAKE, 0, 150, 0, true, 0, PERMIT_NO_LIMIT},
        {TAKE, 0, 1, 0, false, 1000, PERMIT_REQUESTS},
        {SETTLE, 0, -150, -1, true, 0, PERMIT_NO_LIMIT},
        {TAKE, 0, 150, 0, true, 0, PERMIT_NO_LIMIT},
    }},
    {"but never beyond the burst", 60, 6000, {
        {TAKE, 0, 200, 0, true, 0, PERMIT_NO_LIMIT},
        {SETTLE, 1500, -200, -1, true, 0, PERMIT_NO_LIMIT},
        {SETTLE, 1500, -200, -1, true, 0, PERMIT_NO_LIMIT},
        {TAKE, 1500, 150, 0, true, 0, PERMIT_NO_LIMIT},
        {TAKE, 1500, 50, 0, true, 0, PERMIT_NO_LIMIT},
        {TAKE, 1500, 1, 0, false, 1000, PERMIT_REQUESTS},
        {TAKE, 1500, 101, 900, false, 1010, PERMIT_TOKENS},
    }},
    {"what was used beyond the estimate is paid for by those to come", 60, 6000, {
        {TAKE, 0, 10, 0, true, 0, PERMIT_NO_LIMIT},
        {SETTLE, 0, 300, 0, true, 0, PERMIT_NO_LIMIT},
        {TAKE, 0, 100, 0, false, 2100, PERMIT_TOKENS},
        {SETTLE, 9000, 300, 0, true, 0, PERMIT_NO_LIMIT},
        {TAKE, 9000, 100, 0, false, 2000, PERMIT_TOKENS},
    }},
    {"no limits", 0, 0, {
        {TAKE, 0, 1000000000, 0, true, 0, PERMIT_NO_LIMIT},
        {TAKE, 0, 1000000000, 0, true, 0, PERMIT_NO_LIMIT},
    }},
};

static void call_keys(struct redis_args *call, const char *provider)
{
    redis_args_reset(call);
    redis_args_tagged_keys(call, fixture.prefix, "permit", provider, (const char *const[]){"requests", "tokens"}, 2);
}

static int64_t signed_cost(int64_t amount, int64_t per_minute)
{
    return amount < 0 ? -cost_us(-amount, per_minute) : cost_us(amount, per_minute);
}

static redisReply *step_run(const struct sequence *sequence, const struct step *step, int64_t now_us)
{
    struct redis_args call = {0};
    int64_t rpm = sequence->requests_per_minute, tpm = sequence->tokens_per_minute;
    call_keys(&call, sequence->name);
    if (step->kind == TAKE) {
        redis_args_number(&call, cost_us(1, rpm));
        redis_args_number(&call, cost_burst_us(2000, rpm));
        redis_args_number(&call, cost_us(step->tokens, tpm));
        redis_args_number(&call, cost_burst_us(2000, tpm));
        redis_args_number(&call, step->max_wait_ms * 1000);
    } else {
        redis_args_number(&call, signed_cost(step->max_wait_ms, rpm));
        redis_args_number(&call, signed_cost(step->tokens, tpm));
    }
    redisReply *reply = script_at(step->kind == TAKE ? script_permit_take : script_permit_settle, now_us, &call);
    for (int i = 1; i <= 2; i++) /* only the scripts' clock stands still: a slow test must not lose the keys */
        fixture_do("PERSIST %b", call.value[i], call.size[i]);
    redis_args_finish(&call);
    return reply;
}

static void sequence_run(const struct sequence *sequence, int64_t start_us)
{
    for (const struct step *step = sequence->steps; step->kind != END; step++) {
        int i = (int)(step - sequence->steps);
        int64_t now_us = start_us + step->at_ms * 1000;
        redisReply *reply = step_run(sequence, step, now_us);
        if (step->kind == SETTLE) {
            cr_assert(reply->type == REDIS_REPLY_ARRAY && reply->elements == 3 && reply->element[0]->integer == now_us, "%s, step %d", sequence->name, i);
        } else {
            cr_assert(reply->type == REDIS_REPLY_ARRAY && reply->elements == 4, "%s, step %d: %s", sequence->name, i, reply->str);
            const int64_t want[] = {step->reserved, step->wait_ms * 1000, step->waits_for, now_us};
            for (size_t k = 0; k < 4; k++)
                cr_expect_eq(reply->element[k]->integer, want[k], "%s, step %d, answer %zu: %lld", sequence->name, i, k,
                             reply->element[k]->integer);
        }
        freeReplyObject(reply);
    }
}

Test(permits_gcra, sequences)
{
    for (size_t i = 0; i < sizeof sequences / sizeof *sequences; i++)
        sequence_run(&sequences[i], 1800000000123456);
}
