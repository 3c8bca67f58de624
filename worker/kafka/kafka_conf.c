#include "kafka/kafka_conf.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/log.h"
#include "kafka/fetch_bounds.h"
#include "settings/settings_table.h"
#include "telemetry/metrics.h"

struct pair {
    const char *name, *value;
};

#define FILE_BYTES_MAX (16 * 1024 * 1024)
#define TEXT_OF(number) #number
#define TEXT(number) TEXT_OF(number)

/* Replies gather for a moment when many jobs are alive (with few, completion sends them at once); nothing waits
 * for the acknowledgement but the commit. message.timeout.ms=0: a reply that timed out here would come after its successor.
 * murmur2_random puts a key where Java's clients do, so that a key's jobs and replies stay together. */
static const struct pair producer_defaults[] = {
    {"enable.idempotence", "true"}, {"acks", "all"},      {"message.timeout.ms", "0"},
    {"linger.ms", "10"},            {"client.id", "chat-worker"}, {"partitioner", "murmur2_random"}, {"transaction.timeout.ms", TEXT(KAFKA_TRANSACTION_TIMEOUT_MS)},
    {NULL, NULL}};

#define OFFSET_RESET "earliest"

static const struct pair consumer_defaults[] = {{"enable.auto.commit", "false"},
                                                {"enable.auto.offset.store", "false"},
                                                {"auto.offset.reset", OFFSET_RESET},
                                                {"partition.assignment.strategy", "cooperative-sticky"},
                                                {"fetch.wait.max.ms", "100"},
                                                {"fetch.error.backoff.ms", "100"},
                                                {"client.id", "chat-worker"},
                                                {NULL, NULL}};

/* How soon librdkafka fetches again after the prefetch was at its bounds. Versions before 2.2 don't have the property; see intake/prefetch.h. */
#define QUEUE_BACKOFF "fetch.queue.backoff.ms"
#define QUEUE_BACKOFF_MS "20"

/* librdkafka's synonyms. */
static bool is_one_of(const char *value, const char *const names[3])
{
    return strcmp(value, names[0]) == 0 || strcmp(value, names[1]) == 0 || strcmp(value, names[2]) == 0;
}

int64_t kafka_conf_offset_reset(const struct settings *settings)
{
    static const char *const beginning[] = {"earliest", "smallest", "beginning"}, *const end[] = {"latest", "largest", "end"};
    const char *value = settings_kafka_property(settings, "auto.offset.reset");
    if (value == NULL)
        value = OFFSET_RESET;
    return is_one_of(value, beginning) ? RD_KAFKA_OFFSET_BEGINNING : is_one_of(value, end) ? RD_KAFKA_OFFSET_END : RD_KAFKA_OFFSET_INVALID;
}

/* rd_kafka_conf_get returns "unknown" for a property without a value. */
static bool is_known(const char *name)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    char why[256];
    bool known = rd_kafka_conf_set(conf, name, "", why, sizeof why) != RD_KAFKA_CONF_UNKNOWN;
    rd_kafka_conf_destroy(conf);
    return known;
}

const struct kafka_names kafka_conf_names = {.is_known = is_known, .show = rd_kafka_conf_properties_show};

/* CONFWARN: consumer properties on producers, and the reverse, are accepted and ignored, and librdkafka would warn of each.
 * AUTOCREATE: the in-memory cluster is too old for a request that forbids creating topics; it creates none. */
static bool is_noise(const char *facility)
{
    return strcmp(facility, "CONFWARN") == 0 || strcmp(facility, "AUTOCREATE") == 0;
}

static void log_line(const rd_kafka_t *rk, int level, const char *facility, const char *text)
{
    (void)rk;
    if (is_noise(facility))
        return;
    enum log_level ours = level <= 3 ? LOG_ERROR : level == 4 ? LOG_WARN : level <= 6 ? LOG_INFO : LOG_DEBUG;
    /* librdkafka reconnects to a broker that is away: a warning, not an error. */
    if (ours == LOG_ERROR)
        ours = LOG_WARN;
    log_at(ours, "kafka_client", F_STR("facility", facility), F_STR("text", text));
}

