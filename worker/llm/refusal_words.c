#include "llm/refusal_words.h"

#include <ctype.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Where the first of "a|b" begins, from the beginning of a word on, or NULL; *ret_which is the alternative. */
static const char *first_of(const char *words, const char *alternatives, const char **ret_which)
{
    const char *first = NULL;
    while (*alternatives != '\0') {
        size_t length = strcspn(alternatives, "|");
        bool anywhere = (unsigned char)alternatives[0] >= 0x80; /* Chinese has no blanks */
        for (const char *at = words; (at = memmem(at, strlen(at), alternatives, length)) != NULL; at++) {
            if (!anywhere && (at == words || at[-1] != ' '))
                continue;
            if (first == NULL || at < first) {
                first = at;
                *ret_which = alternatives;
            }
            break;
        }
        alternatives += length + (alternatives[length] == '|');
    }
    return first;
}

bool refusal_words_have(const char *words, const char *alternatives)
{
    const char *which;
    return first_of(words, alternatives, &which) != NULL;
}

bool refusal_words_are_in(const char *text, const char *evidence)
{
    char word[32];
    while (*evidence != '\0' && *evidence != '|') {
        size_t length = strcspn(evidence, " |");
        snprintf(word, sizeof word, "%.*s", (int)length, evidence);
        if (strcasestr(text, word) == NULL)
            return false;
        evidence += length + strspn(evidence + length, " ");
    }
    return true;
}

unsigned refusal_on_status(int status)
{
    switch (status) {
    case 0: return ON_NONE;
    case 401: return ON_401;
    case 403:
    case 451: /* legal reasons; StepFun: content */
    case 498: return ON_403; /* Cohere: unsafe requests */
    case 402: return ON_402;
    case 404:
    case 410: return ON_404;
    case 413: return ON_413;
    case 424: return ON_424;
    case 429: return ON_429;
    case 503:
    case 529: return ON_503;
    default: return status >= 500 ? ON_500 : ON_400;
    }
}

/* Words for a rate in texts that also mention money. An exception's name ("RateLimitError", "throttling_error") isn't one: gateways give each 429 that name. */
#define RATE_TOLD                                                                                                                             \
    "rate limit reached|rate limit exceeded|rate limits|too many requests|per minute|per min |per second|per day|per hour|minute |tpm |rpm |rpd |tpd |qps |" \
    "requests per|tokens per|limit requests |limit tokens |limit burst rate|daily request limit|daily limit|request limit reached|concurren|slow down|too frequent|requests too fast|please wait before|"     \
    "\u9650\u6d41|\u9891\u7387|\u901f\u7387|\u5e76\u53d1|\u9891\u7e41"
#define RATE_WORDS "rate limit|ratelimit|throttl|" RATE_TOLD
/* With these words the text isn't about the prompt. */
#define NOT_THE_PROMPT                                                                                                                        \
    "account|organization|organisation|your access|access was|access has been|api key|apikey|ip address|your ip|konto|zugriff|acc\u00e8s|acceso|\u6743\u9650|unknown parameter|image url"
#define ON_REFUSED (ON_NONE | ON_400 | ON_403)

/* The first rule that matches counts: one of `some`, one of `and`, one of `then` behind the first of `some` (where there are any), and none of
 * `but`. UTF-8 for Chinese: gateways answer in their operator's language. */
