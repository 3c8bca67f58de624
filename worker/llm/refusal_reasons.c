#include "llm/refusal_reasons.h"

#include <ctype.h>
#include <string.h>

enum { ANYWHERE = 0, NOT_IN_TEXT = 1, BASE_RESP = 2 };

/* Names without case, '_', '-' and a last "error" or "exception". Numbers are one provider's each. Sources: the error pages of OpenAI,
 * Azure, Anthropic, Google, OpenRouter, Groq, Mistral, Moonshot, Alibaba, Volcengine, Zhipu, MiniMax, Baidu, SiliconFlow, Cohere, Together,
 * Fireworks, Amazon Bedrock, Cloudflare, GitHub Models, LiteLLM, one-api and new-api, TGI, vLLM, llama.cpp, and reports of what they
 * actually send. */
static const struct reason {
    const char *name;
    enum failure_kind kind;
    enum reason_weight weight;
    int where;
} reasons[] = {
    {"contentfilter", FAILURE_CONTENT, REASON_PLAIN, ANYWHERE},
    {"contentfiltered", FAILURE_CONTENT, REASON_PLAIN, ANYWHERE},
    {"contentpolicy", FAILURE_CONTENT, REASON_PLAIN, ANYWHERE},
    {"contentpolicyviolation", FAILURE_CONTENT, REASON_PLAIN, ANYWHERE},
    {"contentmoderation", FAILURE_CONTENT, REASON_PLAIN, ANYWHERE},
    {"contentflagged", FAILURE_CONTENT, REASON_PLAIN, ANYWHERE},
    {"contentviolation", FAILURE_CONTENT, REASON_PLAIN, ANYWHERE},
    {"contentblocked", FAILURE_CONTENT, REASON_PLAIN, ANYWHERE},
    {"censorshipblocked", FAILURE_CONTENT, REASON_PLAIN, ANYWHERE}, /* StepFun */
    {"moderation", FAILURE_CONTENT, REASON_PLAIN, NOT_IN_TEXT},
    {"moderationblocked", FAILURE_CONTENT, REASON_PLAIN, ANYWHERE},
    {"inputflagged", FAILURE_CONTENT, REASON_PLAIN, ANYWHERE},
    {"flagged", FAILURE_CONTENT, REASON_PLAIN, NOT_IN_TEXT},
    {"promptblocked", FAILURE_CONTENT, REASON_PLAIN, ANYWHERE},
    {"datainspectionfailed", FAILURE_CONTENT, REASON_PLAIN, ANYWHERE},
    {"sensitivecontentdetected", FAILURE_CONTENT, REASON_PLAIN, ANYWHERE},
    {"inputtextsensitivecontentdetected", FAILURE_CONTENT, REASON_PLAIN, ANYWHERE},
    {"outputtextsensitivecontentdetected", FAILURE_CONTENT, REASON_PLAIN, ANYWHERE},
    {"inputimagesensitivecontentdetected", FAILURE_CONTENT, REASON_PLAIN, ANYWHERE},
    {"inputtextriskdetection", FAILURE_CONTENT, REASON_PLAIN, ANYWHERE},
    {"inputimageriskdetection", FAILURE_CONTENT, REASON_PLAIN, ANYWHERE},
    {"outputtextriskdetection", FAILURE_CONTENT, REASON_PLAIN, ANYWHERE},
    {"sensitivewordsdetected", FAILURE_CONTENT, REASON_PLAIN, ANYWHERE},
    {"responsibleaipolicyviolation", FAILURE_CONTENT, REASON_PLAIN, ANYWHERE},
    {"prohibitedcontent", FAILURE_CONTENT, REASON_PLAIN, ANYWHERE},
    {"unsafecontent", FAILURE_CONTENT, REASON_PLAIN, ANYWHERE},
    {"unsaferequest", FAILURE_CONTENT, REASON_PLAIN, ANYWHERE},
    {"imageurlunsafe", FAILURE_CONTENT, REASON_PLAIN, ANYWHERE},
    {"safetyviolation", FAILURE_CONTENT, REASON_PLAIN, ANYWHERE},
    {"cyberpolicyviolation", FAILURE_CONTENT, REASON_PLAIN, ANYWHERE},
    {"policyviolation", FAILURE_CONTENT, REASON_PLAIN, ANYWHERE},
    {"guardrailintervened", FAILURE_CONTENT, REASON_PLAIN, ANYWHERE},
    {"guardrailviolation", FAILURE_CONTENT, REASON_PLAIN, ANYWHERE},
    {"safety", FAILURE_CONTENT, REASON_PLAIN, NOT_IN_TEXT}, /* this and the next: Google */
    {"blocklist", FAILURE_CONTENT, REASON_PLAIN, NOT_IN_TEXT},
    {"1301", FAILURE_CONTENT, REASON_PLAIN, NOT_IN_TEXT}, /* Zhipu */
    {"10013", FAILURE_CONTENT, REASON_PLAIN, NOT_IN_TEXT}, /* iFlytek */
    {"10014", FAILURE_CONTENT, REASON_PLAIN, NOT_IN_TEXT},
    {"10019", FAILURE_CONTENT, REASON_PLAIN, NOT_IN_TEXT},
    {"1026", FAILURE_CONTENT, REASON_PLAIN, BASE_RESP},
    {"1027", FAILURE_CONTENT, REASON_PLAIN, BASE_RESP},
    {"2016", FAILURE_CONTENT, REASON_PLAIN, NOT_IN_TEXT}, /* Cloudflare's guardrails */
    {"2017", FAILURE_CONTENT, REASON_PLAIN, NOT_IN_TEXT},

    {"insufficientquota", FAILURE_BILLING, REASON_PLAIN, ANYWHERE},
    {"billinghardlimitreached", FAILURE_BILLING, REASON_PLAIN, ANYWHERE},
    {"billingnotactive", FAILURE_BILLING, REASON_PLAIN, ANYWHERE},
    {"billingdisabled", FAILURE_BILLING, REASON_PLAIN, ANYWHERE},
    {"billing", FAILURE_BILLING, REASON_PLAIN, NOT_IN_TEXT},
    {"insufficientbalance", FAILURE_BILLING, REASON_PLAIN, ANYWHERE},
    {"insufficientcredit", FAILURE_BILLING, REASON_PLAIN, ANYWHERE},
    {"insufficientcredits", FAILURE_BILLING, REASON_PLAIN, ANYWHERE},
    {"insufficientfunds", FAILURE_BILLING, REASON_PLAIN, ANYWHERE},
    {"insufficientuserquota", FAILURE_BILLING, REASON_PLAIN, ANYWHERE},
    {"insufficientg1creditsbalance", FAILURE_BILLING, REASON_PLAIN, ANYWHERE},
    {"preconsumetokenquotafailed", FAILURE_BILLING, REASON_PLAIN, ANYWHERE},
    {"accessterminated", FAILURE_BILLING, REASON_PLAIN, ANYWHERE},
    {"accountdeactivated", FAILURE_BILLING, REASON_PLAIN, ANYWHERE},
    {"paymentrequired", FAILURE_BILLING, REASON_PLAIN, ANYWHERE},
    {"exceededcurrentquota", FAILURE_BILLING, REASON_PLAIN, ANYWHERE},
    {"creditbalancetoolow", FAILURE_BILLING, REASON_PLAIN, ANYWHERE},
    {"arrearage", FAILURE_BILLING, REASON_PLAIN, ANYWHERE},
    {"accountoverdue", FAILURE_BILLING, REASON_PLAIN, ANYWHERE},
    {"prepaidbilloverdue", FAILURE_BILLING, REASON_PLAIN, ANYWHERE},
    {"postpaidbilloverdue", FAILURE_BILLING, REASON_PLAIN, ANYWHERE},
    {"commoditynotpurchased", FAILURE_BILLING, REASON_PLAIN, ANYWHERE},
    {"freetieronly", FAILURE_BILLING, REASON_PLAIN, ANYWHERE},
    {"budgetexceeded", FAILURE_BILLING, REASON_PLAIN, ANYWHERE},
    {"exceededbudget", FAILURE_BILLING, REASON_PLAIN, ANYWHERE},
    {"spendlimitexceeded", FAILURE_BILLING, REASON_PLAIN, ANYWHERE},
    {"apikeyusdspendlimitexceeded", FAILURE_BILLING, REASON_PLAIN, ANYWHERE},
    {"1113", FAILURE_BILLING, REASON_PLAIN, NOT_IN_TEXT}, /* Zhipu */
    {"1309", FAILURE_BILLING, REASON_PLAIN, NOT_IN_TEXT},
    {"30001", FAILURE_BILLING, REASON_PLAIN, NOT_IN_TEXT}, /* SiliconFlow */
    {"1008", FAILURE_BILLING, REASON_PLAIN, BASE_RESP},

    {"contextlengthexceeded", FAILURE_TOO_LONG, REASON_PLAIN, ANYWHERE},
    {"exceedcontextsize", FAILURE_TOO_LONG, REASON_PLAIN, ANYWHERE},
    {"contextsizeexceeded", FAILURE_TOO_LONG, REASON_PLAIN, ANYWHERE},
    {"contextwindowexceeded", FAILURE_TOO_LONG, REASON_PLAIN, ANYWHERE},
    {"modelcontextwindowexceeded", FAILURE_TOO_LONG, REASON_PLAIN, ANYWHERE},
    {"contextoverflow", FAILURE_TOO_LONG, REASON_PLAIN, ANYWHERE},
    {"maxcontextlengthexceeded", FAILURE_TOO_LONG, REASON_PLAIN, ANYWHERE},
    {"prompttoolong", FAILURE_TOO_LONG, REASON_PLAIN, ANYWHERE},
    {"promptistoolong", FAILURE_TOO_LONG, REASON_PLAIN, ANYWHERE},
    {"inputtoolong", FAILURE_TOO_LONG, REASON_PLAIN, ANYWHERE},
    {"inputtoolarge", FAILURE_TOO_LONG, REASON_PLAIN, ANYWHERE},
    {"characterstoolong", FAILURE_TOO_LONG, REASON_PLAIN, ANYWHERE},
    {"tokenstoolong", FAILURE_TOO_LONG, REASON_PLAIN, ANYWHERE},
    {"tokenslimitreached", FAILURE_TOO_LONG, REASON_PLAIN, ANYWHERE},
    {"tokenlimitexceeded", FAILURE_TOO_LONG, REASON_PLAIN, ANYWHERE},
    {"modelmaxprompttokensexceeded", FAILURE_TOO_LONG, REASON_PLAIN, ANYWHERE},
    {"requesttoolarge", FAILURE_TOO_LONG, REASON_PLAIN, ANYWHERE},
    {"payloadtoolarge", FAILURE_TOO_LONG, REASON_PLAIN, ANYWHERE},
    {"requestentitytoolarge", FAILURE_TOO_LONG, REASON_PLAIN, ANYWHERE},
    {"1261", FAILURE_TOO_LONG, REASON_PLAIN, NOT_IN_TEXT}, /* Zhipu */
    {"10907", FAILURE_TOO_LONG, REASON_PLAIN, NOT_IN_TEXT}, /* iFlytek */
    {"1039", FAILURE_TOO_LONG, REASON_PLAIN, BASE_RESP},

    {"modelnotfound", FAILURE_MODEL, REASON_PLAIN, ANYWHERE},
    {"modelnotexist", FAILURE_MODEL, REASON_PLAIN, ANYWHERE},
    {"modelnotavailable", FAILURE_MODEL, REASON_PLAIN, ANYWHERE},
    {"modelnotsupported", FAILURE_MODEL, REASON_PLAIN, ANYWHERE},
    {"modelnotopen", FAILURE_MODEL, REASON_PLAIN, ANYWHERE},
    {"modelnotloaded", FAILURE_MODEL, REASON_PLAIN, ANYWHERE},
    {"modeldeprecated", FAILURE_MODEL, REASON_PLAIN, ANYWHERE},
    {"modeldecommissioned", FAILURE_MODEL, REASON_PLAIN, ANYWHERE},
    {"modelaccessdenied", FAILURE_MODEL, REASON_PLAIN, ANYWHERE},
    {"invalidmodel", FAILURE_MODEL, REASON_PLAIN, ANYWHERE},
    {"unknownmodel", FAILURE_MODEL, REASON_PLAIN, ANYWHERE},
    {"unsupportedmodel", FAILURE_MODEL, REASON_PLAIN, ANYWHERE},
    {"operationnotsupported", FAILURE_MODEL, REASON_PLAIN, ANYWHERE}, /* Azure: of this model */
    {"deploymentnotfound", FAILURE_MODEL, REASON_PLAIN, ANYWHERE},
    {"dedicatedendpointnotrunning", FAILURE_MODEL, REASON_PLAIN, ANYWHERE},
    {"invalidendpointormodel", FAILURE_MODEL, REASON_PLAIN, ANYWHERE},
    {"invalidendpoint", FAILURE_MODEL, REASON_PLAIN, ANYWHERE},
    {"closedendpoint", FAILURE_MODEL, REASON_PLAIN, ANYWHERE},
    {"getchannelfailed", FAILURE_MODEL, REASON_PLAIN, ANYWHERE},
    {"1211", FAILURE_MODEL, REASON_PLAIN, NOT_IN_TEXT}, /* Zhipu */
    {"20012", FAILURE_MODEL, REASON_PLAIN, NOT_IN_TEXT}, /* SiliconFlow */
    {"30003", FAILURE_MODEL, REASON_PLAIN, NOT_IN_TEXT},
    {"5007", FAILURE_MODEL, REASON_PLAIN, NOT_IN_TEXT}, /* Cloudflare */
    {"notfound", FAILURE_MODEL, REASON_VAGUE, ANYWHERE},
    {"resourcenotfound", FAILURE_MODEL, REASON_VAGUE, ANYWHERE},

    {"invalidapikey", FAILURE_ACCESS, REASON_PLAIN, ANYWHERE},
    {"incorrectapikey", FAILURE_ACCESS, REASON_PLAIN, ANYWHERE},
    {"apikeyinvalid", FAILURE_ACCESS, REASON_PLAIN, ANYWHERE},
    {"apikeyexpired", FAILURE_ACCESS, REASON_PLAIN, ANYWHERE},
    {"apikeydisabled", FAILURE_ACCESS, REASON_PLAIN, ANYWHERE},
    {"apikeymissing", FAILURE_ACCESS, REASON_PLAIN, ANYWHERE},
    {"missingapikey", FAILURE_ACCESS, REASON_PLAIN, ANYWHERE},
    {"noapikey", FAILURE_ACCESS, REASON_PLAIN, ANYWHERE},
    {"nodbconnection", FAILURE_ACCESS, REASON_PLAIN, ANYWHERE}, /* LiteLLM without a database, to any key but its master's */
    {"apikeyserviceblocked", FAILURE_ACCESS, REASON_PLAIN, ANYWHERE},
    {"apikeyhttpreferrerblocked", FAILURE_ACCESS, REASON_PLAIN, ANYWHERE},
    {"apikeyipaddressblocked", FAILURE_ACCESS, REASON_PLAIN, ANYWHERE},
    {"authentication", FAILURE_ACCESS, REASON_PLAIN, NOT_IN_TEXT},
    {"authenticationerror", FAILURE_ACCESS, REASON_PLAIN, ANYWHERE},
    {"authenticationfailed", FAILURE_ACCESS, REASON_PLAIN, ANYWHERE},
    {"invalidauthentication", FAILURE_ACCESS, REASON_PLAIN, ANYWHERE},
    {"invalidcredentials", FAILURE_ACCESS, REASON_PLAIN, ANYWHERE},
    {"invalidtoken", FAILURE_ACCESS, REASON_PLAIN, NOT_IN_TEXT},
    {"expiredtoken", FAILURE_ACCESS, REASON_PLAIN, NOT_IN_TEXT},
    {"tokenexpired", FAILURE_ACCESS, REASON_PLAIN, NOT_IN_TEXT},
    {"missingauthenticationtoken", FAILURE_ACCESS, REASON_PLAIN, ANYWHERE},
    {"unrecognizedclient", FAILURE_ACCESS, REASON_PLAIN, ANYWHERE},
    {"invalidclienttokenid", FAILURE_ACCESS, REASON_PLAIN, ANYWHERE},
    {"invalidsignature", FAILURE_ACCESS, REASON_PLAIN, ANYWHERE},
    {"signaturedoesnotmatch", FAILURE_ACCESS, REASON_PLAIN, ANYWHERE},
    {"unsupportedcountryregionterritory", FAILURE_ACCESS, REASON_PLAIN, ANYWHERE},
    {"regionnotsupported", FAILURE_ACCESS, REASON_PLAIN, ANYWHERE},
    {"locationnotsupported", FAILURE_ACCESS, REASON_PLAIN, ANYWHERE},
    {"invalidproject", FAILURE_ACCESS, REASON_PLAIN, ANYWHERE},
    {"invalidorganization", FAILURE_ACCESS, REASON_PLAIN, ANYWHERE},
    {"organizationdeactivated", FAILURE_ACCESS, REASON_PLAIN, ANYWHERE},
    {"accountnotactive", FAILURE_ACCESS, REASON_PLAIN, ANYWHERE},
    {"accountinactive", FAILURE_ACCESS, REASON_PLAIN, ANYWHERE},
    {"accountsuspended", FAILURE_ACCESS, REASON_PLAIN, ANYWHERE},
    {"accountdisabled", FAILURE_ACCESS, REASON_PLAIN, ANYWHERE},
    {"accountblocked", FAILURE_ACCESS, REASON_PLAIN, ANYWHERE},
    {"ipnotauthorized", FAILURE_ACCESS, REASON_PLAIN, ANYWHERE},
    {"consumersuspended", FAILURE_ACCESS, REASON_PLAIN, ANYWHERE},
    {"consumerinvalid", FAILURE_ACCESS, REASON_PLAIN, ANYWHERE},
    {"servicedisabled", FAILURE_ACCESS, REASON_PLAIN, ANYWHERE},
    {"1110", FAILURE_ACCESS, REASON_PLAIN, NOT_IN_TEXT}, /* Zhipu */
    {"1111", FAILURE_ACCESS, REASON_PLAIN, NOT_IN_TEXT},
    {"1112", FAILURE_ACCESS, REASON_PLAIN, NOT_IN_TEXT},
    {"1121", FAILURE_ACCESS, REASON_PLAIN, NOT_IN_TEXT},
    {"1004", FAILURE_ACCESS, REASON_PLAIN, BASE_RESP},
    {"2049", FAILURE_ACCESS, REASON_PLAIN, BASE_RESP},
    {"2009", FAILURE_ACCESS, REASON_PLAIN, NOT_IN_TEXT}, /* Cloudflare's gateway */
    {"10000", FAILURE_ACCESS, REASON_PLAIN, NOT_IN_TEXT},
    {"permission", FAILURE_ACCESS, REASON_VAGUE, NOT_IN_TEXT},
    {"permissiondenied", FAILURE_ACCESS, REASON_VAGUE, ANYWHERE},
    {"accessdenied", FAILURE_ACCESS, REASON_VAGUE, ANYWHERE},
    {"forbidden", FAILURE_ACCESS, REASON_VAGUE, NOT_IN_TEXT},
    {"requestforbidden", FAILURE_ACCESS, REASON_VAGUE, ANYWHERE},
    {"unauthorized", FAILURE_ACCESS, REASON_VAGUE, NOT_IN_TEXT},
    {"unauthenticated", FAILURE_ACCESS, REASON_VAGUE, NOT_IN_TEXT},

    {"ratelimit", FAILURE_RATE, REASON_PLAIN, ANYWHERE},
    {"ratelimited", FAILURE_RATE, REASON_PLAIN, ANYWHERE},
    {"ratelimitexceeded", FAILURE_RATE, REASON_PLAIN, ANYWHERE},
    {"ratelimitreached", FAILURE_RATE, REASON_PLAIN, ANYWHERE},
    {"ratequota", FAILURE_RATE, REASON_PLAIN, ANYWHERE},
    {"burstrate", FAILURE_RATE, REASON_PLAIN, ANYWHERE},
    {"allocationquota", FAILURE_RATE, REASON_PLAIN, ANYWHERE},
    {"toomanyrequests", FAILURE_RATE, REASON_PLAIN, ANYWHERE},
    {"limitrequests", FAILURE_RATE, REASON_PLAIN, NOT_IN_TEXT}, /* this and the next two: Alibaba */
    {"limittokens", FAILURE_RATE, REASON_PLAIN, NOT_IN_TEXT},
    {"limitburstrate", FAILURE_RATE, REASON_PLAIN, NOT_IN_TEXT},
    {"throttling", FAILURE_RATE, REASON_PLAIN, NOT_IN_TEXT},
    {"throttlingexception", FAILURE_RATE, REASON_PLAIN, ANYWHERE},
    {"throttled", FAILURE_RATE, REASON_PLAIN, NOT_IN_TEXT},
    {"requestlimitexceeded", FAILURE_RATE, REASON_PLAIN, ANYWHERE},
    {"requestbursttoofast", FAILURE_RATE, REASON_PLAIN, ANYWHERE},
    {"usagelimitreached", FAILURE_RATE, REASON_PLAIN, ANYWHERE},
    {"freeusagelimit", FAILURE_RATE, REASON_PLAIN, ANYWHERE},
    {"1302", FAILURE_RATE, REASON_PLAIN, NOT_IN_TEXT}, /* Zhipu */
    {"1303", FAILURE_RATE, REASON_PLAIN, NOT_IN_TEXT},
    {"1310", FAILURE_RATE, REASON_PLAIN, NOT_IN_TEXT},
    {"11201", FAILURE_RATE, REASON_PLAIN, NOT_IN_TEXT}, /* iFlytek */
    {"11202", FAILURE_RATE, REASON_PLAIN, NOT_IN_TEXT},
    {"11203", FAILURE_RATE, REASON_PLAIN, NOT_IN_TEXT},
    {"1304", FAILURE_RATE, REASON_PLAIN, NOT_IN_TEXT},
    {"1308", FAILURE_RATE, REASON_PLAIN, NOT_IN_TEXT},
    {"1002", FAILURE_RATE, REASON_PLAIN, BASE_RESP},
    {"1041", FAILURE_RATE, REASON_PLAIN, BASE_RESP},
    {"2045", FAILURE_RATE, REASON_PLAIN, BASE_RESP},
    {"2056", FAILURE_RATE, REASON_PLAIN, BASE_RESP},
    {"resourceexhausted", FAILURE_RATE, REASON_VAGUE, ANYWHERE},
    {"quotaexceeded", FAILURE_RATE, REASON_VAGUE, ANYWHERE},

    {"overloaded", FAILURE_OVERLOAD, REASON_PLAIN, NOT_IN_TEXT},
    {"overloadederror", FAILURE_OVERLOAD, REASON_PLAIN, ANYWHERE},
    {"engineoverloaded", FAILURE_OVERLOAD, REASON_PLAIN, ANYWHERE},
    {"serveroverloaded", FAILURE_OVERLOAD, REASON_PLAIN, ANYWHERE},
    {"modeloverloaded", FAILURE_OVERLOAD, REASON_PLAIN, ANYWHERE},
    {"serverbusy", FAILURE_OVERLOAD, REASON_PLAIN, ANYWHERE},
    {"systembusy", FAILURE_OVERLOAD, REASON_PLAIN, ANYWHERE},
    {"modelcapacityexhausted", FAILURE_OVERLOAD, REASON_PLAIN, ANYWHERE},
    {"servicetiercapacityexceeded", FAILURE_OVERLOAD, REASON_PLAIN, ANYWHERE},
    {"1305", FAILURE_OVERLOAD, REASON_PLAIN, NOT_IN_TEXT}, /* Zhipu */
    {"3505", FAILURE_OVERLOAD, REASON_PLAIN, NOT_IN_TEXT}, /* Mistral */
    {"50603", FAILURE_OVERLOAD, REASON_PLAIN, NOT_IN_TEXT}, /* SiliconFlow */
    {"3040", FAILURE_OVERLOAD, REASON_PLAIN, NOT_IN_TEXT}, /* Cloudflare */
    {"unavailable", FAILURE_OVERLOAD, REASON_VAGUE, NOT_IN_TEXT},
    {"serviceunavailable", FAILURE_OVERLOAD, REASON_VAGUE, ANYWHERE},

    {"timeout", FAILURE_TIMEOUT, REASON_VAGUE, NOT_IN_TEXT},
    {"requesttimeout", FAILURE_TIMEOUT, REASON_VAGUE, ANYWHERE},
    {"gatewaytimeout", FAILURE_TIMEOUT, REASON_VAGUE, ANYWHERE},
    {"deadlineexceeded", FAILURE_TIMEOUT, REASON_VAGUE, ANYWHERE},
    {"1001", FAILURE_TIMEOUT, REASON_VAGUE, BASE_RESP},

    {"invalidrequest", FAILURE_REQUEST, REASON_VAGUE, ANYWHERE},
    {"badrequest", FAILURE_REQUEST, REASON_VAGUE, ANYWHERE},
    {"invalidargument", FAILURE_REQUEST, REASON_VAGUE, ANYWHERE},
    {"invalidparameter", FAILURE_REQUEST, REASON_VAGUE, ANYWHERE},
    {"invalidvalue", FAILURE_REQUEST, REASON_VAGUE, ANYWHERE},
    {"extraforbidden", FAILURE_REQUEST, REASON_VAGUE, NOT_IN_TEXT}, /* FastAPI's, of a member */
    {"validation", FAILURE_REQUEST, REASON_VAGUE, NOT_IN_TEXT},
    {"validationexception", FAILURE_REQUEST, REASON_VAGUE, ANYWHERE},
    {"unprocessableentity", FAILURE_REQUEST, REASON_VAGUE, ANYWHERE},
    {"unsupportedparameter", FAILURE_REQUEST, REASON_VAGUE, ANYWHERE},
    {"unsupportedvalue", FAILURE_REQUEST, REASON_VAGUE, ANYWHERE},
    {"unknownparameter", FAILURE_REQUEST, REASON_VAGUE, ANYWHERE},
    {"missingrequiredparameter", FAILURE_REQUEST, REASON_VAGUE, ANYWHERE},
    {"2013", FAILURE_REQUEST, REASON_VAGUE, BASE_RESP},

    {"server", FAILURE_SERVER, REASON_VAGUE, NOT_IN_TEXT},
    {"api", FAILURE_SERVER, REASON_VAGUE, NOT_IN_TEXT},
    {"internal", FAILURE_SERVER, REASON_VAGUE, NOT_IN_TEXT},
    {"internalserver", FAILURE_SERVER, REASON_VAGUE, NOT_IN_TEXT},
    {"internalservice", FAILURE_SERVER, REASON_VAGUE, NOT_IN_TEXT},
    {"upstream", FAILURE_SERVER, REASON_VAGUE, NOT_IN_TEXT},
    {"generation", FAILURE_SERVER, REASON_VAGUE, NOT_IN_TEXT},
};

