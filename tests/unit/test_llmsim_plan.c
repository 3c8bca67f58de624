/* The simulator's pure part: same request, number and seed, same plan; faults come when they are asked for. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "answer.h"
#include "fault.h"
#include "plan.h"

static struct ask parsed(const char *body)
{
    struct ask ask;
    struct error err = {0};
    cr_assert_eq(ask_parse(body, strlen(body), &ask, &err), STATUS_OK, "%s", err.message);
    return ask;
}

static struct fault picked(struct fault_rules *rules, const char *message, int64_t seen, uint64_t number)
{
    struct fault fault;
    struct error err = {0};
    cr_assert_eq(fault_pick(rules, message, seen, number, 1, &fault, &err), STATUS_OK, "%s", err.message);
    return fault;
}

Test(llmsim_plan, echoes_the_last_user_message_and_counts_words)
{
    struct ask ask = parsed("{\"messages\":[{\"role\":\"user\",\"content\":\"one\"},{\"role\":\"assistant\",\"content\":\"x y\"},"
                            "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"two three\"}]}],\"max_tokens\":0}");
    struct plan_options options = {.tokens = 6};
    bool cut;
    char *text = plan_text(&options, &ask, &cut);
    cr_assert_str_eq(text, "echo: two three [messages=3] word word");
    cr_assert_eq(ask.prompt_words, 5);
    cr_assert_not(cut);
    free(text);
    ask_finish(&ask);
}

Test(llmsim_plan, max_tokens_cuts_the_answer)
{
    struct ask ask = parsed("{\"messages\":[{\"role\":\"user\",\"content\":\"a b c\"}],\"max_tokens\":2}");
    struct plan_options options = {0};
    bool cut;
    char *text = plan_text(&options, &ask, &cut);
    cr_assert_str_eq(text, "echo: a");
    cr_assert(cut);
    free(text);
    ask_finish(&ask);
}

Test(llmsim_plan, latency_depends_on_seed_and_number_alone_and_keeps_its_mean)
{
    struct plan_options options = {.latency_ms = 1000, .jitter = JITTER_LOGNORMAL, .sigma = 0.5, .seed = 7};
    double sum = 0;
    for (uint64_t number = 1; number <= 20000; number++) {
        int64_t ms = plan_latency_ms(&options, number);
        cr_assert_eq(ms, plan_latency_ms(&options, number));
        sum += (double)ms;
    }
    cr_assert_float_eq(sum / 20000, 1000, 20);

    options.jitter = JITTER_UNIFORM;
    for (uint64_t number = 1; number <= 1000; number++) {
        int64_t ms = plan_latency_ms(&options, number);
        cr_assert(ms >= 500 && ms <= 1500);
    }
}

Test(llmsim_fault, markers_are_used_up_in_their_turn)
{
    const char *message = "[[fault:503 times=2]] [[fault:billing times=1]] hi";
    cr_assert_str_eq(picked(NULL, message, 0, 1).name, "503");
    cr_assert_str_eq(picked(NULL, message, 1, 2).name, "503");
    cr_assert_str_eq(picked(NULL, message, 2, 3).name, "billing");
    cr_assert_eq(picked(NULL, message, 3, 4).kind, FAULT_NONE);
}

Test(llmsim_fault, rules_apply_by_rate_match_times_and_after)
{
    struct fault_rules *rules;
    struct error err = {0};
    cr_assert_eq(fault_rules_parse("# story\n429 retry-after-ms=50 after=10 times=1; reset match=kill", &rules, &err), STATUS_OK);
    cr_assert_eq(fault_rules_add_rate(rules, "stall=0.25", &err), STATUS_OK);
    cr_assert_str_eq(picked(rules, "please kill", 0, 1).name, "reset");
    cr_assert_str_eq(picked(rules, "x", 0, 11).name, "429");
    int stalls = 0;
    for (uint64_t number = 100; number < 4100; number++)
        stalls += picked(rules, "x", 0, number).kind == FAULT_STALL;
    cr_assert(stalls > 900 && stalls < 1100, "%d", stalls);
    fault_rules_destroy(rules);
}

Test(llmsim_fault, what_is_not_understood_is_refused)
{
    static const char *const bad[] = {"", "nonsense", "times=2", "429 times=0", "429 shape=round", "429 500", "399"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct fault fault;
        struct error err = {0};
        cr_assert_eq(fault_parse(bad[i], strlen(bad[i]), &fault, &err), STATUS_FAILED, "'%s'", bad[i]);
    }
}

Test(llmsim_answer, a_truncated_body_is_shorter_than_it_says_and_closes)
{
    struct ask ask = parsed("{\"messages\":[{\"role\":\"user\",\"content\":\"[[fault:truncated]]\"}]}");
    struct plan_options options = {.ctx_shape = "openai"};
    struct fault fault = picked(NULL, ask.message, 0, 1);
    struct script script;
    answer_chat(&script, &options, &ask, &fault, 1, 0);
    cr_assert_eq(script.end, SCRIPT_CLOSE);
    cr_assert(script.broken);
    char *length = strstr(script.steps[0].bytes, "Content-Length: ");
    cr_assert_not_null(length);
    size_t said = strtoul(length + strlen("Content-Length: "), NULL, 10);
    size_t sent = script.steps[0].size - (size_t)(strstr(length, "\r\n\r\n") + 4 - script.steps[0].bytes);
    cr_assert(sent < said && sent > 0);
    script_finish(&script);
    ask_finish(&ask);
}

Test(llmsim_answer, a_stream_ends_in_usage_and_done)
{
    struct ask ask = parsed("{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"stream\":true,"
                            "\"stream_options\":{\"include_usage\":true}}");
    struct plan_options options = {.ctx_shape = "openai"};
    struct fault none = picked(NULL, ask.message, 0, 1);
    struct script script;
    answer_chat(&script, &options, &ask, &none, 1, 0);
    cr_assert_eq(script.end, SCRIPT_KEEP);
    cr_assert_not_null(strstr(script.steps[script.count - 3].bytes, "\"choices\":[],\"usage\":{\"prompt_tokens\":1,"));
    cr_assert_not_null(strstr(script.steps[script.count - 2].bytes, "data: [DONE]\n\n"));
    cr_assert_str_eq(script.steps[script.count - 1].bytes, "0\r\n\r\n");
    script_finish(&script);
    ask_finish(&ask);
}
