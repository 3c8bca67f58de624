/* libcurl on an event loop, for floor_loop.c: HTTP/1.1 POSTs that don't block. By shards: several multi handles, each with few calls, since each start
 * and each end of a call walks through all connections of its handle. One thread: the loop's. Memory is kept until the process ends. */
#ifndef CHAT_BENCH_FLOOR_CALLS_H
#define CHAT_BENCH_FLOOR_CALLS_H

#include <curl/curl.h>
#include <event2/event.h>

#include "llm/text_buffer.h"

struct floor_shard;

/* A place for one call at a time. */
struct floor_call {
    void *owner;                          /* the caller's */
    void (*ended)(void *owner, CURLcode); /* never called while floor_calls_start runs */
    CURL *easy;
    struct floor_shard *shard;
    struct text_buffer answer; /* the body, once ended */
};

/* Makes a place ready: all to one url. call->owner is set. */
void floor_calls_add(struct floor_call *call, struct event_base *loop, const char *url, void (*ended)(void *owner, CURLcode));
/* body is borrowed until the call has ended. Not from within a callback of libcurl's. */
void floor_calls_start(struct floor_call *call, const char *body);

#endif
