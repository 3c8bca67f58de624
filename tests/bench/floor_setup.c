#include "floor_setup.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/alloc.h"
#include "task/offset_tracker.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct offset_tracker *partitions; /* under lock */
static size_t partition_count, partition_capacity;
static long jobs, acknowledged; /* acknowledged: under lock */

static void set(rd_kafka_conf_t *conf, const char *name, const char *value)
{
    char why[256];
    if (rd_kafka_conf_set(conf, name, value, why, sizeof why) != RD_KAFKA_CONF_OK)
        floor_die(name, why);
}

/* Of tests/bench/contrast --fetch-wait. */
static void set_fetching(rd_kafka_conf_t *conf)
{
    const char *bytes = getenv("CHAT_BENCH_FETCH_BYTES"), *wait_ms = getenv("CHAT_BENCH_FETCH_WAIT_MS");
    if (bytes == NULL || wait_ms == NULL)
        return;
    set(conf, "fetch.min.bytes", bytes);
    set(conf, "fetch.wait.max.ms", wait_ms);
}

static rd_kafka_t *client(rd_kafka_type_t type, rd_kafka_conf_t *conf)
{
    char why[256];
    rd_kafka_t *client = rd_kafka_new(type, conf, why, sizeof why);
    if (client == NULL)
        floor_die("kafka", why);
    return client;
}

static void subscribe(rd_kafka_t *consumer, const char *topic)
{
    rd_kafka_poll_set_consumer(consumer);
    rd_kafka_topic_partition_list_t *topics = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(topics, topic, RD_KAFKA_PARTITION_UA);
    rd_kafka_resp_err_t rc = rd_kafka_subscribe(consumer, topics);
    if (rc != RD_KAFKA_RESP_ERR_NO_ERROR)
        floor_die("subscribe", rd_kafka_err2str(rc));
    rd_kafka_topic_partition_list_destroy(topics);
}

void floor_start(struct floor *floor, int argc, char **argv, void (*delivered)(rd_kafka_t *, const rd_kafka_message_t *, void *))
{
    if (argc != 9)
        floor_die("usage", "BOOTSTRAP REDIS_URL LLM_URL IN_FLIGHT JOBS JOBS_TOPIC REPLIES_TOPIC GROUP");
    floor->redis_url = argv[2];
    floor->llm_url = argv[3];
    floor->in_flight = atoi(argv[4]);
    jobs = atol(argv[5]);
    floor->replies_topic = argv[7];
    floor->store = (struct session_store_conf){.key_prefix = argv[8], .lease_ms = 600000, .alive_ms = 10000, .reply_ttl_s = 3600, .session_ttl_s = 3600, .history_turns_max = 20, .history_bytes_max = 262144, .applied_max = APPLIED_MIN};
    session_store_token(floor->store.self.id);
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);

    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    set(conf, "bootstrap.servers", argv[1]);
    set(conf, "enable.idempotence", "true");
    set(conf, "partitioner", "murmur2_random");
    rd_kafka_conf_set_dr_msg_cb(conf, delivered);
    floor->producer = client(RD_KAFKA_PRODUCER, conf);
    conf = rd_kafka_conf_new();
    set(conf, "bootstrap.servers", argv[1]);
    set(conf, "group.id", argv[8]);
    set(conf, "auto.offset.reset", "earliest");
    set(conf, "enable.auto.offset.store", "false");
    set(conf, "auto.commit.interval.ms", "1000");
    set_fetching(conf);
    floor->consumer = client(RD_KAFKA_CONSUMER, conf);
    subscribe(floor->consumer, argv[6]);
}

struct floor_job *floor_received(rd_kafka_message_t *message)
{
    if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
        rd_kafka_message_destroy(message);
        return NULL;
    }
    size_t partition = (size_t)message->partition;
    pthread_mutex_lock(&lock);
    partitions = xgrow(partitions, &partition_capacity, partition + 1, sizeof *partitions);
    while (partition_count <= partition)
        partitions[partition_count++] = OFFSET_TRACKER_EMPTY;
    (void)offset_tracker_receive(&partitions[partition], message->offset, -1);
    pthread_mutex_unlock(&lock);
    return floor_job_read(message);
}

void floor_publish(const struct floor *floor, struct floor_job *job)
{
    rd_kafka_resp_err_t rc = rd_kafka_producev(floor->producer, RD_KAFKA_V_TOPIC(floor->replies_topic), RD_KAFKA_V_KEY(job->message->key, job->message->key_len),
                                               RD_KAFKA_V_VALUE(job->reply, strlen(job->reply)), RD_KAFKA_V_OPAQUE(job), RD_KAFKA_V_END);
    if (rc != RD_KAFKA_RESP_ERR_NO_ERROR)
        floor_die("produce", rd_kafka_err2str(rc));
}

static void report(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    double cpu = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) + (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
    printf("{\"cpu_s\":%.6f,\"rss_kib\":%ld,\"jobs\":%ld}\n", cpu, usage.ru_maxrss, jobs);
    fflush(stdout);
}

void floor_done(struct floor_job *job)
{
    rd_kafka_message_t *message = job->message;
    pthread_mutex_lock(&lock);
    struct offset_tracker *tracker = &partitions[message->partition];
    int64_t before = offset_tracker_committable(tracker);
    offset_tracker_mark_done(tracker, message->offset);
    int64_t committable = offset_tracker_committable(tracker);
    if (committable > before) /* the next offset to read is stored */
        (void)rd_kafka_offset_store(message->rkt, message->partition, committable - 1);
    bool last = ++acknowledged == jobs;
    pthread_mutex_unlock(&lock);
    floor_job_free(job);
    if (last) {
        report();
        _exit(0);
    }
}
