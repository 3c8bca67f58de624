/* Plays a connection's script: bytes, with pauses between them, and its end. One thread: the event loop's. Never blocks. The connection may be freed when
 * one of these returns. */
#ifndef LLMSIM_PLAY_H
#define LLMSIM_PLAY_H

#include "conn.h"

/* c->script is filled in. */
void play_begin(struct conn *c);
/* Releases held answers to messages that contain text. Returns how many. */
int64_t play_release(struct server *s, const char *text);

/* The connection's callbacks: a step is due; the output buffer is empty. */
void play_timer(evutil_socket_t fd, short what, void *arg);
void play_written(struct bufferevent *bev, void *arg);

#endif
