/* The floor: the same Kafka records, Redis commands and HTTP calls as the worker's journey, from as many plain
 * threads, with no service around them: no order, no retries, no commits. The
 * worker's CPU a job is compared with it in the same run. Ends after JOBS replies are acknowledged.
 *
 *   floor BOOTSTRAP REDIS_URL LLM_URL THREADS JOBS JOBS_TOPIC REPLIES_TOPIC GROUP
 *
 * A benchmark's program: it stops at the first error. */
#include <curl/curl.h>
#include <hiredis/hiredis.h>
#include <jansson.h>
#include <librdkafka/rdkafka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "redis/redis_pool.h"
#include "redis/session_store.h"

#define REDIS_CONNECTIONS 16
#define QUEUE_MAX 8192

static struct {
    const char *llm_url, *jobs_topic, *replies_topic;
    int threads;
    long jobs;
    rd_kafka_t *producer;
    struct redis_pool *redis;
    struct session_store_conf store;
} floor_;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t not_empty = PTHREAD_COND_INITIALIZER, not_full = PTHREAD_COND_INITIALIZER;
static rd_kafka_message_t *queue[QUEUE_MAX];
static size_t queue_first, queue_count;
static atomic_long acknowledged;

static void die(const char *what, const char *why)
{
    fprintf(stderr, "floor: %s: %s\n", what, why);
    exit(1);
}

static void push(rd_kafka_message_t *message)
{
    pthread_mutex_lock(&lock);
    while (queue_count == QUEUE_MAX)
        pthread_cond_wait(&not_full, &lock);
    queue[(queue_first + queue_count++) % QUEUE_MAX] = message;
    pthread_cond_signal(&not_empty);
    pthread_mutex_unlock(&lock);
}

static rd_kafka_message_t *pop(void)
{
    pthread_mutex_lock(&lock);
    while (queue_count == 0)
        pthread_cond_wait(&not_empty, &lock);
    rd_kafka_message_t *message = queue[queue_first];
    queue_first = (queue_first + 1) % QUEUE_MAX;
    queue_count--;
    pthread_cond_signal(&not_full);
    pthread_mutex_unlock(&lock);
    return message;
}

static size_t collect(char *data, size_t size, size_t n, void *arg)
{
    json_t **parts = arg;
    json_array_append_new(*parts, json_stringn(data, size * n));
    return size * n;
}

static char *ask(CURL *curl, const char *body)
{
    json_t *parts = json_array();
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &parts);
    CURLcode rc = curl_easy_perform(curl);
    if (rc != CURLE_OK)
        die("llm", curl_easy_strerror(rc));
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    for (size_t i = 0; i < json_array_size(parts); i++)
        fputs(json_string_value(json_array_get(parts, i)), out);
    fclose(out);
    json_decref(parts);
    return text;
}

static struct redis_conn *take(void)
{
    struct error err;
    struct redis_conn *conn = NULL;
    if (redis_pool_take(floor_.redis, &conn, &err) != STATUS_OK)
        die("redis", err.message);
    return conn;
}

static void journey(CURL *curl, const rd_kafka_message_t *message)
{
    struct error err;
    json_t *job = json_loadb(message->payload, message->len, 0, NULL);
    const char *id = json_string_value(json_object_get(job, "id"));
    const char *session = json_string_value(json_object_get(job, "session"));
    if (id == NULL)
        die("job", "no id");
    struct begin_op begin = {.claim = {.session = session, .job_id = id}, .fingerprint = "f", .origin = "o"};
    session_store_token(begin.claim.token);
    struct redis_conn *conn = take();
    if (session_store_begin(conn, &floor_.store, &begin, 1, &err) != STATUS_OK)
        die("begin", err.message);
    redis_pool_give(floor_.redis, &conn, false);

    json_t *messages = json_array();
    for (size_t i = 0; i < begin.turn_count; i++) {
        json_t *turn = json_loads(begin.turns[i], 0, NULL);
        json_array_extend(messages, json_object_get(turn, "messages"));
        json_decref(turn);
    }
    json_array_append_new(messages, json_pack("{s:s,s:O}", "role", "user", "content", json_object_get(job, "message")));
    json_t *request = json_pack("{s:s,s:o}", "model", "sim", "messages", messages);
    char *body = json_dumps(request, JSON_COMPACT);
    char *text = ask(curl, body);
    json_t *answer = json_loads(text, 0, NULL);
    json_t *said = json_object_get(json_array_get(json_object_get(answer, "choices"), 0), "message");
    if (said == NULL)
        die("llm", "no message in the answer");
    json_t *reply = json_pack("{s:s,s:s,s:O}", "job", id, "status", "ok", "message", said);
    char *reply_text = json_dumps(reply, JSON_COMPACT);
    json_t *turn = json_pack("{s:s,s:[{s:s,s:O},O]}", "job", id, "messages", "role", "user", "content", json_object_get(job, "message"), said);
    char *turn_text = json_dumps(turn, JSON_COMPACT);

    struct finish_op finish = {.claim = begin.claim, .end_state = END_OK, .fingerprint = "f", .origin = "o", .reply = reply_text, .turn = session ? turn_text : NULL};
    conn = take();
    if (session_store_finish(conn, &floor_.store, &finish, 1, NULL, 0, &err) != STATUS_OK)
        die("finish", err.message);
    redis_pool_give(floor_.redis, &conn, false);
    rd_kafka_resp_err_t rc = rd_kafka_producev(floor_.producer, RD_KAFKA_V_TOPIC(floor_.replies_topic), RD_KAFKA_V_KEY(message->key, message->key_len),
                                               RD_KAFKA_V_VALUE(reply_text, strlen(reply_text)), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END);
    if (rc != RD_KAFKA_RESP_ERR_NO_ERROR)
        die("produce", rd_kafka_err2str(rc));
    begin_op_finish(&begin);
    free(turn_text);
    free(reply_text);
    free(body);
    free(text);
    json_decref(turn);
    json_decref(reply);
    json_decref(answer);
    json_decref(request);
    json_decref(job);
}

