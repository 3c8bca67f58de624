/* What an answer's `finish_reason` means, in the terms of any provider. Pure; any thread.
 *
 * With it servers also report, in a 200 after half an answer, that generation failed: that is a failed call, not an answer. After a filter's
 * reason llm.filter_provider is asked. An unknown reason is accepted and counted (llm_finish_unknown_total). */
#ifndef CHAT_LLM_FINISH_REASON_H
#define CHAT_LLM_FINISH_REASON_H

enum finish {
    FINISH_GOOD,     /* also without any reason */
    FINISH_CONTENT,  /* a filter ended it */
    FINISH_TOO_LONG, /* the model's context is full; with an empty answer the prompt filled it */
    FINISH_BROKEN,   /* generation failed, or was aborted */
    FINISH_UNKNOWN
};

/* reason may be NULL. Of "content_filter: PROHIBITED_CONTENT" the first word counts. */
enum finish finish_reason_look(const char *reason);

#endif
