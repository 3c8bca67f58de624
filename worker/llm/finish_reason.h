/* What the end that an answer gives itself means (`finish_reason`), in whoever's words. Pure; any thread.
 *
 * Servers say by it that generation broke, in a 200, behind half an answer: that is a failed call, not an answer. A filter's end
 * goes to llm.filter_provider. What nobody knows goes through, and is counted (llm_finish_unknown_total). */
#ifndef CHAT_LLM_FINISH_REASON_H
#define CHAT_LLM_FINISH_REASON_H

enum finish {
    FINISH_GOOD,     /* also without any reason */
    FINISH_CONTENT,  /* a filter ended it */
    FINISH_TOO_LONG, /* the model's context is full: of a prompt, where nothing was said */
    FINISH_BROKEN,   /* generation failed, or was broken off */
    FINISH_UNKNOWN
};

/* reason may be NULL. "content_filter: PROHIBITED_CONTENT" is as its first word. */
enum finish finish_reason_look(const char *reason);

#endif
