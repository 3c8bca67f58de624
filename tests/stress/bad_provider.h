/* A provider that misbehaves, for stress_llm_*.c: it stalls, resets, truncates and closes keep-alive connections; a stalled call ends only by a cancel. A thread a
 * connection. And the ends of calls, which are all expected. */
#ifndef CHAT_TESTS_STRESS_BAD_PROVIDER_H
#define CHAT_TESTS_STRESS_BAD_PROVIDER_H

#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "llm/llm_ask.h"

#define STACK_BYTES ((size_t)64 * 1024)
#define BODY "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}"
#define ANSWER "{\"choices\":[{\"message\":{\"role\":\"assistant\",\"content\":\"yes\"},\"finish_reason\":\"stop\"}]}"

#if defined(__clang__)
#define SANITIZED (__has_feature(thread_sanitizer) || __has_feature(address_sanitizer))
#elif defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif
#if SANITIZED
#define ROOM_FOR_SANITIZER ((size_t)1024 * 1024)
#else
#define ROOM_FOR_SANITIZER ((size_t)0)
#endif

static int listener;
static pthread_t acceptor;
static atomic_int answered, refused, lost, cancelled, wrong;

static pthread_t small_thread(void *(*run)(void *), void *arg)
{
    pthread_t thread;
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK_BYTES + ROOM_FOR_SANITIZER);
    if (pthread_create(&thread, &attr, run, arg) != 0)
        abort();
    pthread_attr_destroy(&attr);
    return thread;
}

static void answer(int fd, int status)
{
    char text[512];
    int size = snprintf(text, sizeof text, "HTTP/1.1 %d X\r\nContent-Length: %zu\r\n\r\n%s", status, strlen(ANSWER),
                        ANSWER);
    send(fd, text, (size_t)size, MSG_NOSIGNAL);
}

static void *serve(void *arg)
{
    int fd = (int)(intptr_t)arg;
    unsigned seed = (unsigned)fd * 2654435761U + (unsigned)clock_mono_us();
    char request[2048];
    size_t size = 0;
    ssize_t got;
    while ((got = recv(fd, request + size, sizeof request - size, 0)) > 0) {
        size += (size_t)got;
        if (size < sizeof BODY || memcmp(request + size - (sizeof BODY - 1), BODY, sizeof BODY - 1) != 0)
            continue;
        size = 0;
        int fate = rand_r(&seed) % 20;
        if (fate < 12) {
            answer(fd, 200);
        } else if (fate < 14) {
            answer(fd, 503);
        } else if (fate < 16) { /* as a keep-alive that went stale, or a lost call on a fresh connection */
            struct linger now = {.l_onoff = 1};
            setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
            break;
        } else if (fate < 18) {
            static const char half[] = "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{";
            send(fd, half, sizeof half - 1, MSG_NOSIGNAL);
            break;
        } /* else: no answer until the client closes */
    }
    close(fd);
    return NULL;
}

static void *accept_all(void *arg)
{
    int fd;
    while ((fd = accept(listener, NULL, NULL)) >= 0)
        pthread_detach(small_thread(serve, (void *)(intptr_t)fd));
    return arg;
}

/* Fills what a client of it needs to know; ends the program where it can't listen. */
static void bad_provider_start(struct settings *settings, struct provider_settings *provider)
{
    static char name[] = "stress", url[64];
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    listener = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(listener, (struct sockaddr *)&address, size) != 0 || listen(listener, SOMAXCONN) != 0)
        abort();
    getsockname(listener, (struct sockaddr *)&address, &size);
    snprintf(url, sizeof url, "http://127.0.0.1:%d/v1", ntohs(address.sin_port));
    *provider = (struct provider_settings){.name = name, .url = url, .attempt_timeout_ms = 60000, .connect_timeout_ms = 30000};
    settings->providers = provider;
    settings->provider_count = settings->asked_count = 1;
    settings->worker.threads = 1;
    settings->llm.response_bytes_max = 65536;
    acceptor = small_thread(accept_all, NULL);
}

/* Its connections are closed by then. */
static void bad_provider_stop(void)
{
    shutdown(listener, SHUT_RDWR);
    pthread_join(acceptor, NULL);
    close(listener);
}

static void count_end(enum status rc, const struct llm_answer *got, const struct llm_failure *failure, const struct error *err)
{
    if (rc == STATUS_OK && got->message != NULL)
        answered++;
    else if (err->class == ERROR_UNAVAILABLE && failure->http_status == 503)
        refused++;
    else if (err->class == ERROR_RETRIABLE && strcmp(err->code, "connection_lost") == 0)
        lost++;
    else if (err->class == ERROR_CANCELLED)
        cancelled++;
    else if (wrong++ < 5)
        fprintf(stderr, "unexpected: %s %s: %s\n", error_class_name(err->class), err->code, err->message);
}

/* Is it time to cancel another call? Every few ends, however fast the machine is, so that no way of ending is crowded out; and where none ends, since stalled
 * calls end by a cancel alone. For one thread, which asks every 200 µs. */
static bool cancel_is_due(void)
{
    static int ends_then, looks;
    int ends = answered + refused + lost + cancelled;
    if (ends - ends_then < 4 && ++looks < 20)
        return false;
    ends_then = ends;
    looks = 0;
    return true;
}

/* Each of the expected ways occurred, and no other. */
static bool ends_are_right(void)
{
    printf("answered %d, refused %d, lost %d, cancelled %d, wrong %d\n", answered, refused, lost, cancelled, wrong);
    return wrong == 0 && answered > 0 && refused > 0 && lost > 0 && cancelled > 0;
}

#endif