void kafka_conf_log(rd_kafka_conf_t *conf)
{
    rd_kafka_conf_set_log_cb(conf, log_line);
}

static void log_nothing(const rd_kafka_t *rk, int level, const char *facility, const char *text)
{
    (void)rk, (void)level, (void)facility, (void)text;
}

enum status kafka_conf_try(rd_kafka_conf_t *conf, rd_kafka_type_t type, struct error *err)
{
    char why[256] = "";
    rd_kafka_conf_set_log_cb(conf, log_nothing);
    rd_kafka_t *client = rd_kafka_new(type, conf, why, sizeof why);
    if (client == NULL) {
        rd_kafka_conf_destroy(conf);
        return error_set(err, ERROR_PERMANENT, "kafka_conf", "kafka %s: %s", type == RD_KAFKA_PRODUCER ? "producer" : "consumer", why);
    }
    rd_kafka_destroy_flags(client, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    return STATUS_OK;
}

/* From a poll. A broker that enforces a quota only answers late; counted, so that an operator can see the cause. */
static void count_throttle(rd_kafka_t *rk, const char *broker, int32_t broker_id, int throttle_ms, void *opaque)
{
    (void)rk, (void)broker, (void)broker_id, (void)opaque;
    METRIC_ADD(kafka_throttled_ms_total, throttle_ms);
}

/* librdkafka reads the file whole, once for each of our clients: a pipe would block the start, and a device may have no end. A missing file
 * is refused by librdkafka. */
static enum status check_file(const char *where, const char *name, const char *value, struct error *err)
{
    static const char kind[] = ".location";
    size_t length = strlen(name);
    struct stat found;
    if (length < sizeof kind || strcmp(name + length - (sizeof kind - 1), kind) != 0 || stat(value, &found) != 0 ||
        (S_ISREG(found.st_mode) && found.st_size <= FILE_BYTES_MAX) || (S_ISDIR(found.st_mode) && strcmp(name, "ssl.ca.location") == 0))
        return STATUS_OK;
    return error_set(err, ERROR_PERMANENT, "kafka_property", "%s: kafka.%s: %s is no regular file of at most %d bytes", where, name, value, FILE_BYTES_MAX);
}

/* where: the place where the value was set. */
static enum status set_given(rd_kafka_conf_t *conf, const char *where, const char *name, const char *value, struct error *err)
{
    char why[256];
    if (check_file(where, name, value, err) != STATUS_OK)
        return STATUS_FAILED;
    if (rd_kafka_conf_set(conf, name, value, why, sizeof why) == RD_KAFKA_CONF_OK)
        return STATUS_OK;
    return error_set(err, ERROR_PERMANENT, "kafka_property", "%s: kafka.%s: %s", where, name, kafka_property_is_secret(name) ? "librdkafka refuses the value" : why);
}

static enum status set(rd_kafka_conf_t *conf, const char *name, const char *value, struct error *err)
{
    return set_given(conf, "default", name, value, err);
}

static enum status set_all(rd_kafka_conf_t *conf, const struct pair *pairs, struct error *err)
{
    for (; pairs->name != NULL; pairs++)
        if (set(conf, pairs->name, pairs->value, err) != STATUS_OK)
            return STATUS_FAILED;
    return STATUS_OK;
}

static enum status set_number(rd_kafka_conf_t *conf, const char *name, int64_t value, struct error *err)
{
    char text[32];
    snprintf(text, sizeof text, "%lld", (long long)value);
    return set(conf, name, text, err);
}

static enum status set_prefetch(rd_kafka_conf_t *conf, const struct settings *settings, struct error *err)
{
    struct fetch_bounds bounds = fetch_bounds(settings);
    char why[256];
    if (rd_kafka_conf_set(conf, QUEUE_BACKOFF, QUEUE_BACKOFF_MS, why, sizeof why) == RD_KAFKA_CONF_INVALID)
        return error_set(err, ERROR_PERMANENT, "kafka_property", "kafka.%s: %s", QUEUE_BACKOFF, why);
    if (set_number(conf, "queued.min.messages", bounds.records, err) != STATUS_OK ||
        set_number(conf, "queued.max.messages.kbytes", bounds.kbytes, err) != STATUS_OK)
        return STATUS_FAILED;
    return set_number(conf, "fetch.message.max.bytes", bounds.partition_bytes, err);
}

/* A round: a Fetch that the broker holds until ROUND_BYTES are there or its wait is over. librdkafka's thread sends the next Fetch as soon as one is answered,
 * so without rounds each record is fetched by itself while they come one by one. Two things ask for rounds, and the longer wait holds:
 * - Many jobs run at once, so that several come in a round: it spares a quarter to a third of the CPU a job. A worker that runs few at once is asked few a second; its
 *   rounds would bring one or none, and cost as much as they spare.
 * - The partitions are many: a Fetch lists each of a broker's, in request and response, and librdkafka's thread visits each of them before and after, and for
 *   each piece of the response that it receives apart. With 1,000, answered at once, that was a third of the worker's CPU. A round's cost grows with the
 *   partitions, and so does the wait: rounds take the same share of a processor, however many partitions there are. */
#define ROUND_MS_MIN 5 /* shorter ones bring one record, and cost an idle worker more than 200 fetches a second */
#define MANY_PARTITIONS 16 /* with more than these, rounds */
#define MANY_WAIT_MS_MAX 50
#define MANY_A_MS 40 /* partitions for each millisecond of the wait */
#define ROUND_BYTES (64 * 1024) /* with so many bytes a Fetch doesn't wait */

static int many_wait_ms(int partitions)
{
    int wait_ms = partitions / MANY_A_MS;
    return wait_ms < ROUND_MS_MIN ? ROUND_MS_MIN : wait_ms > MANY_WAIT_MS_MAX ? MANY_WAIT_MS_MAX : wait_ms;
}

static int round_wait_ms(const struct settings *settings, int partitions)
{
    int many_ms = partitions > MANY_PARTITIONS ? many_wait_ms(partitions) : 0;
    int crowd_ms = settings_jobs_at_once(settings) > FEW_JOBS && settings->worker.gather_ms >= ROUND_MS_MIN ? (int)settings->worker.gather_ms : 0;
    return crowd_ms > many_ms ? crowd_ms : many_ms;
}

enum status kafka_conf_fetch_in_rounds(rd_kafka_conf_t *conf, const struct settings *settings, int partitions, struct error *err)
{
    static const char wait[] = "fetch.wait.max.ms", bytes[] = "fetch.min.bytes";
    int round_ms = round_wait_ms(settings, partitions);
    if (round_ms == 0 || settings_kafka_property(settings, wait) != NULL || settings_kafka_property(settings, bytes) != NULL)
        return STATUS_OK;
    if (set_number(conf, wait, round_ms, err) != STATUS_OK)
        return STATUS_FAILED;
    return set_number(conf, bytes, ROUND_BYTES, err);
}

enum status kafka_conf_make(const struct settings *settings, const char *bootstrap, rd_kafka_type_t type,
                            rd_kafka_conf_t **ret, struct error *err)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    if (set_all(conf, type == RD_KAFKA_PRODUCER ? producer_defaults : consumer_defaults, err) != STATUS_OK)
        goto failed;
    if (type == RD_KAFKA_CONSUMER && set_prefetch(conf, settings, err) != STATUS_OK)
        goto failed;
    for (size_t i = 0; i < settings->kafka.property_count; i++)
        if (set_given(conf, settings->kafka.properties[i].where, settings->kafka.properties[i].name, settings->kafka.properties[i].value, err) != STATUS_OK)
            goto failed;
    if (set(conf, "bootstrap.servers", bootstrap, err) != STATUS_OK)
        goto failed;
    if (type == RD_KAFKA_CONSUMER && set(conf, "group.id", settings->kafka.group_id, err) != STATUS_OK)
        goto failed;
    kafka_conf_log(conf);
    rd_kafka_conf_set_throttle_cb(conf, count_throttle);
    *ret = conf;
    return STATUS_OK;
failed:
    rd_kafka_conf_destroy(conf);
    return STATUS_FAILED;
}
