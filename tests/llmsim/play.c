#include "play.h"

#include <event2/buffer.h>
#include <string.h>

static void play_on(struct conn *c);

static void script_over(struct conn *c)
{
    enum script_end end = c->script.end;
    if (end == SCRIPT_HANG)
        return; /* in flight until the client closes */

    conn_request_over(c, c->script.broken ? MESSAGE_REQUEST : MESSAGE_ANSWERED);
    conn_forget_request(c);
    if (end == SCRIPT_RESET) {
        conn_reset(c);
    } else if (end == SCRIPT_CLOSE || !c->keep_alive) {
        conn_destroy(c);
    } else {
        c->stale = end == SCRIPT_STALE;
        c->state = CONN_HEAD;
        if (evbuffer_get_length(bufferevent_get_input(c->bev)) > 0)
            conn_read_on(c);
    }
}

static void step_send(struct conn *c)
{
    const struct script_step *step = &c->script.steps[c->step];
    if (step->size == 0) {
        c->step++;
        play_on(c);
        return;
    }
    size_t size = c->script.drip_ms >= 0 ? 1 : step->size;
    c->writing = true;
    bufferevent_write(c->bev, step->bytes + c->step_offset, size);
    c->step_offset += size;
    if (c->step_offset < step->size)
        return;
    c->step_offset = 0;
    if (step->repeat >= 0 && c->step_repeated++ >= step->repeat) {
        c->step++;
        c->step_repeated = 0;
    }
}

/* What was sent has left: wait for the next step's time, or until it is let go, or send it, or end. */
static void play_on(struct conn *c)
{
    if (c->step == c->script.count) {
        script_over(c);
        return;
    }
    if (c->script.steps[c->step].held) {
        conn_hold(c, true);
        return;
    }
    int64_t delay_ms = c->step_offset > 0 ? c->script.drip_ms : c->script.steps[c->step].delay_ms;
    if (delay_ms > 0) {
        struct timeval delay = {.tv_sec = delay_ms / 1000, .tv_usec = delay_ms % 1000 * 1000};
        evtimer_add(c->timer, &delay);
    } else {
        step_send(c);
    }
}

int64_t play_release(struct server *s, const char *text)
{
    int64_t released = 0;
    struct conn *next;
    for (struct conn *c = LIST_FIRST(&s->conns); c != NULL; c = next) {
        next = LIST_NEXT(c, link); /* an answer's end may be its connection's */
        if (!c->held || strstr(c->message, text) == NULL)
            continue;
        released++;
        conn_hold(c, false);
        c->script.steps[c->step].held = false;
        play_on(c);
    }
    return released;
}

void play_timer(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    step_send(arg);
}

void play_written(struct bufferevent *bev, void *arg)
{
    (void)bev;
    struct conn *c = arg;
    if (!c->writing) /* a 100 Continue has left */
        return;
    c->writing = false;
    play_on(c);
}

void play_begin(struct conn *c)
{
    c->state = CONN_ANSWER;
    c->step = c->step_offset = 0;
    c->step_repeated = 0;
    c->writing = false;
    play_on(c);
}
