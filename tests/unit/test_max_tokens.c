/* The limit of an answer's length in a request: what is read, and what is refused. */
#include <criterion/criterion.h>
#include <string.h>

#include "base/cleanup.h"
#include "wire/max_tokens.h"

Test(max_tokens, are_read_from_whatever_member_names_them)
{
    static const struct {
        const char *body;
        int64_t tokens;
    } rows[] = {{"{\"messages\":[],\"model\":\"m\"}", 0},
                {"{\"messages\":[],\"max_tokens\":7}", 7},
                {"{\"messages\":[],\"max_completion_tokens\":8,\"stream\":true}", 8},
                {"{\"max_output_tokens\":3}", 3},
                {"{\"max_new_tokens\":4}", 4},
                {"{\"n_predict\":5}", 5},
                {"{\"messages\":[],\"max_tokens\":9,\"max_completion_tokens\":8}", 9},
                {"{\"messages\":[{\"role\":\"user\",\"content\":\"\\\"max_tokens\\\":5\",\"max_tokens\":6}]}", 0},
                {"{\"messages\":[],\"max_tokens\":null}", 0},
                {"{\"messages\":[],\"max_tokens\":-3}", 0},
                {"{\"max_tokens\":1e9}", 1000000000},
                {"{\"max_tokens\": \"500\"}", 500},
                {"{\"max\\u005ftokens\":600}", 600},
                {"{\"messages\":[],\"max_tokens\":99999999999999999999}", INT64_MAX}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        cr_expect_eq(max_tokens_read(rows[i].body), rows[i].tokens, "%s: %lld", rows[i].body, (long long)max_tokens_read(rows[i].body));
}

Test(max_tokens, beyond_the_limit_are_refused_by_name)
{
    static const struct {
        const char *params, *said; /* NULL: taken */
    } rows[] = {{"{}", NULL},
                {"{\"max_tokens\":100}", NULL},
                {"{\"max_tokens\":null}", NULL},
                {"{\"max_tokens\":101}", "params.max_tokens: is above the 100 "},
                {"{\"max_completion_tokens\":101,\"max_tokens\":5}", "params.max_completion_tokens: is above the 100 "},
                {"{\"max_output_tokens\":101}", "params.max_output_tokens: "},
                {"{\"max_new_tokens\":101}", "params.max_new_tokens: "},
                {"{\"n_predict\":101}", "params.n_predict: "},
                {"{\"max\\u005ftokens\":101}", "params.max_tokens: "},
                {"{\"n_predict\":-1}", "one below 1"},
                {"{\"max_tokens\":0}", "one below 1"},
                {"{\"max_tokens\":1e9}", "not a number with a fraction"},
                {"{\"max_tokens\":\"5\"}", "not a string"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct json_view params = json_view_of(rows[i].params, rows[i].params + strlen(rows[i].params));
        struct error err = {0};
        enum status status = max_tokens_check(params, 100, &err);
        cr_expect_eq(status == STATUS_OK, rows[i].said == NULL, "%s", rows[i].params);
        cr_expect(rows[i].said == NULL || strstr(err.message, rows[i].said) != NULL, "%s: %s", rows[i].params, err.message);
        cr_expect(rows[i].said == NULL || err.class == ERROR_PERMANENT);
        cr_expect_eq(max_tokens_check(params, 0, &err), STATUS_OK, "no limit: %s", rows[i].params);
    }
}
