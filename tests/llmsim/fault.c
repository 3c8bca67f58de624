#include "fault.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

#define MARKER_START "[[fault:"
#define MARKER_END "]]"
#define RULES_MAX 1000

static const struct {
    const char *name;
    enum fault_kind kind;
    int status; /* for FAULT_STATUS */
    const char *shape, *code;
} kinds[] = {
    {"slow", FAULT_NONE, 0, "", ""},
    {"hold", FAULT_HOLD, 200, "", ""},
    {"billing", FAULT_STATUS, 429, "openai", "insufficient_quota"},
    {"loading", FAULT_STATUS, 503, "llamacpp", ""},
    {"error-string", FAULT_STATUS, 424, "tgi", ""},
    {"error-int-code", FAULT_STATUS, 500, "llamacpp", ""},
    {"overflow", FAULT_OVERFLOW, 400, "", ""},
    {"too-long", FAULT_REFUSAL, 0, "", ""},
    {"bad-key", FAULT_REFUSAL, 0, "", ""},
    {"no-money", FAULT_REFUSAL, 0, "", ""},
    {"rate", FAULT_REFUSAL, 0, "", ""},
    {"overload", FAULT_REFUSAL, 0, "", ""},
    {"content", FAULT_REFUSAL, 0, "", ""},
    {"unknown-model", FAULT_REFUSAL, 0, "", ""},
    {"error-200", FAULT_ERROR_200, 200, "", ""},
    {"stream-error", FAULT_STREAM_ERROR, 200, "", ""},
    {"no-done", FAULT_NO_DONE, 200, "", ""},
    {"empty-choices", FAULT_EMPTY_CHOICES, 200, "", ""},
    {"no-message", FAULT_NO_MESSAGE, 200, "", ""},
    {"null-content", FAULT_NULL_CONTENT, 200, "", ""},
    {"no-usage", FAULT_NO_USAGE, 200, "", ""},
    {"length", FAULT_LENGTH, 200, "", ""},
    {"filter", FAULT_FILTER, 200, "", ""},
    {"tool-calls", FAULT_TOOL_CALLS, 200, "", ""},
    {"comments", FAULT_COMMENTS, 200, "", ""},
    {"chatter", FAULT_CHATTER, 200, "", ""},
    {"crlf", FAULT_CRLF, 200, "", ""},
    {"split-utf8", FAULT_SPLIT_UTF8, 200, "", ""},
    {"bad-utf8", FAULT_BAD_UTF8, 200, "", ""},
    {"stale", FAULT_STALE, 200, "", ""},
    {"reset", FAULT_RESET, 200, "", ""},
    {"close", FAULT_CLOSE, 200, "", ""},
    {"stall", FAULT_STALL, 200, "", ""},
    {"drip", FAULT_DRIP, 200, "", ""},
    {"truncated", FAULT_TRUNCATED, 200, "", ""},
    {"not-json", FAULT_NOT_JSON, 200, "", ""},
    {"html", FAULT_NOT_JSON, 200, "html", ""},
    {"empty-body", FAULT_EMPTY_BODY, 200, "", ""},
    {"huge", FAULT_HUGE, 200, "", ""},
};

struct fault_rules {
    struct {
        struct fault fault;
        int64_t used; /* how often it has applied, for times */
    } rule[RULES_MAX];
    size_t count;
    int64_t in_flight;
};

double fault_random(uint64_t seed, uint64_t number, uint64_t purpose)
{
    /* splitmix64's finish: one step a value, no state to share. */
    uint64_t x = seed + number * UINT64_C(0x9e3779b97f4a7c15) + purpose * UINT64_C(0xd1b54a32d192ed03);
    for (int round = 0; round < 2; round++) {
        x += UINT64_C(0x9e3779b97f4a7c15);
        x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
        x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
        x ^= x >> 31;
    }
    return (double)(x >> 11) * 0x1.0p-53;
}

static bool integer_read(const char *text, int64_t min, int64_t *ret)
{
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || value < min)
        return false;
    *ret = value;
    return true;
}

static bool text_read(const char *text, char *to, size_t size)
{
    size_t length = strlen(text);
    if (length >= size)
        return false;
    memcpy(to, text, length + 1);
    return true;
}