static const struct rule {
    enum failure_kind kind;
    unsigned on;
    const char *some, *and, *then, *but;
    bool not_waiting; /* doesn't match if the body contains a time to wait */
} rules[] = {
    /* The prompt's content. The first rule: even if a key is mentioned, too. */
    {FAILURE_CONTENT, ON_REFUSED | ON_424, "content violat|prompt violat|input violat|output violat|content was flagged|prompt was flagged|input was flagged|failed check safety|safety check type|censor",
     NULL, NULL, "schema|grammar|constraint|format|account|organization|organisation", false},
    {FAILURE_CONTENT, ON_REFUSED | ON_424,
     "flagged|content policy|content policies|content management policy|content filter|content moderation|content safety|content security|content guidelines|usage policy|"
     "usage policies|usage guidelines|safety system|safety policy|safety policies|safety guidelines|safety filter|safety settings|safety check|"
     "prohibited content|inappropriate content|sensitive content|sensitive information|sensitive words|unsafe content|unsafe request|harmful content|"
     "disallowed content|explicit content|prompt pattern|moderation rule|triggered moderation|triggered a moderation|triggered the moderation|triggered our moderation|considered high risk|content risk|exists risk|nutzungsrichtlinie|inhaltsrichtlinie|pol\u00edtica de contenido|pol\u00edticas de contenido|politique de contenu|content violat|data inspection|responsible ai|guardrail|risk detection|"
     "\u654f\u611f|\u8fdd\u89c4|\u4e0d\u5b89\u5168|\u4e0d\u5408\u89c4|\u8fdd\u7981|\u98ce\u9669\u5185\u5bb9",
     NULL, NULL, NOT_THE_PROMPT, false},
    {FAILURE_CONTENT, ON_REFUSED | ON_424, "violat|breach|against|not permitted|not allowed|blocked|filtered|rejected|refus|detected|denied",
     "safety|moderation|moderated|policy|policies|guideline|content rules|inappropriate|harmful|unsafe|toxic|hate|sexual|violen|self harm|jailbreak|prompt injection|profanity|nsfw|"
     "terms of service|terms of use|acceptable use",
     NULL, NOT_THE_PROMPT "|data policy|privacy|admission", false},
    {FAILURE_CONTENT, ON_403 | ON_NONE,
     "moderat|modere|moderier|mod\u00e9r|moderaci|moderaz|terms of service|terms of use|acceptable use|hate speech|self harm|violence|sexual|offensive|inappropriate|disallowed|"
     "harmful|unsafe|inhalt|anst\u00f6\u00dfig|unangemessen|markiert|contenu|contenido|contenut|conte\u00fado|inappropri|inapropi|"
     "\u5ba1\u6838|\u4e0d\u5f53|\u4e0d\u9069\u5207|\u043e\u0434\u0435\u0440\u0430\u0446",
     NULL, NULL, NOT_THE_PROMPT, false},
    {FAILURE_CONTENT, ON_500, "content policy violation|violates content policy|content violat|prompt violat|blocked by guardrail|guardrail raised|prohibited content|content management policy|prompt was flagged|input was flagged",
     NULL, NULL, "unavailable|timed out|timeout|connection|" NOT_THE_PROMPT, false},

    /* The account can't pay. */
    {FAILURE_BILLING, ON_REFUSED | ON_402 | ON_404 | ON_413 | ON_429 | ON_500,
     "guthaben|solde insuffisant|saldo insuficiente|insufficient balance|insufficient account balance|insufficient credit|insufficient fund|insufficient user quota|insufficient tokens balance|balance insufficient|balance is insufficient|not enough balance|"
     "not enough credit|any credits|call volume quota|not enough money|out of credit|no credit|zero credit|credit balance|credits have been exhausted|credits exhausted|run out of credit|ran out of credit|more credits|can only afford|"
     "balance is too low|balance too low|negative balance|balance not enough|balance is not enough|payment required|payment method|billing method|payment information|billing information|valid credit card|credit card on file|credit card is required|add a credit card|add a card|past due|overdue|arrears|arrearage|in good standing|unpaid|recharge|top up|"
     "quota is not enough|quota not enough|quota has been used up|billing hard limit|billing is not|billing not|billing limit|billing must be enabled|enable billing|extra usage is required|resource pack|billing account|requires billing|add funds|add credits|purchase credits|"
     "\u4f59\u989d|\u6b20\u8d39|\u5145\u503c|\u989d\u5ea6\u4e0d\u8db3|\u989d\u5ea6\u5df2|\u7528\u5c3d\u989d\u5ea6|\u7528\u6237\u989d\u5ea6|\u8d44\u6e90\u5305",
     NULL, NULL, NULL, false},
    {FAILURE_BILLING, ON_REFUSED | ON_402 | ON_429 | ON_500, "budget", "exceed|over budget|crossed|spent|exhausted|reached|limit", NULL, "thinking|budget tokens|reasoning|token budget must|current message|prompt|context", false},
    {FAILURE_BILLING, ON_REFUSED | ON_402 | ON_429 | ON_500, "spend|spending|monthly usage|monthly limit|usage cap|hard limit|credit limit|key limit|credits|balance",
     "reach|exceed|hit |limit|exhaust|deplet|insufficient|too low|expired|used up|zero|negative|ran out|run out|not enough|add funds", NULL, RATE_TOLD, true},
    {FAILURE_BILLING, ON_REFUSED | ON_429, "exceeded your current quota|exceeded current quota|current quota", NULL, NULL, RATE_TOLD "|metric|allocated quota", true},
    {FAILURE_BILLING, ON_REFUSED | ON_429, "free tier|free quota|free trial|trial|subscription|free allocated quota",
     "exhaust|used up|ended|expired|past due|not active|inactive|required|exceeded|cancel", NULL, RATE_TOLD "|authorized to|access is denied", true},
    {FAILURE_BILLING, ON_REFUSED, "usage limit|api usage limits|quota", "reached|exceed|exhaust|insufficient|\u7528\u5c3d", NULL, RATE_WORDS "|reset|try again|allocated quota|metric|resource", true},

    /* The account's rate. */
    {FAILURE_RATE, ON_NONE | ON_400 | ON_403 | ON_413 | ON_424, RATE_WORDS, NULL, NULL, NULL, false},
    {FAILURE_RATE, ON_NONE | ON_400 | ON_403, "quota|usage limit|request limit|requests limit", "retry|try again|reset|allocated|wait|metric", NULL, NULL, false},

    /* The request's length: refusal_words_too_long. */
    {FAILURE_TOO_LONG, ON_NONE | ON_400 | ON_403 | ON_413 | ON_429 | ON_500, NULL, NULL, NULL, NULL, false},

    /* Key, account, region. */
    {FAILURE_ACCESS, ON_500, "invalid api key|incorrect api key|api key not valid|api key is invalid|api key is not valid|api key expired|api key has expired|invalid apikey", NULL, NULL, NULL, false},
    {FAILURE_ACCESS, ON_NONE | ON_400,
     "api key|apikey|virtual key|api token|access token|access key|auth token|bearer token|security token|session token|secret key|subscription key|credential|authorization header|\u5bc6\u94a5|\u4ee4\u724c",
     "invalid|not valid|incorrect|wrong|expired|revoked|disabled|missing|not provided|no api key|not found|malformed|unauthor|mismatch|not active|inactive|blocked|required|rejected|does not exist|not exist|"
     "unrecognized|not recognized|provide|deleted|suspended|banned|leaked|unknown|cannot|could not|failed|\u65e0\u6548|\u8fc7\u671f|\u9519\u8bef|\u4e0d\u5b58\u5728|\u4e0d\u6b63\u786e|\u672a\u63d0\u4f9b",
     NULL, NULL, false},
    {FAILURE_ACCESS, ON_NONE | ON_400,
     "unauthorized|unauthenticated|not authenticated|authentication|authenticate|not authorized|not authorised|access denied|access is denied|permission denied|forbidden|have permission|no permission|lack permission|"
     "insufficient permission|missing permission|required permission|invalid token |token expired|token is invalid|token has expired|token is expired|token invalid |token has been expired|expired or revoked|token has been revoked|token was revoked|token revoked|invalid grant|invalid client|unauthorized client|invalid signature|"
     "\u6ca1\u6709\u6743\u9650|\u65e0\u6743\u9650|\u6743\u9650\u4e0d\u8db3|\u65e0\u6743|\u672a\u6388\u6743|\u9274\u6743|\u8eab\u4efd\u9a8c\u8bc1|\u8ba4\u8bc1\u5931\u8d25",
     NULL, NULL, "model", false},
    {FAILURE_ACCESS, ON_NONE | ON_400, "account|organization|organisation|workspace|project|your access|access was|access has been",
     "deactivated|suspended|disabled|not active|inactive|banned|blocked|restricted|frozen|terminated|revoked|closed|locked|not been activated|not activated|must be verified|not verified|unverified|"
     "\u7981\u7528|\u5c01\u7981|\u51bb\u7ed3|\u505c\u7528",
     NULL, "parameter", false},
    {FAILURE_ACCESS, ON_NONE | ON_400, "your plan|current plan|your tier|account tier|your subscription|upgrade your", "include|upgrade|not available|require|not allow|not support|doesnt support|does not|only", NULL, NULL, false},
    {FAILURE_ACCESS, ON_NONE | ON_400, "\u8d26\u6237|\u8d26\u53f7|\u5e10\u53f7|\u7528\u6237", "\u7981\u7528|\u5c01\u7981|\u51bb\u7ed3|\u505c\u7528|\u5f02\u5e38|\u9501\u5b9a", NULL, NULL, false},
    {FAILURE_ACCESS, ON_NONE | ON_400 | ON_403 | ON_404, "location|country|countries|region|territory|\u5730\u533a|\u533a\u57df",
     "not supported|unsupported|isnt supported|not available|not allowed|unavailable|restricted|not permitted|forbidden|blocked|not enabled|\u4e0d\u652f\u6301|\u4e0d\u53ef\u7528|\u9650\u5236", NULL, NULL, false},
    {FAILURE_ACCESS, ON_NONE | ON_400, "ip address|your ip|client ip|this ip|whitelist|allowlist|allow list|\u767d\u540d\u5355", "not allowed|not in|blocked|denied|restricted|forbidden|not on|\u4e0d\u5728", NULL, NULL, false},

    /* Features that the request uses, where by the status it would be the model's fault, or the server's. */
    {FAILURE_REQUEST, ON_NONE | ON_400 | ON_403 | ON_404, "endpoints found|providers found|no endpoints|no providers|no provider ", NULL,
     "that support|that can handle|supporting|image|audio|video|file|tool use|tool calling|tools|requested parameters|response format|structured output", "model not|data policy", false},
    {FAILURE_REQUEST, ON_404, "deprecated|no longer supported|no longer available|been removed|was removed", "search|parameter|feature|tool|function|option", NULL, "model|endpoint|deployment|version|engine|route|url|api has|not found", false},
    {FAILURE_REQUEST, ON_NONE | ON_500, "image|audio|video|file|multimodal|mmproj|vision|tool|tools|function|response format|json schema|grammar|parameter|param|logprobs|embeddings", NULL,
     "not supported|not support|unsupported|isnt supported|doesnt support|requires jinja|requires enable|not implemented", "temporarily|try again|cuda|kernel|driver|hardware|device|connection", false},

    /* The provider's models. */
    {FAILURE_MODEL, ON_NONE | ON_400 | ON_403,
     "unknown model|invalid model|no such model|unsupported model|no models loaded|no model loaded|model is not loaded|failed to load model|error loading model|could not load model|non serverless model|pulling it first|"
     "no endpoints found|could not route to|model access is denied|no available channel|no allowed providers|model not found|models not found|model does not exist|model doesnt exist|model not exist|model is not found|"
     "model name is invalid|not a valid model|no model named|model identifier is invalid|model id is invalid|\u65e0\u53ef\u7528\u6e20\u9053|\u6a21\u578b\u4e0d\u5b58\u5728|\u6a21\u578b\u672a\u5f00\u901a|\u6a21\u578b\u4e0d\u53ef\u7528|\u672a\u77e5\u6a21\u578b",
     NULL, NULL, NULL, false},
    {FAILURE_MODEL, ON_NONE | ON_400, "api version", "unsupported|not supported|invalid|missing|required|retired|unknown|not valid", NULL, "parameter|tool|response format|enabled only|message|image|field", false},
    {FAILURE_MODEL, ON_NONE | ON_400 | ON_403, "have access to|has access to|no access to|access to model|access to the model|access to this model", "model", NULL, NULL, false},
    {FAILURE_MODEL, ON_NONE | ON_400 | ON_403, "could not find|couldnt find|cannot find|unable to find|not find|unrecognized|unrecognised|dedicated deployment|dedicated endpoint", "model|deployment|endpoint", NULL,
     "parameter|argument|field|tool|file|image|message ", false},
    {FAILURE_MODEL, ON_NONE | ON_400 | ON_403, "model|deployment|endpoint|inference profile|engine", NULL,
     "not found|does not exist|doesnt exist|do not exist|not exist|not available|unavailable|isnt available|no longer|deprecated|decommissioned|retired|sunset|shut down|not supported|isnt supported|unsupported|not loaded|not deployed|"
     "not open|not activated|not been activated|have access to|no access|not enabled|isnt enabled|not a valid|is invalid|not running|not accessible|disabled|not authorized|not allowed|not permitted|not entitled|not subscribed|access denied|"
     "not configured|not recognized|unknown|could not be found|cannot be found|\u4e0d\u5b58\u5728|\u672a\u5f00\u901a|\u4e0d\u53ef\u7528|\u4e0b\u7ebf|\u65e0\u6743|\u4e0d\u652f\u6301",
     "parameter|temperature|tools|tool choice|tool use|image|audio|response format|stream|schema|temporarily|overloaded|capacity|busy|try again|loading|messages|message |role|system prompt|max tokens|reasoning|function|field", false},

    /* Temporary load. */
    {FAILURE_OVERLOAD, ON_NONE | ON_400 | ON_403,
     "overloaded|overload |over capacity|at capacity|no capacity|capacity exceeded|server is busy|server busy|service busy|system busy|system is busy|temporarily unavailable|service unavailable|currently unavailable|"
     "currently loading|model is loading|loading model|\u7e41\u5fd9|\u8fc7\u8f7d|\u8d1f\u8f7d",
     NULL, NULL, NULL, false},
    {FAILURE_SERVER, ON_NONE | ON_400 | ON_403, "no healthy deployments|no deployments available|try again later|retry later|high demand|high load|heavy load|\u7a0d\u540e", NULL, NULL, NULL, false},
    {FAILURE_SERVER, ON_NONE | ON_400, "has crashed|crashed without|model crashed|model unloaded|was unloaded|has been unloaded|runner process|out of memory|segmentation fault|cuda error|terminated unexpectedly", NULL, NULL, NULL, false},
    {FAILURE_TIMEOUT, ON_NONE, "timed out|timeout|time out|deadline exceeded|\u8d85\u65f6", NULL, NULL, NULL, false},

    /* Unknown errors in a 200 or a stream: words for a malformed request. */
    {FAILURE_REQUEST, ON_NONE, "must be|must not|must have|must contain|must start|must end|should be|should not|is required|invalid param|invalid request|invalid message|invalid value|malformed|illegal|bad request|missing required|"
     "\u53c2\u6570\u9519\u8bef|\u53c2\u6570\u975e\u6cd5|\u53c2\u6570\u6709\u8bef|\u53c2\u6570\u4e0d|\u5fc5\u987b|\u4e0d\u80fd\u4e3a\u7a7a|\u4e0d\u5408\u6cd5",
     NULL, NULL, "internal|server|upstream|try again|retry|model output|function call|tool call|generat|response|memory access", false},
};

