#include "settings/provider_headers.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/cleanup.h"

#define WHY_SIZE 160
#define FAIL(why, ...) (snprintf((why), WHY_SIZE, __VA_ARGS__), STATUS_FAILED)
#define SHOWN 60 /* characters of a name */

/* Headers that the worker and libcurl set, and those of the connection. */
static const char *const workers_own[] = {"Accept", "Accept-Encoding", "Connection", "Content-Length", "Content-Type", "Expect", "Host",
                                          "Keep-Alive", "Proxy-Connection", "TE", "Trailer", "Transfer-Encoding", "Upgrade"};
static const char *const of_keys[] = {"Authorization", "api-key"};

#define IS_ONE_OF(name, list) is_one_of(name, list, sizeof(list) / sizeof *(list))

static bool is_one_of(const char *name, const char *const *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcasecmp(name, list[i]) == 0)
            return true;
    return false;
}

/* The length of the token at its beginning (RFC 9110, 5.6.2). */
static size_t token_length(const char *text)
{
    return strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-.^_`|~");
}

static bool has_control(const char *value)
{
    for (; *value != '\0'; value++)
        if (((unsigned char)*value < 0x20 && *value != '\t') || *value == 0x7f)
            return true;
    return false;
}

/* White space around a value isn't part of it (RFC 9110, 5.5): servers remove it, and echo the rest. */
static char *value_of(const json_t *text)
{
    const char *value = json_string_value(text);
    value += strspn(value, " \t");
    size_t size = strlen(value);
    while (size > 0 && (value[size - 1] == ' ' || value[size - 1] == '\t'))
        size--;
    return xmemdup0(value, size);
}

static enum status check_name(const char *name, bool has_key, char *ret_why)
{
    size_t token = token_length(name);
    if (*name == '\0')
        return FAIL(ret_why, "a name is empty; give it one, or leave it out");
    if (name[token] != '\0') /* the rest may be a value by mistake */
        return FAIL(ret_why, "a name goes on after \"%.*s\" with what none may hold; use letters, digits and - only", token < SHOWN ? (int)token : SHOWN, name);
    if (IS_ONE_OF(name, workers_own))
        return FAIL(ret_why, "%s is the worker's to set; leave it out", name);
    if (has_key && IS_ONE_OF(name, of_keys))
        return FAIL(ret_why, "%s and api_key are both given; give one of them", name);
    return STATUS_OK;
}

static enum status check_header(const struct provider_header *before, const char *name, const json_t *value, bool has_key, char *ret_why)
{
    if (check_name(name, has_key, ret_why) != STATUS_OK)
        return STATUS_FAILED;
    for (; before->name != NULL; before++)
        if (strcasecmp(before->name, name) == 0)
            return FAIL(ret_why, "%.*s is there twice (small and capital letters are the same in a header's name); leave one out", SHOWN, name);
    if (!json_is_string(value))
        return FAIL(ret_why, "%.*s: its value is no string; put it in quotes", SHOWN, name);
    if (has_control(json_string_value(value)))
        return FAIL(ret_why, "%.*s: its value holds a line break or another control character; leave that out", SHOWN, name);
    return STATUS_OK;
}

/* jansson's own message may quote a value. */
static enum status refuse_json(const char *text, const json_error_t *error, char *ret_why)
{
    if (error->position > 0 && json_error_code(error) == json_error_duplicate_key) { /* the position is behind the name's closing quote */
        const char *end = text + error->position - 1, *name = memrchr(text, '"', (size_t)(end - text));
        size_t token = token_length(name + 1); /* no longer than the name: a token contains no quote */
        return FAIL(ret_why, "%.*s is there twice; leave one out", token < SHOWN ? (int)token : SHOWN, name + 1);
    }
    return FAIL(ret_why, "is no JSON object of strings, as {\"X-Title\":\"My application\"}: see line %d, column %d of the value", error->line, error->column);
}

enum status provider_headers_read(const char *text, bool has_key, struct provider_header **ret, char ret_why[160])
{
    json_error_t error = {.line = 1, .column = 1};
    AUTO_JSON json_t *object = json_loads(text, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
    if (object == NULL)
        return refuse_json(text, &error, ret_why);
    if (!json_is_object(object))
        return FAIL(ret_why, "is no JSON object of strings, as {\"X-Title\":\"My application\"}");
    if (json_object_size(object) > PROVIDER_HEADERS_MAX)
        return FAIL(ret_why, "holds %zu headers; at most %d are possible", json_object_size(object), PROVIDER_HEADERS_MAX);
    struct provider_header *headers = xcalloc(json_object_size(object) + 1, sizeof *headers);
    size_t count = 0;
    const char *name;
    json_t *value;
    json_object_foreach (object, name, value) {
        if (check_header(headers, name, value, has_key, ret_why) != STATUS_OK) {
            provider_headers_free(headers);
            return STATUS_FAILED;
        }
        headers[count++] = (struct provider_header){xstrdup(name), value_of(value)};
    }
    *ret = headers;
    return STATUS_OK;
}

void provider_headers_free(struct provider_header *headers)
{
    for (struct provider_header *header = headers; header != NULL && header->name != NULL; header++) {
        free(header->name);
        free(header->value);
    }
    free(headers);
}
