/* What a member of a refusal's body is for, by its name, for all providers: names are compared without case, '_' and '-'. A table; add a new
 * provider's member there. Called for each member by refusal_text.c. Pure; any thread. */
#ifndef CHAT_LLM_REFUSAL_MEMBERS_H
#define CHAT_LLM_REFUSAL_MEMBERS_H

#include <stdbool.h>

enum member_meaning {
    MEANS_OTHER,
    MEANS_QUOTED, /* part of the request or an answer: not read */
    MEANS_CODE,   /* the reason, as a word or a number */
    MEANS_TYPE,
    MEANS_TEXT,   /* the reason, for people */
    MEANS_PARAM,  /* the name of the request's member at fault */
    MEANS_PLACE,  /* that member as a path */
    MEANS_WAIT,   /* seconds */
    MEANS_WAIT_MS,
    MEANS_RESET,
    MEANS_N_CTX,
    MEANS_N_PROMPT
};

enum member_meaning refusal_members_look(const char *name);
/* Does only a moderation's refusal have this member? */
bool refusal_members_is_moderation(const char *name);

#endif