/* ---- too long ---- */

/* How many numbers of three digits or more there are, except a status or an error number. */
static size_t sizes_in(const char *words)
{
    size_t count = 0;
    for (const char *at = words; *at != '\0';) {
        size_t blank = strspn(at, " ");
        const char *word = at + blank;
        size_t length = strcspn(word, " ");
        size_t digits = strspn(word, "0123456789");
        const char *const before[] = {"code ", "status ", "error ", "http ", "errors ", "returned ", "request id "};
        bool is_status = false;
        for (size_t i = 0; i < sizeof before / sizeof before[0]; i++) {
            size_t size = strlen(before[i]);
            is_status = is_status || ((size_t)(word - words) >= size && memcmp(word - size, before[i], size) == 0);
        }
        count += length >= 3 && digits == length && !is_status;
        at = word + length;
    }
    return count;
}

static int64_t number_behind(const char *words, const char *word)
{
    const char *which, *at = first_of(words, word, &which);
    if (at == NULL)
        return -1;
    at += strcspn(at, " ");
    at += strspn(at, " ");
    return isdigit((unsigned char)*at) ? strtoll(at, NULL, 10) : -1;
}

bool refusal_words_never_fit(const char *words)
{
    int64_t limit = number_behind(words, "limit "), requested = number_behind(words, "requested ");
    return limit > 0 && requested > limit;
}