static bool rate_read(const char *text, double *ret)
{
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end != '\0' || !(value >= 0 && value <= 1))
        return false;
    *ret = value;
    return true;
}

static bool shape_read(const char *text, char *to, size_t size)
{
    static const char *const shapes[] = {"openai", "llamacpp", "vllm", "tgi", "detail", "html", "empty"};
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
        if (strcmp(shapes[i], text) == 0)
            return text_read(text, to, size);
    return false;
}

static bool pair_read(struct fault *f, const char *key, const char *value)
{
    if (strcmp(key, "times") == 0)
        return integer_read(value, 1, &f->times);
    if (strcmp(key, "after") == 0)
        return integer_read(value, 0, &f->after);
    if (strcmp(key, "rate") == 0)
        return rate_read(value, &f->rate);
    if (strcmp(key, "above") == 0)
        return integer_read(value, 1, &f->above);
    if (strcmp(key, "match") == 0)
        return text_read(value, f->match, sizeof(f->match));
    if (strcmp(key, "shape") == 0)
        return shape_read(value, f->shape, sizeof(f->shape));
    if (strcmp(key, "code") == 0)
        return text_read(value, f->code, sizeof(f->code));
    if (strcmp(key, "retry-after") == 0)
        return text_read(value, f->retry_after, sizeof(f->retry_after));
    if (strcmp(key, "retry-after-ms") == 0)
        return text_read(value, f->retry_after_ms, sizeof(f->retry_after_ms));
    if (strcmp(key, "retry-after-date") == 0) {
        f->retry_after_dated = true;
        return integer_read(value, -4000000000, &f->retry_after_in_s) && f->retry_after_in_s <= 4000000000;
    }
    if (strcmp(key, "should-retry") == 0)
        return text_read(value, f->should_retry, sizeof(f->should_retry));
    if (strcmp(key, "latency") == 0)
        return integer_read(value, 0, &f->latency_ms);
    if (strcmp(key, "ms") == 0)
        return integer_read(value, 0, &f->ms);
    if (strcmp(key, "n") == 0)
        return integer_read(value, 0, &f->n);
    if (strcmp(key, "bytes") == 0)
        return integer_read(value, 1, &f->bytes) && f->bytes <= INT64_C(8) << 30;
    return false;
}

static bool kind_read(struct fault *f, const char *name)
{
    int64_t status;
    if (integer_read(name, 400, &status) && status <= 599) {
        f->kind = FAULT_STATUS;
        f->status = (int)status;
        return text_read(name, f->name, sizeof(f->name));
    }
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (strcmp(kinds[i].name, name) == 0) {
            f->kind = kinds[i].kind;
            f->status = kinds[i].status;
            return text_read(name, f->name, sizeof(f->name)) &&
                   text_read(kinds[i].shape, f->shape, sizeof(f->shape)) &&
                   text_read(kinds[i].code, f->code, sizeof(f->code));
        }
    return false;
}

enum status fault_parse(const char *text, size_t size, struct fault *ret, struct error *err)
{
    struct fault f = {.latency_ms = -1, .ms = -1, .n = -1, .bytes = INT64_C(64) << 20, .rate = 1};
    char copy[1024];
    if (size >= sizeof(copy))
        return error_set(err, ERROR_PERMANENT, "llmsim_bad_fault", "fault text over %zu bytes", sizeof(copy) - 1);
    memcpy(copy, text, size);
    copy[size] = '\0';

    char *save = NULL;
    for (char *word = strtok_r(copy, " \t\r\n", &save); word != NULL; word = strtok_r(NULL, " \t\r\n", &save)) {
        char *equals = strchr(word, '=');
        if (equals == NULL) {
            if (f.name[0] != '\0' || !kind_read(&f, word))
                return error_set(err, ERROR_PERMANENT, "llmsim_bad_fault", "'%s' is no kind of fault (or a second one)", word);
            continue;
        }
        *equals = '\0';
        if (f.name[0] == '\0')
            return error_set(err, ERROR_PERMANENT, "llmsim_bad_fault", "the kind comes first, not '%s='", word);
        if (!pair_read(&f, word, equals + 1))
            return error_set(err, ERROR_PERMANENT, "llmsim_bad_fault", "'%s=%s' is not understood", word, equals + 1);
    }
    if (f.name[0] == '\0')
        return error_set(err, ERROR_PERMANENT, "llmsim_bad_fault", "a fault without a kind");
    if (f.kind == FAULT_NONE && f.latency_ms < 0)
        f.latency_ms = f.ms;
    *ret = f;
    return STATUS_OK;
}

