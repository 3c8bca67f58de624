/* Many threads ask one misbehaving provider through one llm_client while another thread cancels at random: for
 * ThreadSanitizer, and for stacks as small as the worker's. The provider stalls, resets, truncates and closes keep-alive
 * connections; a stalled call ends only by a cancel. Arguments: threads (64), calls each (200).
 * Exit 0: every call ended in one of the expected ways, and each way occurred. */
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

#include "base/alloc.h"
#include "base/clock.h"
#include "llm/http_targets.h"
#include "../lib/ask_one.h"

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

struct caller {
    pthread_t thread;
    struct http_cancel *cancel;
};

static struct settings settings;
static struct llm_client *client;
static struct http_pool *pool;
static struct provider_slots *slots;
static struct provider_times *times;
static struct provider_settings provider;
static int listener, calls_each = 200;
static atomic_int busy, answered, refused, lost, cancelled, wrong;

static pthread_t start(void *(*run)(void *), void *arg)
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

/* ---- the provider: a thread a connection ---- */

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
        pthread_detach(start(serve, (void *)(intptr_t)fd));
    return arg;
}

/* ---- the callers ---- */

static void *ask_all(void *arg)
{
    struct caller *caller = arg;
    for (int i = 0; i < calls_each; i++) {
        struct llm_answer got = {0};
        struct llm_failure failure;
        struct error err = {0};
        http_cancel_reset(caller->cancel);
        struct asker asker = {&settings, client, pool, slots, times, caller->cancel, BODY};
        enum status rc = ask_one(&asker, clock_mono_ms() + 60000, &got, &failure, &err);
        if (rc == STATUS_OK && got.message != NULL)
            answered++;
        else if (err.class == ERROR_UNAVAILABLE && failure.http_status == 503)
            refused++;
        else if (err.class == ERROR_RETRIABLE && strcmp(err.code, "connection_lost") == 0)
            lost++;
        else if (err.class == ERROR_CANCELLED)
            cancelled++;
        else if (wrong++ < 5)
            fprintf(stderr, "unexpected: %s %s: %s\n", error_class_name(err.class), err.code, err.message);
        llm_answer_finish(&got);
    }
    busy--;
    return NULL;
}

int main(int argc, char **argv)
{
    int thread_count = argc > 1 ? atoi(argv[1]) : 64;
    calls_each = argc > 2 ? atoi(argv[2]) : calls_each;
    if (thread_count < 1 || calls_each < 1)
        return 2;
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);

    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    listener = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(listener, (struct sockaddr *)&address, size) != 0 || listen(listener, SOMAXCONN) != 0)
        return 2;
    getsockname(listener, (struct sockaddr *)&address, &size);
    static char name[] = "stress", url[64];
    snprintf(url, sizeof url, "http://127.0.0.1:%d/v1", ntohs(address.sin_port));
    provider = (struct provider_settings){.name = name, .url = url, .attempt_timeout_ms = 60000,
                                          .connect_timeout_ms = 30000};
    settings.providers = &provider;
    settings.provider_count = settings.asked_count = 1;
    settings.worker.threads = 1;
    settings.llm.response_bytes_max = 65536;
    struct error err = {0};

    if (http_targets_pool(&settings, &pool, &err) != STATUS_OK)
        return 2;
    client = llm_client_create(&settings);
    slots = provider_slots_create(&settings);
    times = provider_times_create(&settings);

    pthread_t acceptor = start(accept_all, NULL);
    struct caller *callers = xcalloc((size_t)thread_count, sizeof *callers);
    busy = thread_count;
    for (int i = 0; i < thread_count; i++) {
        callers[i].cancel = http_cancel_create();
        callers[i].thread = start(ask_all, &callers[i]);
    }
    /* Some cancels hit a running call, some one that just began or ended, some none. */
    unsigned seed = 1;
    while (busy > 0) {
        http_cancel_fire(callers[rand_r(&seed) % thread_count].cancel);
        usleep(200); /* a pace: nothing is waited for */
    }
    for (int i = 0; i < thread_count; i++) {
        pthread_join(callers[i].thread, NULL);
        http_cancel_destroy(callers[i].cancel);
    }
    provider_slots_destroy(slots);
    provider_times_destroy(times);
    llm_client_destroy(client);
    http_pool_destroy(pool);
    shutdown(listener, SHUT_RDWR);
    pthread_join(acceptor, NULL);
    close(listener);
    free(callers);
    printf("answered %d, refused %d, lost %d, cancelled %d, wrong %d\n", answered, refused, lost, cancelled, wrong);
    return wrong == 0 && answered > 0 && refused > 0 && lost > 0 && cancelled > 0 ? 0 : 1;
}
