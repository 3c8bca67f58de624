#include "floor_calls.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "floor_job.h"

enum { CALLS_PER_SHARD = 256 };

/* CHAT_BENCH_SHARD, to see what a shard's size costs. */
static long calls_per_shard(void)
{
    const char *given = getenv("CHAT_BENCH_SHARD");
    return given != NULL ? strtol(given, NULL, 10) : CALLS_PER_SHARD;
}

struct floor_shard {
    CURLM *multi;
    struct event_base *loop;
    struct event *timer;
    int calls;
};

/* ---- libcurl says which sockets and which time it waits for; it is never called from within its own callbacks ---- */

static void after_action(struct floor_shard *shard)
{
    int left;
    for (CURLMsg *message; (message = curl_multi_info_read(shard->multi, &left)) != NULL;) {
        struct floor_call *call;
        CURLcode rc = message->data.result; /* the message is gone with the handle */
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&call);
        curl_multi_remove_handle(shard->multi, call->easy);
        call->ended(call->owner, rc);
    }
}

static void on_socket(evutil_socket_t fd, short what, void *arg)
{
    struct floor_shard *shard = arg;
    int running;
    curl_multi_socket_action(shard->multi, fd, (what & EV_READ ? CURL_CSELECT_IN : 0) | (what & EV_WRITE ? CURL_CSELECT_OUT : 0), &running);
    after_action(shard);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct floor_shard *shard = arg;
    int running;
    curl_multi_socket_action(shard->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    after_action(shard);
}

/* The socket may be closed already when REMOVE comes: libevent passes over what the kernel no longer knows. */
static int watch_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *known)
{
    (void)easy;
    struct floor_shard *shard = arg;
    struct event *event = known;
    if (event != NULL)
        event_free(event);
    if (what != CURL_POLL_REMOVE) {
        event = event_new(shard->loop, fd, (short)((what & CURL_POLL_IN ? EV_READ : 0) | (what & CURL_POLL_OUT ? EV_WRITE : 0) | EV_PERSIST), on_socket, shard);
        event_add(event, NULL);
        curl_multi_assign(shard->multi, fd, event); /* the one call that is allowed here */
    }
    return 0;
}

static int set_timer(CURLM *multi, long timeout_ms, void *arg)
{
    (void)multi;
    struct floor_shard *shard = arg;
    struct timeval timeout = {.tv_sec = timeout_ms / 1000, .tv_usec = timeout_ms % 1000 * 1000};
    if (timeout_ms < 0)
        evtimer_del(shard->timer);
    else
        evtimer_add(shard->timer, &timeout); /* libevent rounds up to the milliseconds of epoll_wait */
    return 0;
}

static struct floor_shard *new_shard(struct event_base *loop)
{
    struct floor_shard *shard = xzalloc(sizeof *shard);
    shard->loop = loop;
    shard->multi = curl_multi_init();
    shard->timer = evtimer_new(loop, on_timer, shard);
    curl_multi_setopt(shard->multi, CURLMOPT_SOCKETFUNCTION, watch_socket);
    curl_multi_setopt(shard->multi, CURLMOPT_SOCKETDATA, shard);
    curl_multi_setopt(shard->multi, CURLMOPT_TIMERFUNCTION, set_timer);
    curl_multi_setopt(shard->multi, CURLMOPT_TIMERDATA, shard);
    curl_multi_setopt(shard->multi, CURLMOPT_MAXCONNECTS, calls_per_shard()); /* busy ones count; there is one target */
    return shard;
}

static size_t keep(char *data, size_t size, size_t n, void *answer)
{
    text_buffer_append(answer, data, size * n);
    return size * n;
}

void floor_calls_add(struct floor_call *call, struct event_base *loop, const char *url, void (*ended)(void *owner, CURLcode))
{
    static struct curl_slist *headers;
    static struct floor_shard *shard;
    if (headers == NULL)
        headers = curl_slist_append(curl_slist_append(NULL, "Content-Type: application/json"), "Expect:");
    if (shard == NULL || shard->calls >= calls_per_shard())
        shard = new_shard(loop);
    shard->calls++;
    call->shard = shard;
    call->ended = ended;
    call->easy = curl_easy_init();
    curl_easy_setopt(call->easy, CURLOPT_URL, url);
    curl_easy_setopt(call->easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(call->easy, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(call->easy, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(call->easy, CURLOPT_PRIVATE, call);
    curl_easy_setopt(call->easy, CURLOPT_WRITEFUNCTION, keep);
    curl_easy_setopt(call->easy, CURLOPT_WRITEDATA, &call->answer);
}

void floor_calls_start(struct floor_call *call, const char *body)
{
    text_buffer_clear(&call->answer);
    curl_easy_setopt(call->easy, CURLOPT_POSTFIELDS, body);
    CURLMcode rc = curl_multi_add_handle(call->shard->multi, call->easy); /* it sets the timer: the socket is opened in the next turn */
    if (rc != CURLM_OK)
        floor_die("llm", curl_multi_strerror(rc));
}
