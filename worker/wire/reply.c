#include "wire/reply.h"

#include <stdbool.h>

#include "base/cleanup.h"
#include "wire/json_writer.h"

static void write_count(struct json_writer *reply, const char *name, int64_t count)
{
    if (count < 0)
        json_write_null(reply, name);
    else
        json_write_int(reply, name, count);
}

static void write_head(struct json_writer *reply, const struct job *job, const char *status)
{
    json_write_open(reply, NULL);
    json_write_text(reply, "job", job->id);
    json_write_text(reply, "session", job->session);
    json_write_text(reply, "status", status);
}

static void write_tail(struct json_writer *reply, const struct job *job, int attempts, const struct reply_timing *timing)
{
    json_write_int(reply, "attempts", attempts);
    json_write_open(reply, "timing_ms");
    json_write_int(reply, "queued", timing->queued_ms);
    json_write_int(reply, "context", timing->context_ms);
    json_write_int(reply, "llm", timing->llm_ms);
    json_write_int(reply, "total", timing->total_ms);
    json_write_close(reply);
    if (job->metadata != NULL)
        json_write_raw(reply, "metadata", job->metadata);
    json_write_close(reply);
}

char *reply_encode_ok(const struct job *job, const struct reply_ok *ok)
{
    struct json_writer reply = {0};
    write_head(&reply, job, "ok");
    json_write_tree(&reply, "message", ok->message);
    json_write_text(&reply, "finish_reason", ok->finish_reason);
    json_write_text(&reply, "model", ok->model);
    json_write_text(&reply, "provider", ok->provider);
    json_write_open(&reply, "usage");
    write_count(&reply, "prompt_tokens", ok->usage.prompt_tokens);
    write_count(&reply, "completion_tokens", ok->usage.completion_tokens);
    write_count(&reply, "total_tokens", ok->usage.total_tokens);
    json_write_close(&reply);
    if (ok->history_left_out > 0)
        json_write_int(&reply, "history_left_out", (int64_t)ok->history_left_out);
    write_tail(&reply, job, ok->attempts, &ok->timing);
    return reply.text;
}

char *reply_encode_error(const struct job *job, const struct error *why, const char *provider, const char *provider_message, int attempts,
                         const struct reply_timing *timing)
{
    /* Retriable is for the sender: the same job, sent again under a new id, may succeed. */
    bool retriable = why->class == ERROR_RETRIABLE || why->class == ERROR_UNAVAILABLE;
    struct json_writer reply = {0};
    write_head(&reply, job, why->class == ERROR_CANCELLED ? "cancelled" : "error");
    json_write_open(&reply, "error");
    json_write_text(&reply, "type", error_class_name(why->class));
    json_write_text(&reply, "code", why->code);
    json_write_text(&reply, "message", why->message);
    json_write_text(&reply, "provider", provider);
    if (provider_message != NULL)
        json_write_text(&reply, "provider_message", provider_message);
    json_write_bool(&reply, "retriable", retriable);
    json_write_close(&reply);
    write_tail(&reply, job, attempts, timing);
    return reply.text;
}

enum status reply_decode(const void *value, size_t size, struct reply_view *ret_view, struct error *err)
{
    json_error_t fault;
    if (value == NULL || size == 0)
        return error_set(err, ERROR_PERMANENT, "empty_value", "the reply is empty");
    AUTO_JSON json_t *root = json_loadb(value, size, JSON_ALLOW_NUL, &fault);
    if (root == NULL)
        return error_set(err, ERROR_PERMANENT, "invalid_json", "the reply is not JSON at byte %d", fault.position);
    const json_t *error = json_object_get(root, "error");
    struct reply_view view = {
        .job = json_string_value(json_object_get(root, "job")),
        .status = json_string_value(json_object_get(root, "status")),
        .content = json_string_value(json_object_get(json_object_get(root, "message"), "content")),
        .finish_reason = json_string_value(json_object_get(root, "finish_reason")),
        .error_code = json_string_value(json_object_get(error, "code")),
        .error_message = json_string_value(json_object_get(error, "message")),
        .provider_message = json_string_value(json_object_get(error, "provider_message")),
    };
    if (view.job == NULL || view.status == NULL)
        return error_set(err, ERROR_PERMANENT, "invalid_member", "the reply's %s is missing or not a string",
                         view.job == NULL ? "job" : "status");
    view.root = steal_ptr(&root);
    *ret_view = view;
    return STATUS_OK;
}
