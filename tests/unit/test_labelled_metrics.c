/* Metrics with labels: what is printed, that it stays bounded, and that no value breaks a line. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "telemetry/labelled_metrics.h"

TestSuite(labelled_metrics, .init = labelled_metrics_clear, .fini = labelled_metrics_clear);

static char *printed(void)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    labelled_metrics_print(out);
    fclose(out);
    return text;
}

static void must_print(const char *line)
{
    AUTO_FREE char *text = printed();
    AUTO_FREE char *whole = NULL;
    cr_assert(asprintf(&whole, "\n%s\n", line) > 0);
    cr_assert(strstr(text, whole), "no line %s in\n%s", line, text);
}

static size_t count_lines(const char *with)
{
    AUTO_FREE char *text = printed();
    size_t count = 0;
    for (const char *at = text; (at = strstr(at, with)) != NULL; at++)
        count++;
    return count;
}

static void add_tokens(const char *model, const char *tenant, int64_t tokens)
{
    labelled_add(LABELLED_INPUT_TOKENS, (const char *const[]){"main", model, tenant}, tokens);
}

#define INPUT "gen_ai_client_inference_usage_input_tokens_total"

Test(labelled_metrics, a_series_for_each_combination_and_none_before_it_is_counted)
{
    AUTO_FREE char *none = printed();
    cr_assert_str_eq(none, "");
    add_tokens("m", "a", 3);
    add_tokens("m", "a", 4);
    add_tokens("m", "b", 5);
    add_tokens("n", "a", 6);
    labelled_add(LABELLED_PROVIDER_CALLS, (const char *const[]){"main", "good"}, 1);
    must_print(INPUT "{gen_ai_provider_name=\"main\",gen_ai_response_model=\"m\",tenant=\"a\"} 7");
    must_print(INPUT "{gen_ai_provider_name=\"main\",gen_ai_response_model=\"m\",tenant=\"b\"} 5");
    must_print(INPUT "{gen_ai_provider_name=\"main\",gen_ai_response_model=\"n\",tenant=\"a\"} 6");
    must_print("chat_provider_calls_total{provider=\"main\",outcome=\"good\"} 1");
    must_print("# TYPE " INPUT " counter");
    cr_assert_eq(count_lines("# TYPE"), 2, "families without series are left out");
}

Test(labelled_metrics, where_one_value_ends_and_the_next_begins_counts)
{
    add_tokens("ab", "c", 1);
    add_tokens("a", "bc", 2);
    must_print(INPUT "{gen_ai_provider_name=\"main\",gen_ai_response_model=\"ab\",tenant=\"c\"} 1");
    must_print(INPUT "{gen_ai_provider_name=\"main\",gen_ai_response_model=\"a\",tenant=\"bc\"} 2");
}

Test(labelled_metrics, no_value_breaks_a_line)
{
    add_tokens("m", "a\"b\\c\nd\x7f", 1);
    must_print(INPUT "{gen_ai_provider_name=\"main\",gen_ai_response_model=\"m\",tenant=\"a\\\"b\\\\c?d?\"} 1");
    add_tokens(NULL, "", 2);
    must_print(INPUT "{gen_ai_provider_name=\"main\",gen_ai_response_model=\"\",tenant=\"\"} 2");
}

Test(labelled_metrics, a_long_value_is_cut_between_characters)
{
    char tenant[200] = "";
    for (int i = 0; i < 66; i++)
        strcat(tenant, "ü"); /* two bytes each */
    char ascii[100] = "x", cut[LABEL_BYTES_MAX + 1] = "x";
    strncat(ascii, tenant, 80);
    strncat(cut, tenant, 62);
    add_tokens("m", ascii, 1);
    add_tokens("m", tenant, 2);
    AUTO_FREE char *line = NULL;
    cr_assert(asprintf(&line, INPUT "{gen_ai_provider_name=\"main\",gen_ai_response_model=\"m\",tenant=\"%s\"} 1", cut) > 0);
    must_print(line);
    AUTO_FREE char *whole = NULL;
    cr_assert(asprintf(&whole, INPUT "{gen_ai_provider_name=\"main\",gen_ai_response_model=\"m\",tenant=\"%.64s\"} 2", tenant) > 0);
    must_print(whole);
}

