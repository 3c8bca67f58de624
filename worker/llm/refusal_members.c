#include "llm/refusal_members.h"

#include <ctype.h>
#include <stddef.h>
#include <string.h>

static const struct {
    const char *name;
    enum member_meaning meaning;
} members[] = {
    /* Members that quote the request or an answer, or are of no use: their words aren't the provider's reason, but might match one. */
    {"input", MEANS_QUOTED}, {"flaggedinput", MEANS_QUOTED}, {"messages", MEANS_QUOTED}, {"prompt", MEANS_QUOTED},
    {"content", MEANS_QUOTED}, {"failedgeneration", MEANS_QUOTED}, {"completion", MEANS_QUOTED}, {"choices", MEANS_QUOTED},
    {"request", MEANS_QUOTED}, {"ctx", MEANS_QUOTED}, {"usage", MEANS_QUOTED}, {"links", MEANS_QUOTED},
    {"traceback", MEANS_QUOTED}, {"stack", MEANS_QUOTED}, {"contentfilterresult", MEANS_QUOTED},
    {"contentfilterresults", MEANS_QUOTED}, {"promptfilterresults", MEANS_QUOTED},
    /* The reason, as a word or a number. */
    {"code", MEANS_CODE}, {"errorcode", MEANS_CODE}, {"errcode", MEANS_CODE}, {"statuscode", MEANS_CODE},
    {"httpcode", MEANS_CODE}, {"httpstatus", MEANS_CODE}, {"rawstatuscode", MEANS_CODE}, {"reason", MEANS_CODE},
    {"blockreason", MEANS_CODE},
    {"type", MEANS_TYPE}, {"errortype", MEANS_TYPE}, {"status", MEANS_TYPE}, {"kind", MEANS_TYPE}, {"name", MEANS_TYPE},
    /* The reason, for people. */
    {"message", MEANS_TEXT}, {"msg", MEANS_TEXT}, {"error", MEANS_TEXT}, {"errors", MEANS_TEXT}, {"errormsg", MEANS_TEXT},
    {"errormessage", MEANS_TEXT}, {"statusmsg", MEANS_TEXT}, {"detail", MEANS_TEXT}, {"details", MEANS_TEXT},
    {"description", MEANS_TEXT}, {"errordescription", MEANS_TEXT}, {"title", MEANS_TEXT}, {"raw", MEANS_TEXT},
    {"reasons", MEANS_TEXT}, {"cause", MEANS_TEXT}, {"body", MEANS_TEXT}, {"exception", MEANS_TEXT},
    {"param", MEANS_PARAM}, {"loc", MEANS_PLACE}, {"field", MEANS_PARAM},
    {"retrydelay", MEANS_WAIT}, {"retryafter", MEANS_WAIT}, {"retryafterseconds", MEANS_WAIT}, {"resetsinseconds", MEANS_WAIT},
    {"resetinseconds", MEANS_WAIT}, {"resetafter", MEANS_WAIT}, {"resetin", MEANS_WAIT}, {"retryin", MEANS_WAIT}, {"waitseconds", MEANS_WAIT}, {"waittime", MEANS_WAIT}, {"estimatedtime", MEANS_WAIT},
    {"retryinms", MEANS_WAIT_MS}, {"resetafterms", MEANS_WAIT_MS},
    {"retryafterms", MEANS_WAIT_MS}, {"xratelimitreset", MEANS_RESET}, {"ratelimitreset", MEANS_RESET},
    {"nctx", MEANS_N_CTX}, {"nprompttokens", MEANS_N_PROMPT},
};

/* Members that only a moderation has. */
static const char *const moderations[] = {"flaggedinput", "contentfilterresult", "contentfilterresults", "moderationresult", NULL};

static void squash(const char *name, char *ret, size_t size)
{
    size_t n = 0;
    for (; *name != '\0' && n + 1 < size; name++)
        if (*name != '_' && *name != '-')
            ret[n++] = (char)tolower((unsigned char)*name);
    ret[n] = '\0';
}

enum member_meaning refusal_members_look(const char *name)
{
    char squashed[32];
    squash(name, squashed, sizeof squashed);
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++)
        if (strcmp(squashed, members[i].name) == 0)
            return members[i].meaning;
    return MEANS_OTHER;
}

bool refusal_members_is_moderation(const char *name)
{
    char squashed[32];
    squash(name, squashed, sizeof squashed);
    for (const char *const *m = moderations; *m != NULL; m++)
        if (strcmp(squashed, *m) == 0)
            return true;
    return false;
}
