#include "plan.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "fault.h"

#define SPACES " \t\r\n"
#define LATENCY_MS_MAX 3600000.0

int64_t plan_words(const char *text)
{
    int64_t count = 0;
    for (text += strspn(text, SPACES); *text != '\0'; text += strspn(text, SPACES)) {
        count++;
        text += strcspn(text, SPACES);
    }
    return count;
}

size_t plan_words_end(const char *text, int64_t n)
{
    const char *at = text;
    for (; n > 0 && *at != '\0'; n--) {
        at += strspn(at, SPACES);
        at += strcspn(at, SPACES);
    }
    return (size_t)(at - text);
}

/* A message's content as text: a string, or the text parts of an array. */
static char *content_text(const json_t *content)
{
    if (json_is_string(content))
        return xstrdup(json_string_value(content));
    char *all = xstrdup("");
    size_t i;
    json_t *part;
    json_array_foreach(content, i, part)
    {
        const char *text = json_string_value(json_object_get(part, "text"));
        if (text == NULL)
            continue;
        char *longer = xasprintf("%s%s", all, text);
        free(all);
        all = longer;
    }
    return all;
}

enum status ask_parse(const char *body, size_t size, struct ask *ret, struct error *err)
{
    json_error_t why;
    AUTO_JSON json_t *root = json_loadb(body, size, 0, &why);
    if (root == NULL)
        return error_set(err, ERROR_PERMANENT, "invalid_json", "the request is not JSON: %s", why.text);
    json_t *messages = json_object_get(root, "messages");
    if (!json_is_array(messages) || json_array_size(messages) == 0)
        return error_set(err, ERROR_PERMANENT, "invalid_messages", "'messages' must be an array that is not empty");

    struct ask ask = {.message_count = json_array_size(messages)};
    size_t i;
    json_t *message;
    json_array_foreach(messages, i, message)
    {
        const char *role = json_string_value(json_object_get(message, "role"));
        char *text = content_text(json_object_get(message, "content"));
        ask.prompt_words += plan_words(text);
        if (role != NULL && strcmp(role, "user") == 0) {
            free(ask.message);
            ask.message = steal_ptr(&text);
        }
        free(text);
    }
    if (ask.message == NULL)
        ask.message = xstrdup("");

    ask.model = json_string_value(json_object_get(root, "model"));
    if (ask.model == NULL)
        ask.model = "llmsim";
    ask.max_tokens = json_integer_value(json_object_get(root, "max_completion_tokens"));
    if (ask.max_tokens <= 0)
        ask.max_tokens = json_integer_value(json_object_get(root, "max_tokens"));
    ask.stream = json_is_true(json_object_get(root, "stream"));
    ask.include_usage = json_is_true(json_object_get(json_object_get(root, "stream_options"), "include_usage"));
    ask.root = steal_ptr(&root);
    *ret = ask;
    return STATUS_OK;
}

void ask_finish(struct ask *ask)
{
    json_decref(ask->root);
    free(ask->message);
    *ask = (struct ask){0};
}

int64_t plan_latency_ms(const struct plan_options *options, uint64_t number)
{
    double mean = (double)options->latency_ms, ms = mean;
    double u = fault_random(options->seed, number, 1);
    switch (options->jitter) {
    case JITTER_FIXED:
        break;
    case JITTER_UNIFORM:
        ms = mean * (1 + options->sigma * (2 * u - 1));
        break;
    case JITTER_LOGNORMAL: {
        /* Box-Muller; 1 - u keeps the logarithm finite. mu is chosen so that the mean is the requested one. */
        double z = sqrt(-2 * log(1 - u)) * cos(2 * M_PI * fault_random(options->seed, number, 2));
        if (mean > 0)
            ms = exp(log(mean) - options->sigma * options->sigma / 2 + options->sigma * z);
        break;
    }
    }
    if (!(ms > 0))
        return 0;
    return (int64_t)lround(ms < LATENCY_MS_MAX ? ms : LATENCY_MS_MAX);
}

char *plan_text(const struct plan_options *options, const struct ask *ask, bool *ret_cut)
{
    char *text = xasprintf("echo: %s [messages=%zu]", ask->message, ask->message_count);
    int64_t words = plan_words(text);
    if (words < options->tokens) {
        size_t length = strlen(text);
        text = xrealloc(text, length + (size_t)(options->tokens - words) * 5 + 1);
        for (; words < options->tokens; words++, length += 5)
            memcpy(text + length, " word", 6);
    }
    *ret_cut = ask->max_tokens > 0 && words > ask->max_tokens;
    if (*ret_cut)
        text[plan_words_end(text, ask->max_tokens)] = '\0';
    return text;
}
