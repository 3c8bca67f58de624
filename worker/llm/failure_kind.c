#include "llm/failure_kind.h"

#include <stddef.h>
#include <string.h>

static bool is_one_of(const char *word, const char *const *words)
{
    for (; word != NULL && *words != NULL; words++)
        if (strcasecmp(word, *words) == 0)
            return true;
    return false;
}

static bool has_one_of(const char *text, const char *const *phrases)
{
    for (; text != NULL && *phrases != NULL; phrases++)
        if (strcasestr(text, *phrases) != NULL)
            return true;
    return false;
}

/* Sources: the error pages of OpenAI, Azure ("content_filter"), Alibaba ("data_inspection_failed"), Moonshot, Volcengine, Zhipu
 * ("1301"), OpenRouter and xAI; the last two use a 403. */
static const char *const content_codes[] = {"content_filter",
                                            "content_filtered",
                                            "content_policy",
                                            "content_policy_violation",
                                            "content_moderation",
                                            "content_flagged",
                                            "content_violation",
                                            "moderation",
                                            "moderation_blocked",
                                            "moderation_error",
                                            "input_flagged",
                                            "flagged",
                                            "data_inspection_failed",
                                            "DataInspectionFailed",
                                            "SensitiveContentDetected",
                                            "InputTextSensitiveContentDetected",
                                            "OutputTextSensitiveContentDetected",
                                            "ResponsibleAIPolicyViolation",
                                            "PROHIBITED_CONTENT",
                                            "prohibited_content",
                                            "unsafe_content",
                                            "safety_violation",
                                            "cyber_policy_violation",
                                            "1301",
                                            NULL};
static const char *const content_phrases[] = {"flagged",
                                              "content policy",
                                              "content_policy",
                                              "content policies",
                                              "content management policy",
                                              "content filter",
                                              "content_filter",
                                              "usage policy",
                                              "usage policies",
                                              "usage guidelines",
                                              "safety system",
                                              "safety policy",
                                              "safety policies",
                                              "prohibited content",
                                              "inappropriate content",
                                              "sensitive content",
                                              "unsafe content",
                                              "harmful content",
                                              "considered high risk",
                                              "content guidelines",
                                              "disallowed content",
                                              "\u654f\u611f",       /* Chinese: sensitive */
                                              "\u8fdd\u89c4",       /* against the rules */
                                              "\u4e0d\u5b89\u5168", /* unsafe */
                                              NULL};
/* Of a 403 alone, where the other thing that it can be about is a key: a 400 may be about a parameter of this name. Stems, and those of
 * other languages, since gateways answer in their operator's. */
static const char *const moderation_phrases[] = {"moderat",
                                                 "modere",
                                                 "moderier",
                                                 "mod\u00e9r",
                                                 "moderaci",
                                                 "moderaz",
                                                 "guardrail",
                                                 "terms of service",
                                                 "terms of use",
                                                 "acceptable use",
                                                 "hate speech",
                                                 "self-harm",
                                                 "violence",
                                                 "sexual",
                                                 "offensive",
                                                 "inappropriate",
                                                 "disallowed",
                                                 "harmful",
                                                 "unsafe",
                                                 "Inhalt",
                                                 "anst\u00f6\u00dfig",
                                                 "unangemessen",
                                                 "markiert",
                                                 "contenu",
                                                 "contenido",
                                                 "contenut",
                                                 "conte\u00fado",
                                                 "inappropri",
                                                 "inapropi",
                                                 "\u5ba1\u6838",                   /* Chinese: moderation */
                                                 "\u8fdd\u7981",                   /* forbidden */
                                                 "\u4e0d\u5f53",                   /* improper */
                                                 "\u4e0d\u9069\u5207",             /* Japanese: inappropriate */
                                                 "\u043e\u0434\u0435\u0440\u0430\u0446", /* Russian: moderation, without its capital */
                                                 NULL};
