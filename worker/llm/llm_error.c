#include "llm/llm_error.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "llm/refusal.h"

static const char *text_at(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text != NULL && text[0] != '\0' ? text : NULL;
}

static void tell(int http_status, struct refusal *refusal, struct llm_failure *failure, struct error *err)
{
    const char *kind = failure_kind_name(refusal->kind), *hint = refusal_hint(refusal, http_status);
    if (http_status != 0)
        error_set(err, failure_class(refusal->kind), refusal->code, "HTTP %d, %s (%s): %s", http_status, refusal->code, kind, hint);
    else
        error_set(err, failure_class(refusal->kind), refusal->code, "an error inside an HTTP 200, %s (%s): %s", refusal->code, kind, hint);
    if (failure == NULL)
        return;
    failure->kind = refusal->kind;
    failure->n_ctx = refusal->n_ctx;
    failure->n_prompt = refusal->n_prompt;
    failure->unexplained = refusal->unexplained;
    failure->may_be_quoted = refusal->may_be_quoted;
    failure->evidence = refusal->evidence;
    failure->reset = refusal->reset;
    if (failure->retry_after_ms < 0)
        failure->retry_after_ms = refusal->wait_ms;
    if (failure->said != NULL) {
        free(failure->said->message);
        failure->said->message = steal_ptr(&refusal->message);
    }
}

static struct refusal_facts facts_of(int http_status, const struct llm_failure *failure)
{
    return (struct refusal_facts){.http_status = http_status, .header_wait_ms = failure != NULL ? failure->retry_after_ms : -1};
}

static const char *const *secrets_of(const struct llm_failure *failure)
{
    return failure != NULL && failure->said != NULL ? failure->said->secrets : NULL;
}

void llm_error_classify(int http_status, const char *body, size_t size, struct llm_failure *failure, struct error *err)
{
    struct refusal refusal;
    struct refusal_facts facts = facts_of(http_status, failure);
    refusal_read(&facts, body, size, secrets_of(failure), &refusal);
    tell(http_status, &refusal, failure, err);
    refusal_finish(&refusal);
}

/* Is a code or status of a body without an answer an error, not one of success or progress? */
static bool is_bad(const json_t *code)
{
    static const char *const good[] = {"", "0", "200", "ok", "success", "succeeded", "pending", "processing", "queued", "running", "in_progress", "completed", NULL};
    for (const char *const *g = good; json_is_string(code) && *g != NULL; g++)
        if (strcasecmp(json_string_value(code), *g) == 0)
            return false;
    return json_is_string(code) || (json_is_integer(code) && json_integer_value(code) != 0 && json_integer_value(code) != 200);
}

/* Recurses as deep as it is nested (JSON_DEPTH_MAX). */
bool llm_error_is_filled(const json_t *value)
{
    const char *name;
    json_t *member, *code = json_object_get(value, "code");
    if (code != NULL && !json_is_null(code) && json_string_length(code) + json_is_integer(code) > 0 && !is_bad(code))
        return false;
    json_object_foreach((json_t *)(uintptr_t)value, name, member)
        if (llm_error_is_filled(member) || (json_is_number(member) && json_number_value(member) != 0))
            return true;
    return json_is_true(value) || json_array_size(value) > 0 || json_string_length(value) > 0;
}

bool llm_error_is_in_200(const json_t *root)
{
    if (json_is_array(root))
        root = json_array_get(root, 0);
    const char *object = text_at(root, "object"), *type = text_at(root, "type");
    const json_t *minimax = json_object_get(json_object_get(root, "base_resp"), "status_code");
    if (llm_error_is_filled(json_object_get(root, "error")) || (object != NULL && strcmp(object, "error") == 0) || (type != NULL && strcmp(type, "error") == 0))
        return true;
    if (json_is_integer(minimax) && json_integer_value(minimax) != 0)
        return true;
    if (json_array_size(json_object_get(root, "choices")) > 0)
        return false;
    bool coded = is_bad(json_object_get(root, "code")) || is_bad(json_object_get(root, "status"));
    bool worded = text_at(root, "message") != NULL || text_at(root, "msg") != NULL;
    bool blocked = llm_error_is_filled(json_object_get(root, "promptFeedback")) || llm_error_is_filled(json_object_get(root, "prompt_feedback")); /* Google's */
    return blocked || json_is_false(json_object_get(root, "success")) || llm_error_is_filled(json_object_get(root, "errors")) || llm_error_is_filled(json_object_get(root, "detail")) ||
           json_object_get(root, "error_code") != NULL || text_at(root, "error_msg") != NULL || (coded && worded);
}

enum status llm_error_in_200(const json_t *root, struct llm_failure *failure, struct error *err)
{
    struct refusal refusal;
    struct refusal_facts facts = facts_of(0, failure);
    refusal_read_json(&facts, root, secrets_of(failure), &refusal);
    tell(0, &refusal, failure, err);
    refusal_finish(&refusal);
    return STATUS_FAILED;
}
