#include "stats.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/clock.h"

#define MESSAGES_MAX 2000000
#define MESSAGE_CHARS_MAX (INT64_C(512) << 20)
#define KEPT_BYTES_MAX (INT64_C(64) << 20)

struct message_count {
    char *message;
    int64_t requests, answered, aborted;
};

struct kept_request {
    uint64_t number; /* 0: empty slot */
    char *head, *body;
    size_t body_size;
};

static int message_compare(const void *a, const void *b)
{
    return strcmp(((const struct message_count *)a)->message, ((const struct message_count *)b)->message);
}

static void message_free(void *node)
{
    struct message_count *count = node;
    free(count->message);
    free(count);
}

static void kept_clear(struct stats *stats, struct kept_request *kept)
{
    stats->kept_bytes -= (int64_t)kept->body_size;
    free(kept->head);
    free(kept->body);
    *kept = (struct kept_request){0};
}

static void clear(struct stats *stats)
{
    tdestroy(stats->by_message, message_free);
    for (size_t i = 0; i < stats->keep_max; i++)
        kept_clear(stats, &stats->kept[i]);
    json_decref(stats->faults);
}

void stats_init(struct stats *stats, size_t keep_max)
{
    *stats = (struct stats){.keep_max = keep_max,
                            .kept = xcalloc(keep_max, sizeof(struct kept_request)),
                            .faults = json_object(),
                            .started_ms = clock_mono_ms()};
}

void stats_finish(struct stats *stats)
{
    clear(stats);
    free(stats->kept);
    *stats = (struct stats){0};
}

void stats_reset(struct stats *stats)
{
    clear(stats);
    *stats = (struct stats){.keep_max = stats->keep_max,
                            .kept = stats->kept,
                            .faults = json_object(),
                            .in_flight = stats->in_flight,
                            .in_flight_max = stats->in_flight,
                            .held = stats->held,
                            .connections_open = stats->connections_open,
                            .contexts_in_flight = stats->contexts_in_flight,
                            .contexts_in_flight_max = stats->contexts_in_flight,
                            .started_ms = clock_mono_ms()};
}

void stats_fault(struct stats *stats, const char *name)
{
    json_int_t before = json_integer_value(json_object_get(stats->faults, name));
    json_object_set_new(stats->faults, name, json_integer(before + 1));
}

int64_t stats_message(struct stats *stats, const char *message, struct message_count **ret)
{
    struct message_count key = {.message = (char *)(uintptr_t)message};
    struct message_count **found = tfind(&key, &stats->by_message, message_compare);
    *ret = NULL;
    if (found == NULL) {
        int64_t length = (int64_t)strlen(message);
        if (stats->messages == MESSAGES_MAX || stats->message_chars_kept + length > MESSAGE_CHARS_MAX) {
            stats->messages_uncounted++;
            return 0;
        }
        struct message_count *count = xcalloc(1, sizeof(*count));
        count->message = xstrdup(message);
        found = tsearch(count, &stats->by_message, message_compare);
        if (found == NULL)
            abort();
        stats->messages++;
        stats->message_chars_kept += length;
    }
    *ret = *found;
    return (*ret)->requests++;
}

void stats_message_event(struct message_count *count, enum message_event event)
{
    if (count == NULL)
        return;
    if (event == MESSAGE_ANSWERED)
        count->answered++;
    else if (event == MESSAGE_ABORTED)
        count->aborted++;
}

void stats_keep(struct stats *stats, uint64_t number, char *head, char *body, size_t body_size)
{
    if (stats->keep_max == 0) {
        free(head);
        free(body);
        return;
    }
    struct kept_request *slot = &stats->kept[stats->kept_next];
    stats->kept_next = (stats->kept_next + 1) % stats->keep_max;
    kept_clear(stats, slot);
    *slot = (struct kept_request){.number = number, .head = head, .body = body, .body_size = body_size};
    stats->kept_bytes += (int64_t)body_size;
    /* Over the bound: the oldest go, but never the newest. */
    for (size_t i = stats->kept_next; stats->kept_bytes > KEPT_BYTES_MAX && &stats->kept[i] != slot;
         i = (i + 1) % stats->keep_max)
        kept_clear(stats, &stats->kept[i]);
}

