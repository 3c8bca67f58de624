/* Lets another thread cancel the calls that a thread waits for (http_client.h). One for each worker thread, reused for each job. */
#ifndef CHAT_HTTP_HTTP_CANCEL_H
#define CHAT_HTTP_HTTP_CANCEL_H

#include <stdbool.h>

#include "http/http_wake.h"

struct http_cancel;

struct http_cancel *http_cancel_create(void);
void http_cancel_destroy(struct http_cancel *cancel); /* no thread waits with it; NULL is fine */
/* Arms it for the next job: forgets an earlier fire. */
void http_cancel_reset(struct http_cancel *cancel);
/* Any thread: ends the running calls within milliseconds, or the next ones at once. */
void http_cancel_fire(struct http_cancel *cancel);

/* ---- http_client's ---- */

bool http_cancel_is_fired(struct http_cancel *cancel); /* NULL: never */
/* From now on a fire calls this wake; NULL: none. */
void http_cancel_attach(struct http_cancel *cancel, const struct http_wake *wake); /* does nothing if cancel is NULL */

#endif