static const struct reason *find_part(const char *part, size_t size, enum refusal_place place)
{
    static const char *const endings[] = {"", "error", "exception"};
    char name[64];
    size_t n = 0;
    for (size_t i = 0; i < size && n + 1 < sizeof name; i++)
        if (part[i] != '_' && part[i] != '-')
            name[n++] = (char)tolower((unsigned char)part[i]);
    for (size_t e = 0; e < sizeof endings / sizeof endings[0]; e++) {
        size_t ending = strlen(endings[e]);
        if (n <= ending || memcmp(name + n - ending, endings[e], ending) != 0)
            continue;
        size_t length = n - ending;
        for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++) {
            bool here = reasons[i].where == BASE_RESP ? place == REFUSAL_BASE_RESP : reasons[i].where == ANYWHERE || place != REFUSAL_IN_TEXT;
            if (here && strlen(reasons[i].name) == length && memcmp(reasons[i].name, name, length) == 0)
                return &reasons[i];
        }
    }
    return NULL;
}

/* By the whole word, then by its parts between dots: the plainest, billing first. */
static const struct reason *find_reason(const char *word, size_t size, enum refusal_place place)
{
    const struct reason *found = find_part(word, size, place);
    for (size_t at = 0; at < size && memchr(word, '.', size) != NULL;) {
        const char *dot = memchr(word + at, '.', size - at);
        size_t length = dot != NULL ? (size_t)(dot - word) - at : size - at;
        const struct reason *part = length > 0 ? find_part(word + at, length, place) : NULL;
        bool plainer = part != NULL && (found == NULL || (part->weight == REASON_PLAIN && found->weight == REASON_VAGUE));
        if (plainer || (part != NULL && part->kind == FAILURE_BILLING)) /* "AllocationQuota.FreeTierOnly" */
            found = part;
        at += length + 1;
    }
    return found;
}

enum reason_weight refusal_reason_look(const struct refusal_reason *reason, enum failure_kind *ret_kind)
{
    const struct reason *found = find_reason(reason->word, strlen(reason->word), reason->place);
    if (found == NULL)
        return REASON_UNKNOWN;
    *ret_kind = found->kind;
    return found->weight;
}

bool refusal_reason_is_distinct(const char *word, size_t size)
{
    bool written = memchr(word, '_', size) != NULL || memchr(word, '.', size) != NULL;
    for (size_t i = 1; i < size && !written; i++)
        written = isupper((unsigned char)word[i]) && islower((unsigned char)word[i - 1]);
    const struct reason *found = written ? find_reason(word, size, REFUSAL_IN_TEXT) : NULL;
    return found != NULL;
}
