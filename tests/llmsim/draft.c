#include "draft.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/cleanup.h"

struct dialect_values draft_values(const struct draft *c)
{
    int64_t words = c->ask->prompt_words, ctx = c->options->ctx;
    return (struct dialect_values){
        .number = c->number, .created = DRAFT_CREATED, .prompt = words, .completion = c->completion_words, .limit = ctx, .model = c->ask->model, .text = c->text,
        .word = "", .path = "", .member = "", .finish = c->finish_reason};
}

char *draft_quoted(const char *text)
{
    AUTO_JSON json_t *string = json_string(text);
    char *quotes = string == NULL ? NULL : json_dumps(string, JSON_ENCODE_ANY);
    if (quotes == NULL) /* text cut inside a character */
        return xstrdup("\"\"");
    return quotes;
}

char *draft_usage(const struct draft *c)
{
    return xasprintf("{\"prompt_tokens\":%" PRId64 ",\"completion_tokens\":%" PRId64 ",\"total_tokens\":%" PRId64 "}",
                     c->ask->prompt_words, c->completion_words, c->ask->prompt_words + c->completion_words);
}

bool draft_is_formed(const struct draft *c)
{
    switch (c->fault->kind) {
    case FAULT_NO_MESSAGE:
    case FAULT_NULL_CONTENT:
    case FAULT_BAD_UTF8:
    case FAULT_EMPTY_CHOICES:
    case FAULT_NO_USAGE:
    case FAULT_HUGE:
    case FAULT_NOT_JSON:
        return false;
    default:
        return c->dialect != NULL;
    }
}
