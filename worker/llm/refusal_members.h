/* What a member of a refusal's body is for, by its name, whoever's body it is: names count without case, '_' and '-'. A table; to teach the worker a new
 * provider's member, add it there. Called for each member by refusal_text.c. Pure; any thread. */
#ifndef CHAT_LLM_REFUSAL_MEMBERS_H
#define CHAT_LLM_REFUSAL_MEMBERS_H

#include <stdbool.h>

enum member_meaning {
    MEANS_OTHER,
    MEANS_QUOTED, /* of the request or an answer: not looked at */
    MEANS_CODE,   /* why, as a word or a number */
    MEANS_TYPE,
    MEANS_TEXT,   /* why, for people */
    MEANS_PARAM,  /* the name of the request's member that it is about */
    MEANS_PLACE,  /* the same as a path */
    MEANS_WAIT,   /* seconds */
    MEANS_WAIT_MS,
    MEANS_RESET,
    MEANS_N_CTX,
    MEANS_N_PROMPT
};

enum member_meaning refusal_members_look(const char *name);
/* Has only a moderation such a member? */
bool refusal_members_is_moderation(const char *name);

#endif
