#include "llm/llm_finish.h"

#include "base/cleanup.h"
#include "llm/finish_reason.h"
#include "llm/llm_error.h"

static void set_kind(struct llm_failure *failure, enum failure_kind kind)
{
    if (failure != NULL)
        failure->kind = kind;
}

static bool says_nothing(const json_t *message)
{
    return json_string_length(json_object_get(message, "content")) == 0 && json_array_size(json_object_get(message, "content")) == 0 &&
           json_array_size(json_object_get(message, "tool_calls")) == 0;
}

enum status llm_finish_check(const struct llm_finish *finish, struct llm_failure *failure, struct error *err)
{
    const json_t *message = finish->message;
    enum finish end = finish_reason_look(finish->reason);
    if (llm_error_is_filled(finish->error)) {
        AUTO_JSON json_t *root = json_pack("{s:O}", "error", finish->error);
        return llm_error_in_200(root, failure, err);
    }
    if (finish->native != NULL && (finish->reason == NULL || finish->reason[0] == '\0' || (end == FINISH_GOOD && says_nothing(message))))
        end = finish_reason_look(finish->native);
    if (end == FINISH_BROKEN) {
        set_kind(failure, FAILURE_SERVER);
        return error_set(err, ERROR_RETRIABLE, "generation_failed", "the provider broke its answer off: finish_reason says so");
    }
    if (end == FINISH_CONTENT && message == NULL) {
        set_kind(failure, FAILURE_CONTENT);
        return error_set(err, ERROR_PERMANENT, "content_filter", "the provider's content filter refused the answer, and sent no message");
    }
    if (end == FINISH_TOO_LONG && says_nothing(message)) {
        set_kind(failure, FAILURE_TOO_LONG);
        return error_set(err, ERROR_PERMANENT, "context_length_exceeded", "the conversation is longer than the model's context, says finish_reason");
    }
    return STATUS_OK;
}
