/* Plays a connection's script: bytes, with pauses between them, and its end. One thread: the event loop's. Blocks never. A connection may be gone when
 * one of these returns. */
#ifndef LLMSIM_PLAY_H
#define LLMSIM_PLAY_H

#include "conn.h"

/* c->script is filled in. */
void play_begin(struct conn *c);
/* Lets go what is held and has text in its message. Returns how many those were. */
int64_t play_release(struct server *s, const char *text);

/* The connection's callbacks: a step's time has come; what was sent has left. */
void play_timer(evutil_socket_t fd, short what, void *arg);
void play_written(struct bufferevent *bev, void *arg);

#endif
