/* What an error reply of Redis (or Valkey, or a proxy before it) means for the call that met it: pure.
 *
 * Before version 7 an error inside a script arrives wrapped: "ERR Error running script (call to f_…): @user_script:1:
 * @user_script: 1: -READONLY You can't write …"; from 7 on the reply is the error's own, with the script's name behind
 * it. A right that a script's command lacks has no code at all, but words of its own in each version. So a code counts
 * wherever it stands in the text, and the words beside it.
 *
 * A reply that nobody here knows is no verdict on the job: it waits (REDIS_ERROR_UNKNOWN), since a job that was given up
 * wrongly is lost, and one that waits is seen in the log. */
#ifndef CHAT_REDIS_REDIS_ERROR_H
#define CHAT_REDIS_REDIS_ERROR_H

#include "base/error.h"

enum redis_error_kind {
    REDIS_ERROR_ANSWER_LOST = 1, /* no reply: the connection ended while it was under way, or it makes no sense. Redis may have done it */
    REDIS_ERROR_OUTAGE,      /* the server can't serve now: drop the connection, resolve anew, wait */
    REDIS_ERROR_SETTINGS,    /* a right, a command or a version is missing: waits likewise, until somebody mends it */
    REDIS_ERROR_SCRIPT_LOST, /* EVALSHA of a script that isn't loaded (any more) */
    REDIS_ERROR_DATA,        /* what our keys hold, or the script's arguments: this call fails the same way every time */
    REDIS_ERROR_UNKNOWN      /* this call was refused for a reason we don't know: it is tried again */
};

enum redis_error_kind redis_error_kind(const char *text);

/* The codes that *err gets, by its kind. */
#define REDIS_CODE_ANSWER_LOST "redis_io"
#define REDIS_CODE_OUTAGE "redis_unavailable"
#define REDIS_CODE_SETTINGS "redis_settings"
#define REDIS_CODE_REFUSED "redis_refused"
#define REDIS_CODE_DATA "redis_error"

/* Fills *err by the text's kind: kind, code and class (DATA: PERMANENT; all else UNAVAILABLE: no fault of a job's), and a
 * message that says where, what, and what to do. script NULL: a plain command. Never holds a command's arguments.
 * Returns STATUS_FAILED. */
enum status redis_error_set(struct error *err, const char *address, const char *script, const char *text);

#endif