Test(labelled_metrics, a_hundred_tenants_then_others)
{
    char tenant[16];
    for (int round = 0; round < 2; round++)
        for (int i = 0; i < LABEL_VALUES_MAX + 30; i++) {
            snprintf(tenant, sizeof tenant, "t%d", i);
            add_tokens("m", tenant, 1);
        }
    cr_assert_eq(count_lines("\n" INPUT "{"), LABEL_VALUES_MAX + 1);
    must_print(INPUT "{gen_ai_provider_name=\"main\",gen_ai_response_model=\"m\",tenant=\"t0\"} 2");
    must_print(INPUT "{gen_ai_provider_name=\"main\",gen_ai_response_model=\"m\",tenant=\"other\"} 60");
    labelled_add(LABELLED_OUTPUT_TOKENS, (const char *const[]){"main", "m", "t120"}, 1);
    must_print("gen_ai_client_inference_usage_output_tokens_total{gen_ai_provider_name=\"main\",gen_ai_response_model=\"m\",tenant=\"other\"} 1");
    for (int i = 0; i < LABEL_VALUES_MAX + 30; i++) { /* models, too, since an answer names them */
        snprintf(tenant, sizeof tenant, "m%d", i);
        add_tokens(tenant, "t0", 1);
    }
    cr_assert_eq(count_lines("\n" INPUT "{"), LABEL_VALUES_MAX + 1 + LABEL_VALUES_MAX, "one of the models is m, in whose place there is other");
}

Test(labelled_metrics, durations_fall_into_opentelemetrys_buckets)
{
    const char *const labels[] = {"main", ""};
    static const int64_t us[] = {0, 10000, 10001, 81920000, 81920001};
    for (size_t i = 0; i < sizeof us / sizeof *us; i++)
        labelled_observe_us(LABELLED_CALL_DURATION, labels, us[i]);
#define DURATION "gen_ai_client_operation_duration_seconds"
    must_print("# TYPE " DURATION " histogram");
    must_print(DURATION "_bucket{gen_ai_provider_name=\"main\",error_type=\"\",le=\"0.01\"} 2");
    must_print(DURATION "_bucket{gen_ai_provider_name=\"main\",error_type=\"\",le=\"0.02\"} 3");
    must_print(DURATION "_bucket{gen_ai_provider_name=\"main\",error_type=\"\",le=\"40.96\"} 3");
    must_print(DURATION "_bucket{gen_ai_provider_name=\"main\",error_type=\"\",le=\"81.92\"} 4");
    must_print(DURATION "_bucket{gen_ai_provider_name=\"main\",error_type=\"\",le=\"+Inf\"} 5");
    must_print(DURATION "_sum{gen_ai_provider_name=\"main\",error_type=\"\"} 163.860002");
    must_print(DURATION "_count{gen_ai_provider_name=\"main\",error_type=\"\"} 5");
    cr_assert_eq(count_lines(",le="), 15);
}

static void *add_many(void *arg)
{
    (void)arg;
    char tenant[16];
    for (int i = 0; i < 20000; i++) {
        snprintf(tenant, sizeof tenant, "t%d", i % 7);
        add_tokens("m", tenant, 1);
    }
    return NULL;
}

Test(labelled_metrics, threads_lose_no_count)
{
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, add_many, NULL);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    cr_assert_eq(count_lines("\n" INPUT "{"), 7);
    must_print(INPUT "{gen_ai_provider_name=\"main\",gen_ai_response_model=\"m\",tenant=\"t0\"} 11432");
}
