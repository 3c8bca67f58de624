#include "routes.h"

#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "answer.h"
#include "answer_error.h"
#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "context.h"
#include "head.h"
#include "play.h"

void route_refuse(struct conn *c, int status, const char *message)
{
    c->keep_alive = false;
    answer_error(&c->script, status, "openai", NULL, message);
    play_begin(c);
}

static bool key_matches(const char *head, const char *key, const struct dialect *dialect)
{
    size_t size;
    const char *got = head_value(head, "authorization", &size);
    if (got != NULL && (dialect == NULL || !dialect->key_in_header) && size == strlen(key) + 7 && strncasecmp(got, "Bearer ", 7) == 0 && memcmp(got + 7, key, size - 7) == 0)
        return true;
    got = head_value(head, "api-key", &size);
    return got != NULL && (dialect == NULL || dialect->key_in_header) && size == strlen(key) && memcmp(got, key, size) == 0;
}

/* What a dialect's server refuses before it looks at the prompt. The name of the refusal; NULL: it is taken. */
static const char *dialect_objection(const struct server *s, const struct ask *ask, const char *segment, size_t segment_size, struct dialect_values *values)
{
    const struct dialect *dialect = s->options.plan.dialect;
    if (dialect == NULL)
        return NULL;
    if (dialect->refused != NULL && json_object_get(ask->root, dialect->refused) != NULL) {
        values->member = dialect->refused;
        return "refused-member";
    }
    const char *model = segment != NULL ? segment : ask->model;
    size_t size = segment != NULL ? segment_size : strlen(model);
    values->model = ask->model;
    bool known = !s->options.only_model || (size == strlen(s->options.model) && memcmp(model, s->options.model, size) == 0);
    return known ? NULL : "unknown-model";
}

/* segment: of the path, where a dialect has the model there; NULL: it hasn't. */
static void route_chat(struct conn *c, const char *segment, size_t segment_size)
{
    struct server *s = c->server;
    struct error err = {0};
    struct ask ask;
    if (ask_parse(c->body, c->body_size, &ask, &err) != STATUS_OK) {
        answer_error(&c->script, 400, "openai", err.code, err.message);
        return;
    }
    uint64_t number = ++s->number;
    s->stats.requests++;
    if (++s->stats.in_flight > s->stats.in_flight_max)
        s->stats.in_flight_max = s->stats.in_flight;
    c->asked = ASKED_CHAT;
    int64_t seen = stats_message(&s->stats, ask.message, &c->count);
    c->count_epoch = s->epoch;

    struct fault fault = {0};
    fault_rules_in_flight(s->rules, s->stats.in_flight);
    struct dialect_values values = {.number = number};
    const char *objection = dialect_objection(s, &ask, segment, segment_size, &values);
    if (objection != NULL && answer_refusal(&c->script, s->options.plan.dialect, objection, &values)) {
        stats_fault(&s->stats, objection);
    } else if (fault_pick(s->rules, ask.message, seen, number, s->options.plan.seed, &fault, &err) != STATUS_OK) {
        answer_error(&c->script, 400, "openai", err.code, err.message);
    } else {
        if (s->options.plan.ctx > 0 && ask.prompt_words > s->options.plan.ctx)
            s->stats.overflows++;
        else if (fault.name[0] != '\0')
            stats_fault(&s->stats, fault.name);
        answer_chat(&c->script, &s->options.plan, &ask, &fault, number, clock_wall_ms() / 1000);
        if (fault.kind == FAULT_HOLD)
            c->message = xstrdup(ask.message);
    }
    if (s->journal != NULL)
        journal_line_start(&c->line, &ask, number, &c->script, clock_wall_ms());
    ask_finish(&ask);
    stats_keep(&s->stats, number, steal_ptr(&c->head), steal_ptr(&c->body), c->body_size);
}

static void route_context(struct conn *c, const char *method, const char *path, const char *query)
{
    struct server *s = c->server;
    struct error err = {0};
    struct context_ask ask;
    if (strcmp(method, "GET") != 0) {
        answer_error(&c->script, 405, "openai", NULL, "GET only");
        return;
    }
    if (context_parse(path, query, &ask, &err) != STATUS_OK) {
        answer_error(&c->script, 400, "openai", err.code, err.message);
        return;
    }
    s->stats.contexts++;
    if (++s->stats.contexts_in_flight > s->stats.contexts_in_flight_max)
        s->stats.contexts_in_flight_max = s->stats.contexts_in_flight;
    c->asked = ASKED_CONTEXT;
    context_answer(&c->script, &ask);
    if (s->journal != NULL)
        journal_line_start_context(&c->line, &ask, clock_wall_ms());
    context_finish(&ask);
}

