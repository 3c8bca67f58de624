#include "wire/max_tokens.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "wire/json_member.h"

/* OpenAI's older and newer name, its Responses', TGI's, llama.cpp's. */
static const char *const names[] = {"max_tokens", "max_completion_tokens", "max_output_tokens", "max_new_tokens", "n_predict"};
#define NAMES (sizeof names / sizeof *names)

static bool names_it(const struct json_member *member)
{
    for (size_t i = 0; i < NAMES; i++)
        if (json_member_is(member, names[i]))
            return true;
    return false;
}

static int64_t number_of(const char *value)
{
    double tokens = strtod(*value == '"' ? value + 1 : value, NULL); /* ends at the next token; 0 if it isn't a number */
    if (!(tokens > 0))
        return 0;
    return tokens < 9e18 ? (int64_t)tokens : INT64_MAX;
}

int64_t max_tokens_read(const char *json)
{
    int64_t most = 0;
    struct json_member member = {.at = json, .end = json + strlen(json)};
    while (json_member_next(&member)) {
        int64_t tokens = names_it(&member) ? number_of(member.value) : 0;
        most = tokens > most ? tokens : most;
    }
    return most;
}

enum status max_tokens_check(struct json_view params, int64_t max, struct error *err)
{
    for (size_t i = 0; max > 0 && i < NAMES; i++) {
        struct json_view value = json_view_member(params, names[i]);
        int type = json_view_type(value);
        if (type == JSON_VIEW_NONE || type == JSON_NULL)
            continue;
        long long tokens = type == JSON_INTEGER ? strtoll(value.text, NULL, 10) : 0; /* ends at the next token; beyond 64 bits it is the maximum */
        if (tokens < 1)
            return error_set(err, ERROR_PERMANENT, "invalid_member", "params.%s: must be a whole number from 1 to %" PRId64 " (llm.max_tokens_max), not %s", names[i],
                             max, type == JSON_INTEGER ? "one below 1" : json_view_kind(value));
        if (tokens > max)
            return error_set(err, ERROR_PERMANENT, "invalid_member",
                             "params.%s: is above the %" PRId64 " that llm.max_tokens_max allows; lower it, or have the setting raised", names[i], max);
    }
    return STATUS_OK;
}
