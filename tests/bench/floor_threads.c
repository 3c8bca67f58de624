/* The worker's journey without the worker, by threads that wait: one job a thread, and each step is a call that blocks until it is done.
 * Reads top to bottom; beside it lies floor_loop.c, the same steps without a call that blocks. What a job becomes is in floor_job.h, command
 * line and guarantees in floor_setup.h.
 *
 * Threads: main reads records into a queue, IN_FLIGHT pool threads carry jobs through, one serves the producer. */
#include <curl/curl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "floor_job.h"
#include "floor_setup.h"
#include "llm/text_buffer.h"
#include "redis/redis_pool.h"

enum { REDIS_CONNECTIONS = 16, REDIS_TIMEOUT_MS = 60000, QUEUE_MAX = 8192, STACK_BYTES = 256 * 1024 };

static struct floor the_floor;
static struct redis_pool *redis;

/* ---- the journey: each step returns when it is done ---- */

static struct floor_job *take(void);

static bool begin(struct floor_job *job)
{
    struct error err;
    struct redis_conn *conn = NULL;
    if (redis_pool_take(redis, &conn, &err) != STATUS_OK || session_store_begin(conn, &the_floor.store, &job->begin, 1, &err) != STATUS_OK)
        floor_die("begin", err.message);
    redis_pool_give(redis, &conn, false);
    return floor_job_begun(job);
}

static void ask(struct floor_job *job, CURL *easy, struct text_buffer *answer)
{
    char *request = floor_job_request(job);
    text_buffer_clear(answer);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, request);
    CURLcode rc = curl_easy_perform(easy);
    if (rc != CURLE_OK)
        floor_die("llm", curl_easy_strerror(rc));
    long status = 0;
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    floor_job_answered(job, status, text_buffer_text(answer), answer->size);
    free(request);
}

static void finish(struct floor_job *job)
{
    struct error err;
    struct redis_conn *conn = NULL;
    if (redis_pool_take(redis, &conn, &err) != STATUS_OK || session_store_finish(conn, &the_floor.store, &job->finish, 1, NULL, 0, &err) != STATUS_OK)
        floor_die("finish", err.message);
    redis_pool_give(redis, &conn, false);
    floor_job_finished(job);
}

static void publish(struct floor_job *job)
{
    floor_publish(&the_floor, job); /* nobody waits for the acknowledgement but the offset */
}

static void acknowledged(rd_kafka_t *producer, const rd_kafka_message_t *message, void *opaque)
{
    (void)producer;
    (void)opaque;
    if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR)
        floor_die("delivery", rd_kafka_err2str(message->err));
    floor_done(message->_private);
}

static void journey(CURL *easy, struct text_buffer *answer)
{
    struct floor_job *job = take(); /* WAITS: for a record */
    if (begin(job)) {               /* WAITS: for Redis */
        ask(job, easy, answer);     /* WAITS: for the LLM */
        finish(job);                /* WAITS: for Redis */
    }
    publish(job);
}

/* ---- what carries it out ---- */

static size_t keep(char *data, size_t size, size_t n, void *answer)
{
    text_buffer_append(answer, data, size * n);
    return size * n;
}

static void *pool_thread(void *arg)
{
    struct text_buffer answer = {0};
    CURL *easy = curl_easy_init();
    curl_easy_setopt(easy, CURLOPT_URL, the_floor.llm_url);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, arg);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, keep);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, &answer);
    for (;;)
        journey(easy, &answer);
    return NULL;
}

static void *producer_thread(void *arg)
{
    for (;;)
        rd_kafka_poll(the_floor.producer, 100);
    return arg;
}

/* Between the reader and the pool; bounded. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t not_empty = PTHREAD_COND_INITIALIZER, not_full = PTHREAD_COND_INITIALIZER;
static struct floor_job *queue[QUEUE_MAX];
static size_t queue_first, queue_count;

static void put(struct floor_job *job)
{
    pthread_mutex_lock(&lock);
    while (queue_count == QUEUE_MAX)
        pthread_cond_wait(&not_full, &lock);
    queue[(queue_first + queue_count++) % QUEUE_MAX] = job;
    pthread_cond_signal(&not_empty);
    pthread_mutex_unlock(&lock);
}

static struct floor_job *take(void)
{
    pthread_mutex_lock(&lock);
    while (queue_count == 0)
        pthread_cond_wait(&not_empty, &lock);
    struct floor_job *job = queue[queue_first];
    queue_first = (queue_first + 1) % QUEUE_MAX;
    queue_count--;
    pthread_cond_signal(&not_full);
    pthread_mutex_unlock(&lock);
    return job;
}

static void start_thread(void *(*run)(void *), void *arg)
{
    pthread_t thread;
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK_BYTES);
    if (pthread_create(&thread, &attr, run, arg) != 0)
        floor_die("thread", "can't be started");
    pthread_attr_destroy(&attr);
}

int main(int argc, char **argv)
{
    struct error err;
    floor_start(&the_floor, argc, argv, acknowledged);
    if (redis_pool_create(the_floor.redis_url, REDIS_CONNECTIONS, REDIS_TIMEOUT_MS, &redis, &err) != STATUS_OK)
        floor_die("redis", err.message);
    curl_global_init(CURL_GLOBAL_DEFAULT);
    struct curl_slist *headers = curl_slist_append(curl_slist_append(NULL, "Content-Type: application/json"), "Expect:");
    start_thread(producer_thread, NULL);
    for (int i = 0; i < the_floor.in_flight; i++)
        start_thread(pool_thread, headers);
    for (;;) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(the_floor.consumer, 1000);
        struct floor_job *job = message != NULL ? floor_received(message) : NULL;
        if (job != NULL)
            put(job);
    }
}