/* Members of a 403's body that say what was found in the request. */
static const char *const relayed_phrases[] = {"flagged_input", "content_filter_result", "ResponsibleAIPolicyViolation", "moderation_result", NULL};
/* Who is flagged then isn't the prompt; and a page in HTML is a gateway's. */
static const char *const not_the_content[] = {"account", "organization", "organisation", "api key", "api_key", "apikey", "ip address", "your ip", "Konto", "Zugriff", "acc\u00e8s", "acceso", "\u6743\u9650", "<html", "<!doctype", NULL};

static const char *const access_codes[] = {"invalid_api_key",     "API_KEY_INVALID",   "authentication_error", "UNAUTHENTICATED",
                                           "permission_error",    "PERMISSION_DENIED", "permission_denied",    "unsupported_country_region_territory",
                                           "invalid_organization", NULL};
static const char *const model_codes[] = {"model_not_found", "not_found_error", "model_not_available", "invalid_model", NULL};
static const char *const rate_codes[] = {"rate_limit_exceeded", "rate_limit_error", NULL};

static bool has_code(const struct refusal_words *words, const char *const *codes)
{
    return is_one_of(words->code, codes) || is_one_of(words->type, codes);
}

static bool is_about_content(int status, const struct refusal_words *words)
{
    if (has_code(words, content_codes))
        return true;
    bool may_be = status == 400 || status == 403 || status == 406 || status == 409 || status == 422 || status == 451;
    bool is = has_one_of(words->message, content_phrases) || (status == 403 && has_one_of(words->message, moderation_phrases));
    /* Gateways pass on what another has said, with words of their own for its message. */
    if (status == 403 && !is && has_one_of(words->body, relayed_phrases))
        return true;
    return may_be && is && !has_one_of(words->message, not_the_content);
}

static enum failure_kind kind_of_status(int status)
{
    switch (status) {
    case 401:
    case 402:
    case 403:
    case 405:
    case 407: return FAILURE_ACCESS;
    case 404: return FAILURE_MODEL;
    case 408:
    case 504: return FAILURE_TIMEOUT;
    case 413: return FAILURE_TOO_LONG;
    case 424: return FAILURE_SERVER; /* TGI: its generation failed */
    case 429: return FAILURE_RATE;
    case 503:
    case 529: return FAILURE_OVERLOAD;
    default: return status >= 500 ? FAILURE_SERVER : status >= 400 ? FAILURE_REQUEST : FAILURE_ACCESS; /* a redirection: not its address */
    }
}

enum failure_kind failure_kind_of_refusal(int status, const struct refusal_words *words)
{
    if (is_about_content(status, words))
        return FAILURE_CONTENT;
    if (status < 400 || status >= 500)
        return kind_of_status(status);
    if (has_code(words, access_codes))
        return FAILURE_ACCESS;
    if (has_code(words, model_codes))
        return FAILURE_MODEL;
    if (has_code(words, rate_codes))
        return FAILURE_RATE;
    return kind_of_status(status);
}

bool failure_is_the_questions(enum failure_kind kind)
{
    return kind == FAILURE_REQUEST || kind == FAILURE_TOO_LONG || kind == FAILURE_CONTENT;
}

enum failure_weight failure_weight(enum failure_kind kind, const struct failure_job *job)
{
    switch (kind) {
    case FAILURE_NONE:
    case FAILURE_ANSWER: break;
    case FAILURE_REQUEST:
    case FAILURE_TOO_LONG:
    case FAILURE_CONTENT: return WEIGHS_FOR;
    case FAILURE_MODEL: return job->named_model ? WEIGHS_NOTHING : WEIGHS_EACH_TIME;
    case FAILURE_ACCESS:
    case FAILURE_BILLING:
    case FAILURE_RATE:
    case FAILURE_GONE: return WEIGHS_EACH_TIME;
    case FAILURE_TIMEOUT: return job->out_of_time ? WEIGHS_NOTHING : WEIGHS_ONCE;
    case FAILURE_OVERLOAD:
    case FAILURE_SERVER: return WEIGHS_ONCE;
    }
    return WEIGHS_NOTHING;
}