static void *pool_thread(void *arg)
{
    (void)arg;
    CURL *curl = curl_easy_init();
    struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");
    headers = curl_slist_append(headers, "Expect:");
    curl_easy_setopt(curl, CURLOPT_URL, floor_.llm_url);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, collect);
    for (;;) {
        rd_kafka_message_t *message = pop();
        journey(curl, message);
        rd_kafka_message_destroy(message);
    }
    return NULL;
}

static void delivered(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque)
{
    (void)rk;
    (void)opaque;
    if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR)
        die("delivery", rd_kafka_err2str(message->err));
    atomic_fetch_add(&acknowledged, 1);
}

static void *report_thread(void *arg)
{
    (void)arg;
    while (atomic_load(&acknowledged) < floor_.jobs)
        rd_kafka_poll(floor_.producer, 100);
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    double cpu = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) + (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
    printf("{\"cpu_s\":%.6f,\"rss_kib\":%ld,\"jobs\":%ld}\n", cpu, usage.ru_maxrss, floor_.jobs);
    fflush(stdout);
    _exit(0);
}

static void set(rd_kafka_conf_t *conf, const char *name, const char *value)
{
    char why[256];
    if (rd_kafka_conf_set(conf, name, value, why, sizeof why) != RD_KAFKA_CONF_OK)
        die(name, why);
}

int main(int argc, char **argv)
{
    char why[256];
    struct error err;
    if (argc != 9)
        die("usage", "BOOTSTRAP REDIS_URL LLM_URL THREADS JOBS JOBS_TOPIC REPLIES_TOPIC GROUP");
    floor_.llm_url = argv[3];
    floor_.threads = atoi(argv[4]);
    floor_.jobs = atol(argv[5]);
    floor_.jobs_topic = argv[6];
    floor_.replies_topic = argv[7];
    floor_.store = (struct session_store_conf){.key_prefix = argv[8], .lease_ms = 30000, .alive_ms = 10000, .reply_ttl_s = 3600, .session_ttl_s = 3600, .history_turns_max = 20, .history_bytes_max = 262144, .applied_max = 1000};
    session_store_token(floor_.store.self.id);
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    if (redis_pool_create(argv[2], REDIS_CONNECTIONS, 60000, &floor_.redis, &err) != STATUS_OK)
        die("redis", err.message);
    curl_global_init(CURL_GLOBAL_DEFAULT);
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    set(conf, "bootstrap.servers", argv[1]);
    set(conf, "enable.idempotence", "true");
    rd_kafka_conf_set_dr_msg_cb(conf, delivered);
    floor_.producer = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof why);
    conf = rd_kafka_conf_new();
    set(conf, "bootstrap.servers", argv[1]);
    set(conf, "group.id", argv[8]);
    set(conf, "auto.offset.reset", "earliest");
    rd_kafka_t *consumer = rd_kafka_new(RD_KAFKA_CONSUMER, conf, why, sizeof why);
    if (floor_.producer == NULL || consumer == NULL)
        die("kafka", why);
    rd_kafka_poll_set_consumer(consumer);
    rd_kafka_topic_partition_list_t *topics = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(topics, floor_.jobs_topic, RD_KAFKA_PARTITION_UA);
    rd_kafka_subscribe(consumer, topics);
    pthread_t thread;
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 256 * 1024);
    pthread_create(&thread, NULL, report_thread, NULL);
    for (int i = 0; i < floor_.threads; i++)
        if (pthread_create(&thread, &attr, pool_thread, NULL) != 0)
            die("thread", "can't be started");
    for (;;) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(consumer, 1000);
        if (message != NULL && message->err == RD_KAFKA_RESP_ERR_NO_ERROR)
            push(message);
        else if (message != NULL)
            rd_kafka_message_destroy(message);
    }
}