static void route_sim(struct conn *c, const char *method, const char *path, const char *query)
{
    struct server *s = c->server;
    struct evkeyvalq pairs;
    TAILQ_INIT(&pairs);
    if (query[0] != '\0')
        evhttp_parse_query_str(query, &pairs);
    bool get = strcmp(method, "GET") == 0;

    AUTO_FREE char *json = NULL;
    if (get && strcmp(path, "/sim/stats") == 0) {
        json = stats_json(&s->stats, evhttp_find_header(&pairs, "message"));
    } else if (get && strcmp(path, "/sim/messages") == 0) {
        json = stats_messages_json(&s->stats);
    } else if (get && strcmp(path, "/sim/requests") == 0) {
        const char *last = evhttp_find_header(&pairs, "last");
        json = stats_requests_json(&s->stats, last != NULL ? (size_t)strtoul(last, NULL, 10) : 1);
    } else if (!get && strcmp(path, "/sim/reset") == 0) {
        stats_reset(&s->stats);
        s->epoch++;
        s->number = 0;
        json = xstrdup("{}");
    } else if (!get && strcmp(path, "/sim/release") == 0) {
        json = xasprintf("{\"released\":%lld}", (long long)play_release(s, c->body != NULL ? c->body : ""));
    } else if (!get && strcmp(path, "/sim/faults") == 0) {
        struct fault_rules *rules;
        struct error err = {0};
        if (fault_rules_parse(c->body != NULL ? c->body : "", &rules, &err) == STATUS_OK) {
            fault_rules_destroy(s->rules);
            s->rules = rules;
            json = xstrdup("{}");
        } else {
            answer_error(&c->script, 400, "openai", err.code, err.message);
        }
    } else {
        answer_error(&c->script, 404, "openai", "not_found", "no such page of the simulator");
    }
    if (json != NULL)
        answer_plain(&c->script, 200, "", json);
    evhttp_clear_headers(&pairs);
}

static bool ends_with(const char *text, const char *end)
{
    size_t text_size = strlen(text), end_size = strlen(end);
    return text_size >= end_size && strcmp(text + text_size - end_size, end) == 0;
}

void route_request(struct conn *c)
{
    struct server *s = c->server;
    char method[16] = "", target[4096] = "";
    if (sscanf(c->head, "%15s %4095s", method, target) != 2) {
        route_refuse(c, 400, "the request line is not understood");
        return;
    }
    char *query = strchr(target, '?');
    if (query != NULL)
        *query++ = '\0';

    const struct dialect *dialect = s->options.plan.dialect;
    bool post = strcmp(method, "POST") == 0;
    const char *segment = NULL;
    size_t segment_size = 0;
    struct dialect_values values = {.path = target, .model = s->options.model};

    if (strncmp(target, "/sim/", 5) == 0) {
        route_sim(c, method, target, query != NULL ? query : "");
    } else if (strncmp(target, "/context/", 9) == 0) {
        route_context(c, method, target + 9, query != NULL ? query : ""); /* another service's, so to speak: no key, no loading */
    } else if (clock_mono_ms() - s->started_ms < s->options.loading_ms) {
        answer_error(&c->script, 503, "llamacpp", NULL, "Loading model");
    } else if (strcmp(target, "/health") == 0) {
        answer_plain(&c->script, 200, "", "{\"status\":\"ok\"}");
    } else if (dialect != NULL && post && !dialect_serves(dialect, target, query, &segment, &segment_size)) {
        if (!answer_refusal(&c->script, dialect, "no-such-path", &values))
            answer_error(&c->script, 404, "openai", "not_found", "no such path in this dialect (chat-llmsim --dialect list)");
    } else if (s->options.api_key != NULL && !key_matches(c->head, s->options.api_key, dialect)) {
        s->stats.unauthorized++;
        if (dialect == NULL || !answer_refusal(&c->script, dialect, "bad-key", &values))
            answer_error(&c->script, 401, "openai", NULL, "Incorrect API key provided.");
    } else if (strcmp(method, "GET") == 0 && ends_with(target, "/models")) {
        AUTO_FREE char *json = xasprintf("{\"object\":\"list\",\"data\":[{\"id\":\"%s\",\"object\":\"model\","
                                         "\"created\":1767225600,\"owned_by\":\"chat-llmsim\"}]}",
                                         s->options.model);
        answer_plain(&c->script, 200, "", json);
    } else if (ends_with(target, "/chat/completions")) {
        if (post)
            route_chat(c, segment, segment_size);
        else
            answer_error(&c->script, 405, "openai", NULL, "POST only");
    } else {
        answer_error(&c->script, 404, "openai", "not_found", "no such path");
    }
    play_begin(c);
}