bool refusal_words_too_long(const char *words, bool strictly)
{
    /* Subjects whose length may be meant. */
    static const char subject[] = "prompt|input|context|message|request|conversation|token |tokens|body|payload|text|history|sequence|query|chat |content|entity|characters|eingabe|anfrage|nachricht|entr\u00e9e|requ\u00eate|entrada|"
                                  "\u8f93\u5165|\u63d0\u793a|\u4e0a\u4e0b\u6587|\u6d88\u606f|\u8bf7\u6c42|\u5bf9\u8bdd|\u5185\u5bb9|\u6587\u672c";
    static const char length[] = "token |tokens|context|length|character|chars|byte|size|too long|too large|too big|longer|window|words|n ctx|kb |mb |too many messages|zu lang|l\u00e4nge|zeichen|trop long|longueur|demasiado larg|longitud|"
                                 "\u957f\u5ea6|\u8fc7\u957f|\u592a\u957f|\u8d85\u957f|\u4e0a\u4e0b\u6587|\u5b57\u7b26|\u5b57\u6570";
    static const char excess[] = "exceed|over the|over limit|beyond|greater|larger|longer than|too long|more than|above|too long|too large|too big|too many|overflow|larger than|oversize|does not fit|doesnt fit|cannot fit|not fit|"
                                 "reduce the length|shorten|shorter|zu lang|trop long|demasiado larg|\u8d85\u8fc7|\u8d85\u51fa|\u8d85\u957f|\u8fc7\u957f|\u592a\u957f|\u8d85\u9650";
    static const char limit[] = "limit|maximum|max |at most|up to|window|context length|context size|no more than|must have less|must be less|should be|allowed|\u6700\u5927|\u9650\u5236|\u4e0a\u9650";
    static const char picture[] = "image|audio|video|pixel|resolution|megapixel|attachment|file size|\u56fe\u7247"; /* unless it is counted in tokens */
    static const char others[] = "function name|tool name|tool call id|tool description|metadata|stop sequence|logit bias|top logprobs|"
                                 "api key|apikey|user field|model name|maximum tokens you requested|maximum tokens value|too short|chat template";
    static const char parameter[] = "max tokens|max completion tokens|max output tokens|max new tokens|thinking budget|budget tokens|output tokens|completion tokens|n predict";
    static const char conversation[] = "context|prompt|input|messages|conversation|history|\u8f93\u5165|\u4e0a\u4e0b\u6587";
    bool has_excess = refusal_words_have(words, excess);
    size_t sizes = sizes_in(words);
    bool is_over = has_excess && sizes >= 2 && refusal_words_have(words, "prompt|input|context|conversation|request"); /* "prompt of 140000 over the limit of 128000" */
    if (!refusal_words_have(words, subject) || !(is_over || refusal_words_have(words, length)) || refusal_words_have(words, others) ||
        (refusal_words_have(words, picture) && !refusal_words_have(words, "tokens")))
        return false;
    if (refusal_words_have(words, parameter) && !refusal_words_have(words, conversation))
        return false;
    if (strictly && (has_excess || sizes >= 2) && refusal_words_have(words, "context size|context length|context window|context limit"))
        return true;
    if (strictly)
        return has_excess && sizes >= 1 && refusal_words_have(words, "token|context|prompt|input");
    return has_excess || sizes >= 2 || (sizes >= 1 && refusal_words_have(words, limit)) ||
           (refusal_words_have(words, "context length|context window|context size|token limit") &&
            refusal_words_have(words, "less than|limit|maximum|reached|full|enough"));
}

/* ---- all of it ---- */

static bool holds(const struct rule *rule, const char *words, unsigned on, bool waits, const char **ret_evidence)
{
    const char *at;
    if ((rule->on & on) == 0 || (rule->not_waiting && waits))
        return false;
    bool never_fits = !waits && refusal_words_never_fit(words);
    if (rule->kind == FAILURE_TOO_LONG)
        return on == ON_429 ? never_fits : refusal_words_too_long(words, on == ON_500);
    if ((rule->kind == FAILURE_RATE && never_fits) || (at = first_of(words, rule->some, ret_evidence)) == NULL)
        return false;
    return (rule->and == NULL || refusal_words_have(words, rule->and)) && (rule->then == NULL || refusal_words_have(at, rule->then)) &&
           (rule->but == NULL || !refusal_words_have(words, rule->but));
}

enum failure_kind refusal_words_kind(const char *words, unsigned on, bool waits, const char **ret_evidence)
{
    *ret_evidence = NULL;
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++)
        if (holds(&rules[i], words, on, waits, ret_evidence))
            return rules[i].kind;
    return FAILURE_NONE;
}