static char *dumped(json_t *json)
{
    char *text = json_dumps(json, JSON_COMPACT | JSON_SORT_KEYS);
    json_decref(json);
    return text != NULL ? text : xstrdup("{}");
}

static json_t *message_json(const struct message_count *count)
{
    return json_pack("{s:I, s:I, s:I}", "requests", (json_int_t)count->requests, "answered", (json_int_t)count->answered,
                     "aborted", (json_int_t)count->aborted);
}

char *stats_json(const struct stats *stats, const char *message)
{
    json_t *json = json_object();
    const struct {
        const char *name;
        int64_t value;
    } counters[] = {
        {"requests", stats->requests},
        {"in_flight", stats->in_flight},
        {"in_flight_max", stats->in_flight_max},
        {"held", stats->held},
        {"answered", stats->answered},
        {"broken_by_sim", stats->broken_by_sim},
        {"aborted_by_client", stats->aborted_by_client},
        {"unauthorized", stats->unauthorized},
        {"overflows", stats->overflows},
        {"connections", stats->connections},
        {"connections_open", stats->connections_open},
        {"contexts", stats->contexts},
        {"contexts_in_flight", stats->contexts_in_flight},
        {"contexts_in_flight_max", stats->contexts_in_flight_max},
        {"contexts_aborted", stats->contexts_aborted},
        {"messages", stats->messages},
        {"messages_uncounted", stats->messages_uncounted},
        {"elapsed_ms", clock_mono_ms() - stats->started_ms},
    };
    for (size_t i = 0; i < sizeof(counters) / sizeof(counters[0]); i++)
        json_object_set_new(json, counters[i].name, json_integer(counters[i].value));
    json_object_set(json, "faults", stats->faults);
    if (message != NULL) {
        struct message_count key = {.message = (char *)(uintptr_t)message};
        struct message_count **found = tfind(&key, &stats->by_message, message_compare);
        json_object_set_new(json, "message", message_json(found != NULL ? *found : &key));
    }
    return dumped(json);
}

static void add_message(const void *node, VISIT visit, void *all)
{
    if (visit != postorder && visit != leaf)
        return;
    const struct message_count *count = *(struct message_count *const *)node;
    json_object_set_new(all, count->message, message_json(count));
}

char *stats_messages_json(const struct stats *stats)
{
    json_t *all = json_object();
    twalk_r(stats->by_message, add_message, all);
    return dumped(all);
}

/* The request's lines as an object with lower-case names. */
static json_t *headers_json(const char *head)
{
    json_t *headers = json_object();
    AUTO_FREE char *copy = xstrdup(head);
    char *save = NULL;
    strtok_r(copy, "\r\n", &save); /* the request line */
    for (char *line = strtok_r(NULL, "\r\n", &save); line != NULL; line = strtok_r(NULL, "\r\n", &save)) {
        char *colon = strchr(line, ':');
        if (colon == NULL)
            continue;
        *colon = '\0';
        for (char *at = line; *at != '\0'; at++)
            if (*at >= 'A' && *at <= 'Z')
                *at = (char)(*at - 'A' + 'a');
        json_object_set_new(headers, line, json_string(colon + 1 + strspn(colon + 1, " \t")));
    }
    return headers;
}

char *stats_requests_json(const struct stats *stats, size_t last)
{
    json_t *all = json_array();
    if (last > stats->keep_max)
        last = stats->keep_max;
    for (size_t back = last; back > 0; back--) {
        const struct kept_request *kept = &stats->kept[(stats->kept_next + stats->keep_max - back) % stats->keep_max];
        if (kept->number == 0)
            continue;
        json_t *body = json_loadb(kept->body, kept->body_size, 0, NULL);
        json_array_append_new(all, json_pack("{s:I, s:o, s:o}", "number", (json_int_t)kept->number, "headers",
                                             headers_json(kept->head), "body", body != NULL ? body : json_null()));
    }
    return dumped(all);
}