struct fault_rules *fault_rules_create(void)
{
    return xcalloc(1, sizeof(struct fault_rules));
}

void fault_rules_destroy(struct fault_rules *rules)
{
    free(rules);
}

static enum status rules_add(struct fault_rules *rules, const char *text, size_t size, struct error *err)
{
    if (rules->count == RULES_MAX)
        return error_set(err, ERROR_PERMANENT, "llmsim_bad_fault", "more than %d rules", RULES_MAX);
    if (fault_parse(text, size, &rules->rule[rules->count].fault, err) != STATUS_OK)
        return STATUS_FAILED;
    rules->count++;
    return STATUS_OK;
}

enum status fault_rules_parse(const char *text, struct fault_rules **ret, struct error *err)
{
    struct fault_rules *rules = fault_rules_create();
    while (*text != '\0') {
        if (*text == '#') {
            text += strcspn(text, "\n");
            continue;
        }
        size_t size = strcspn(text, ";\n#");
        if (strspn(text, " \t\r") < size && rules_add(rules, text, size, err) != STATUS_OK) {
            fault_rules_destroy(rules);
            return STATUS_FAILED;
        }
        text += size;
        if (*text == ';' || *text == '\n')
            text++;
    }
    *ret = rules;
    return STATUS_OK;
}

enum status fault_rules_add_rate(struct fault_rules *rules, const char *spec, struct error *err)
{
    double rate;
    const char *equals = strrchr(spec, '=');
    if (equals == NULL || !rate_read(equals + 1, &rate))
        return error_set(err, ERROR_PERMANENT, "llmsim_bad_fault", "'%s' is not KIND=P with P from 0 to 1", spec);
    if (rules_add(rules, spec, (size_t)(equals - spec), err) != STATUS_OK)
        return STATUS_FAILED;
    rules->rule[rules->count - 1].fault.rate = rate;
    return STATUS_OK;
}

static enum status marker_pick(const char *message, int64_t seen, struct fault *ret, struct error *err)
{
    for (const char *at = message; (at = strstr(at, MARKER_START)) != NULL;) {
        at += strlen(MARKER_START);
        const char *end = strstr(at, MARKER_END);
        if (end == NULL)
            return error_set(err, ERROR_PERMANENT, "llmsim_bad_fault", "a fault marker without its end");
        if (fault_parse(at, (size_t)(end - at), ret, err) != STATUS_OK)
            return STATUS_FAILED;
        if (ret->times == 0 || seen < ret->times)
            return STATUS_OK;
        seen -= ret->times;
        at = end;
    }
    *ret = (struct fault){.latency_ms = -1, .ms = -1, .n = -1};
    return STATUS_OK;
}

void fault_rules_in_flight(struct fault_rules *rules, int64_t in_flight)
{
    if (rules != NULL)
        rules->in_flight = in_flight;
}

enum status fault_pick(struct fault_rules *rules, const char *message, int64_t seen, uint64_t number, uint64_t seed,
                       struct fault *ret, struct error *err)
{
    if (marker_pick(message, seen, ret, err) != STATUS_OK)
        return STATUS_FAILED;
    if (ret->name[0] != '\0' || rules == NULL)
        return STATUS_OK;

    for (size_t i = 0; i < rules->count; i++) {
        const struct fault *f = &rules->rule[i].fault;
        if (number <= (uint64_t)f->after || (f->times > 0 && rules->rule[i].used >= f->times))
            continue;
        if (f->match[0] != '\0' && strstr(message, f->match) == NULL)
            continue;
        if (f->above > 0 && rules->in_flight <= f->above)
            continue;
        if (f->rate < 1 && fault_random(seed, number, 100 + i) >= f->rate)
            continue;
        rules->rule[i].used++;
        *ret = *f;
        return STATUS_OK;
    }
    return STATUS_OK;
}
