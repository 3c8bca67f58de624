#include "llm/finish_reason.h"

#include <ctype.h>
#include <stddef.h>
#include <string.h>

/* Names without case, '_' and '-'. */
static const struct {
    const char *name;
    enum finish finish;
} reasons[] = {
    {"", FINISH_GOOD},
    {"stop", FINISH_GOOD},
    {"length", FINISH_GOOD},
    {"toolcalls", FINISH_GOOD},
    {"toolcall", FINISH_GOOD},
    {"functioncall", FINISH_GOOD},
    {"tooluse", FINISH_GOOD},
    {"stopsequence", FINISH_GOOD},
    {"endturn", FINISH_GOOD},
    {"pauseturn", FINISH_GOOD},
    {"maxtokens", FINISH_GOOD},
    {"maxoutputtokens", FINISH_GOOD},
    {"modellength", FINISH_GOOD},
    {"eos", FINISH_GOOD},
    {"eostoken", FINISH_GOOD},
    {"complete", FINISH_GOOD},
    {"completed", FINISH_GOOD},
    {"null", FINISH_GOOD},
    {"contentfilter", FINISH_CONTENT},
    {"contentfiltered", FINISH_CONTENT},
    {"safety", FINISH_CONTENT},
    {"recitation", FINISH_CONTENT},
    {"blocklist", FINISH_CONTENT},
    {"prohibitedcontent", FINISH_CONTENT},
    {"spii", FINISH_CONTENT},
    {"language", FINISH_CONTENT},
    {"modelarmor", FINISH_CONTENT},
    {"jailbreak", FINISH_CONTENT},
    {"sensitive", FINISH_CONTENT}, /* Zhipu */
    {"refusal", FINISH_CONTENT},   /* Anthropic */
    {"guardrailintervened", FINISH_CONTENT}, /* Bedrock */
    {"errortoxic", FINISH_CONTENT}, /* Cohere */
    {"modelcontextwindowexceeded", FINISH_TOO_LONG}, /* Zhipu, Anthropic */
    {"error", FINISH_BROKEN},
    {"abort", FINISH_BROKEN}, /* vLLM, SGLang */
    {"insufficientsystemresource", FINISH_BROKEN}, /* DeepSeek */
    {"networkerror", FINISH_BROKEN}, /* Zhipu */
    {"malformedfunctioncall", FINISH_BROKEN}, /* this and the next: Google */
    {"unexpectedtoolcall", FINISH_BROKEN},
    {"toomanytoolcalls", FINISH_BROKEN},
    {"missingthoughtsignature", FINISH_BROKEN},
};

/* Parts of unknown reasons. */
static const char *const of_content[] = {"filter", "safety", "sensitive", "prohibit", "blocklist", "moderat", "guardrail", "violation", "toxic", "recitation", NULL};
static const char *const of_failure[] = {"error", "fail", "abort", "cancel", "timeout", "timedout", "interrupt", "crash", "unavailable", "insufficient",
                                         "overload", "exhausted", "malformed", "disconnect", "terminated", "shutdown", "preempt", "evict",
                                         "dead", "killed", "outofmemory", "corrupt", "broken", "lost", "internal", "busy", "invalid", NULL};

static int has_one_of(const char *text, const char *const *parts)
{
    for (; *parts != NULL; parts++)
        if (strstr(text, *parts) != NULL)
            return 1;
    return 0;
}

/* A name alone, up to its colon. */
static enum finish look(const char *reason, size_t size)
{
    char name[64];
    size_t n = 0;
    for (size_t i = 0; i < size && n + 1 < sizeof name; i++)
        if (reason[i] != '_' && reason[i] != '-' && reason[i] != ' ')
            name[n++] = (char)tolower((unsigned char)reason[i]);
    name[n] = '\0';
    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++)
        if (strcmp(name, reasons[i].name) == 0)
            return reasons[i].finish;
    return has_one_of(name, of_content) ? FINISH_CONTENT : has_one_of(name, of_failure) ? FINISH_BROKEN : FINISH_UNKNOWN;
}

enum finish finish_reason_look(const char *reason)
{
    if (reason == NULL || strcmp(reason, "stop") == 0) /* the usual ones */
        return FINISH_GOOD;
    size_t size = strcspn(reason, ":");
    enum finish finish = look(reason, size);
    if (reason[size] == ':' && finish != FINISH_BROKEN) { /* Google's "function_call_filter: MALFORMED_FUNCTION_CALL" */
        enum finish why = look(reason + size + 1, strlen(reason + size + 1));
        return why == FINISH_BROKEN || finish == FINISH_UNKNOWN ? why : finish;
    }
    return finish;
}
