/* A provider's response: the first byte picks the status, the rest is the body. Gives an answer, or an error with a class. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "llm/llm_error.h"
#include "llm/llm_response.h"
#include "llm/refusal.h"
#include "llm/retry_policy.h"
#include "wire/job_scan.h"
#include "wire/json_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const int statuses[] = {200, 400, 401, 402, 404, 408, 413, 422, 424, 429, 500, 503, 529};
    if (size == 0)
        return 0;
    AUTO_FREE char *body = malloc(size);
    memcpy(body, data + 1, size - 1);
    int status = statuses[data[0] % (sizeof statuses / sizeof *statuses)];
    struct llm_failure failure = {.retry_after_ms = -1, .should_retry = -1};
    struct error err = {0};
    if (status == 200) {
        struct llm_answer answer = {0};
        if (llm_response_decode(body, size - 1, &answer, &failure, &err) == STATUS_OK) {
            AUTO_FREE char *written = answer.message != NULL ? json_dumps(answer.message, 0) : NULL;
            if (written == NULL || !json_text_is_valid(written, strlen(written)))
                abort(); /* every accepted answer can be written as JSON */
        }
        llm_answer_finish(&answer);
    } else {
        static const char *const secrets[] = {"the-key", NULL};
        struct llm_said said = {.secrets = secrets};
        failure.said = &said;
        llm_error_classify(status, body, size - 1, &failure, &err);
        if (err.class == ERROR_NONE || err.code[0] == '\0' || failure.kind == FAILURE_NONE)
            abort();
        if (said.message != NULL && (strlen(said.message) > REFUSAL_MESSAGE_BYTES_MAX || strstr(said.message, secrets[0]) != NULL ||
                                     utf8_invalid_at(said.message, strlen(said.message)) != SCAN_NOWHERE))
            abort();
        free(said.message);
    }
    AUTO_FREE char *header = strndup(body, size - 1);
    if (retry_after_parse(header, NULL, 1) < -1 || retry_after_parse(NULL, header, 1) < -1)
        abort();
    return 0;
}
