#include "context.h"

#include <errno.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "base/alloc.h"
#include "base/cleanup.h"

#define LATENCY_MS_MAX 3600000
#define BYTES_MAX (INT64_C(64) << 20)

/* The key's number; absent: *ret keeps its default. */
static enum status take_number(struct evkeyvalq *query, const char *key, int64_t min, int64_t max, int64_t *ret, struct error *err)
{
    const char *text = evhttp_find_header(query, key);
    if (text == NULL)
        return STATUS_OK;
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || value < min || value > max)
        return error_set(err, ERROR_PERMANENT, "llmsim_bad_context", "%s: '%s' is not a whole number from %lld to %lld", key, text,
                         (long long)min, (long long)max);
    *ret = value;
    return STATUS_OK;
}

/* Owned; absent: NULL. Invalid UTF-8 can't be in JSON: it becomes "?". */
static char *take_text(struct evkeyvalq *query, const char *key)
{
    const char *text = evhttp_find_header(query, key);
    if (text == NULL)
        return NULL;
    AUTO_JSON json_t *string = json_string(text);
    return xstrdup(string != NULL ? text : "?");
}

static char *decoded(const char *path)
{
    AUTO_FREE char *name = evhttp_uridecode(path, 0, NULL);
    AUTO_JSON json_t *string = name != NULL ? json_string(name) : NULL;
    return string != NULL ? steal_ptr(&name) : xstrdup("?");
}

enum status context_parse(const char *path, const char *query, struct context_ask *ret, struct error *err)
{
    struct evkeyvalq pairs;
    TAILQ_INIT(&pairs);
    if (query[0] != '\0')
        evhttp_parse_query_str(query, &pairs);
    struct context_ask ask = {0};
    int64_t status = 200, json = 0;
    enum status good = STATUS_FAILED;
    if (take_number(&pairs, "latency", 0, LATENCY_MS_MAX, &ask.latency_ms, err) == STATUS_OK &&
        take_number(&pairs, "bytes", 0, BYTES_MAX, &ask.bytes, err) == STATUS_OK &&
        take_number(&pairs, "status", 200, 599, &status, err) == STATUS_OK && take_number(&pairs, "json", 0, 1, &json, err) == STATUS_OK) {
        ask.name = decoded(path);
        ask.session = take_text(&pairs, "session");
        ask.user = take_text(&pairs, "user");
        ask.text = take_text(&pairs, "text");
        ask.status = (int)status;
        ask.json = json == 1;
        *ret = ask;
        good = STATUS_OK;
    }
    evhttp_clear_headers(&pairs);
    return good;
}

void context_finish(struct context_ask *ask)
{
    free(ask->name);
    free(ask->session);
    free(ask->user);
    free(ask->text);
    *ask = (struct context_ask){0};
}

static const char *or_none(const char *text)
{
    return text != NULL ? text : "";
}

static char *body_of(const struct context_ask *ask)
{
    if (ask->text != NULL)
        return xstrdup(ask->text);
    if (!ask->json)
        return xasprintf("context %s session=%s user=%s", ask->name, or_none(ask->session), or_none(ask->user));
    AUTO_JSON json_t *json = json_pack("{s:s, s:s, s:s}", "context", ask->name, "session", or_none(ask->session), "user", or_none(ask->user));
    char *text = json_dumps(json, JSON_COMPACT);
    return text != NULL ? text : xstrdup("{}");
}

void context_answer(struct script *ret, const struct context_ask *ask)
{
    AUTO_FREE char *body = body_of(ask);
    size_t size = strlen(body), wanted = (size_t)ask->bytes;
    if (size < wanted) { /* spaces: JSON stays JSON */
        body = xrealloc(body, wanted + 1);
        memset(body + size, ' ', wanted - size);
        body[wanted] = '\0';
        size = wanted;
    }
    answer_typed(ret, ask->latency_ms, ask->status, ask->json ? "application/json" : "text/plain; charset=utf-8", body, size);
}
