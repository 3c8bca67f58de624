/* A job and its session's history, the first line of the input the job and each other one a history element: the request
 * is one JSON object with messages, and the turn that would be stored can be read again. */
#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "llm/llm_request.h"
#include "wire/history_turn.h"
#include "wire/job.h"

#define TURNS_MAX 20

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_FREE char *text = strndup((const char *)data, size);
    char *turns[TURNS_MAX], *rest = text;
    size_t count = 0;
    char *first = strsep(&rest, "\n");
    for (char *line; count < TURNS_MAX && (line = strsep(&rest, "\n")) != NULL;)
        turns[count++] = line;
    char topic[] = "jobs";
    struct record record = {.topic = topic, .value = first, .value_size = strlen(first)};
    struct job_limits limits = {.bytes_max = 65536, .depth_max = JOB_DEPTH_MAX};
    struct job job;
    struct error err;
    if (job_decode(&record, &limits, &job, &err) == STATUS_OK) {
        char name[] = "main", model[] = "m", params[] = "{\"temperature\":0.10,\"stop\":[\"x\"]}";
        struct provider_settings provider = {.name = name, .model = model, .params = params};
        struct llm_request_parts parts = {.provider = &provider, .turns = turns, .turn_count = count, .history_bytes_max = 4096, .job = &job};
        AUTO_FREE char *body = llm_request_encode(&parts);
        AUTO_JSON json_t *request = json_loads(body, JSON_REJECT_DUPLICATES, NULL);
        if (request == NULL || !json_is_array(json_object_get(request, "messages")))
            abort();
        AUTO_JSON json_t *answer = json_pack("{s:s,s:s}", "role", "assistant", "content", "x");
        AUTO_FREE char *turn = history_turn_encode(&job, answer, false); /* "x" is something */
        AUTO_JSON json_t *stored = json_loads(turn, 0, NULL);
        if (stored == NULL)
            abort();
    }
    job_finish(&job);
    return 0;
}
