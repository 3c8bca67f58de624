#include "llm/failure_kind.h"

static const struct {
    const char *name;
    enum error_class class;
    enum failure_weight weight;
    bool questions;
} kinds[FAILURE_KINDS] = {
    [FAILURE_NONE] = {"none", ERROR_RETRIABLE, WEIGHS_NOTHING, false},
    [FAILURE_REQUEST] = {"request", ERROR_PERMANENT, WEIGHS_FOR, true},
    [FAILURE_TOO_LONG] = {"too_long", ERROR_PERMANENT, WEIGHS_FOR, true},
    [FAILURE_CONTENT] = {"content", ERROR_PERMANENT, WEIGHS_FOR, true},
    [FAILURE_ANSWER] = {"answer", ERROR_RETRIABLE, WEIGHS_NOTHING, false},
    [FAILURE_ACCESS] = {"access", ERROR_PERMANENT, WEIGHS_EACH_TIME, false},
    [FAILURE_BILLING] = {"billing", ERROR_PERMANENT, WEIGHS_EACH_TIME, false},
    [FAILURE_MODEL] = {"model", ERROR_PERMANENT, WEIGHS_EACH_TIME, false},
    [FAILURE_RATE] = {"rate", ERROR_RETRIABLE, WEIGHS_EACH_TIME, false},
    [FAILURE_GONE] = {"gone", ERROR_UNAVAILABLE, WEIGHS_EACH_TIME, false},
    [FAILURE_OVERLOAD] = {"overload", ERROR_UNAVAILABLE, WEIGHS_ONCE, false},
    [FAILURE_TIMEOUT] = {"timeout", ERROR_RETRIABLE, WEIGHS_ONCE, false},
    [FAILURE_SERVER] = {"server", ERROR_RETRIABLE, WEIGHS_ONCE, false},
};

const char *failure_kind_name(enum failure_kind kind)
{
    return kinds[kind].name;
}

enum failure_kind failure_kind_of_status(int http_status)
{
    switch (http_status) {
    case 402: return FAILURE_BILLING;
    case 401:
    case 403:
    case 405: return FAILURE_ACCESS;
    case 407: return FAILURE_GONE; /* from a proxy: the request didn't reach the provider */
    case 404:
    case 410: return FAILURE_MODEL;
    case 408:
    case 409: /* OpenAI: a lock couldn't be acquired */
    case 425:
    case 499: /* the gateway's own client has left */
    case 504: return FAILURE_TIMEOUT;
    case 413: return FAILURE_TOO_LONG;
    case 424: return FAILURE_SERVER; /* TGI: its generation failed */
    case 429: return FAILURE_RATE;
    case 451: return FAILURE_CONTENT;
    case 501: return FAILURE_REQUEST; /* llama.cpp: the server doesn't support that */
    case 503:
    case 529: return FAILURE_OVERLOAD;
    default: return http_status >= 500 ? FAILURE_SERVER : http_status >= 400 ? FAILURE_REQUEST : FAILURE_ACCESS; /* a redirection: a wrong address */
    }
}

enum error_class failure_class(enum failure_kind kind)
{
    return kinds[kind].class;
}

bool failure_is_the_questions(enum failure_kind kind)
{
    return kinds[kind].questions;
}

enum failure_weight failure_weight(enum failure_kind kind, const struct failure_job *job)
{
    if ((kind == FAILURE_MODEL && job->named_model) || (kind == FAILURE_TIMEOUT && job->out_of_time))
        return WEIGHS_NOTHING;
    if (kinds[kind].weight == WEIGHS_EACH_TIME && job->may_be_quoted)
        return WEIGHS_ONCE;
    return kinds[kind].weight;
}
