/* A provider on a loopback socket, played by a thread of the test: a script is a function that accepts, reads
 * and answers in a straight line. Included by test_llm_client.c alone. */
#ifndef CHAT_TESTS_SCRIPTED_PROVIDER_H
#define CHAT_TESTS_SCRIPTED_PROVIDER_H

#include <criterion/criterion.h>
#include <netinet/in.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "llm/http_targets.h"
#include "../lib/ask_one.h"

#define GIVE_UP_MS 60000 /* a test that waits so long has failed */
#define BODY "{\"model\":\"m\",\"messages\":[]}"
#define ANSWER "{\"choices\":[{\"message\":{\"role\":\"assistant\",\"content\":\"yes\"},\"finish_reason\":\"stop\"}]}"

struct world;
typedef void script(struct world *w);

struct world {
    int listener;
    script *script;
    pthread_t thread;
    sem_t happened; /* the test waits for it: posted by the script */
    char request[4096];
    bool saw_close;
    int accepted;
    char url[64];
    struct provider_settings provider;
    struct settings settings;
    struct http_pool *pool;
    struct llm_client *client;
    struct provider_slots *slots;
    struct provider_times *times;
    struct http_cancel *cancel;
    struct llm_answer answer;
    struct llm_failure failure;
    struct error err;
};

/* ---- the provider's side ---- */

static int await_call(struct world *w)
{
    int fd = accept(w->listener, NULL, NULL);
    cr_assert_geq(fd, 0);
    w->accepted++;
    return fd;
}

/* One request into w->request. */
static void read_request(struct world *w, int fd)
{
    size_t size = 0;
    for (;;) {
        ssize_t got = recv(fd, w->request + size, sizeof w->request - 1 - size, 0);
        cr_assert_gt(got, 0);
        size += (size_t)got;
        w->request[size] = '\0';
        const char *body = strstr(w->request, "\r\n\r\n");
        const char *length = strstr(w->request, "Content-Length: ");
        if (body != NULL && length != NULL && strlen(body + 4) >= strtoul(length + 16, NULL, 10))
            return;
    }
}

static void say(int fd, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void say(int fd, const char *fmt, ...)
{
    char text[4096];
    va_list args;
    va_start(args, fmt);
    int size = vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    send(fd, text, (size_t)size, MSG_NOSIGNAL);
}

static void answer(int fd, int status, const char *headers, const char *body)
{
    say(fd, "HTTP/1.1 %d X\r\nContent-Type: application/json\r\n%sContent-Length: %zu\r\n\r\n%s", status, headers,
        strlen(body), body);
}

/* Blocks until the client has closed its end. */
static void await_close(struct world *w, int fd)
{
    char byte;
    while (recv(fd, &byte, 1, 0) > 0)
        ;
    w->saw_close = true;
    close(fd);
}

static void reset_connection(int fd)
{
    struct linger now = {.l_onoff = 1};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close(fd);
}

/* ---- the test's side ---- */

static void *play(void *arg)
{
    struct world *w = arg;
    w->script(w);
    return NULL;
}

static void begin(struct world *w, script *plays, const char *scheme)
{
    *w = (struct world){.script = plays};
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    w->listener = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert_eq(bind(w->listener, (struct sockaddr *)&address, size), 0);
    cr_assert_eq(listen(w->listener, 8), 0);
    getsockname(w->listener, (struct sockaddr *)&address, &size);
    snprintf(w->url, sizeof w->url, "%s://127.0.0.1:%d/v1", scheme, ntohs(address.sin_port));
    sem_init(&w->happened, 0, 0);
    static char name[] = "main", key[] = "sk-secret";
    w->provider = (struct provider_settings){.name = name, .url = w->url, .api_key = key, .auth = AUTH_BEARER,
                                             .attempt_timeout_ms = 60000, .connect_timeout_ms = GIVE_UP_MS};
    w->settings.providers = &w->provider;
    w->settings.provider_count = w->settings.asked_count = 1;
    w->settings.worker.threads = 1;
    w->settings.llm.response_bytes_max = 1024;
    cr_assert_eq(http_targets_pool(&w->settings, &w->pool, &w->err), STATUS_OK, "%s", w->err.message);
    w->client = llm_client_create(&w->settings);
    w->slots = provider_slots_create(&w->settings);
    w->times = provider_times_create(&w->settings);
    w->cancel = http_cancel_create();
    if (plays != NULL)
        pthread_create(&w->thread, NULL, play, w);
}

static void end(struct world *w)
{
    llm_answer_finish(&w->answer);
    llm_client_destroy(w->client);
    http_pool_destroy(w->pool); /* closes idle connections, which scripts may wait for */
    if (w->script != NULL)
        pthread_join(w->thread, NULL);
    provider_slots_destroy(w->slots);
    provider_times_destroy(w->times);
    http_cancel_destroy(w->cancel);
    close(w->listener);
    cr_expect_null(strstr(w->err.message, "secret"), "%s", w->err.message);
}

static enum status ask_within(struct world *w, int64_t ms)
{
    llm_answer_finish(&w->answer);
    w->err = (struct error){0};
    struct asker asker = {&w->settings, w->client, w->pool, w->slots, w->times, w->cancel, BODY};
    return ask_one(&asker, clock_mono_ms() + ms, &w->answer, &w->failure, &w->err);
}

static void expect_failure(struct world *w, int64_t within_ms, enum error_class class, const char *code)
{
    cr_expect_eq(ask_within(w, within_ms), STATUS_FAILED);
    cr_expect_eq(w->err.class, class, "%s: %s", error_class_name(w->err.class), w->err.message);
    cr_expect_str_eq(w->err.code, code, "%s", w->err.message);
    cr_expect_not_null(strstr(w->err.message, "main"), "names the provider: %s", w->err.message);
}

static void await(struct world *w)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += GIVE_UP_MS / 1000;
    cr_assert_eq(sem_timedwait(&w->happened, &until), 0, "the provider's side never came so far");
}

#endif
