/* A Kafka that fails on demand: librdkafka's mock cluster, controlled line by line.
 *
 *   chat-kafkamock BROKERS TOPIC=PARTITIONS...
 *
 * Prints the bootstrap address first; then answers each input line with one: "ok", "ok VALUE" or
 * "error WHY". Ends with its input. One thread; the cluster has its own. */
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WORDS_MAX = 8 };

struct line {
    int count;
    const char *words[WORDS_MAX];
};

/* https://kafka.apache.org/protocol#protocol_api_keys */
static const struct api {
    const char *name;
    int16_t key;
} apis[] = {{"Produce", 0},     {"Fetch", 1},     {"ListOffsets", 2}, {"Metadata", 3},    {"OffsetCommit", 8}, {"OffsetFetch", 9}, {"FindCoordinator", 10},
            {"JoinGroup", 11}, {"Heartbeat", 12}, {"LeaveGroup", 13}, {"SyncGroup", 14}, {"ApiVersion", 18},  {"InitProducerId", 22}};

static rd_kafka_mock_cluster_t *cluster;
static int broker_count;

static const char *word(const struct line *line, int i)
{
    return i < line->count ? line->words[i] : "";
}

static int number(const struct line *line, int i)
{
    return atoi(word(line, i));
}

static bool api_find(const char *name, int16_t *ret)
{
    for (size_t i = 0; i < sizeof apis / sizeof *apis; i++)
        if (strcmp(apis[i].name, name) == 0) {
            *ret = apis[i].key;
            return true;
        }
    return false;
}

/* By the name without its prefix: NOT_COORDINATOR, _TRANSPORT. */
static bool error_find(const char *name, rd_kafka_resp_err_t *ret)
{
    const struct rd_kafka_err_desc *descs;
    size_t count;
    rd_kafka_get_err_descs(&descs, &count);
    for (size_t i = 0; i < count; i++)
        if (descs[i].name != NULL && strcmp(descs[i].name, name) == 0) {
            *ret = descs[i].code;
            return true;
        }
    return false;
}

static void say(rd_kafka_resp_err_t err)
{
    if (err == RD_KAFKA_RESP_ERR_NO_ERROR)
        puts("ok");
    else
        printf("error %s\n", rd_kafka_err2name(err));
}

/* fail API ERROR [RTT_MS]: fails one request to each broker, after the failures queued before. NO_ERROR: it is only late. */
static void fail(const struct line *line)
{
    int16_t api;
    rd_kafka_resp_err_t error, err = RD_KAFKA_RESP_ERR_NO_ERROR;
    if (!api_find(word(line, 1), &api) || !error_find(word(line, 2), &error)) {
        puts("error no such API or error");
        return;
    }
    for (int broker = 1; broker <= broker_count && err == RD_KAFKA_RESP_ERR_NO_ERROR; broker++)
        err = rd_kafka_mock_broker_push_request_error_rtts(cluster, broker, api, 1, error, number(line, 3));
    say(err);
}

/* left API: how many of these failures haven't been used yet. */
static void left(const struct line *line)
{
    int16_t api;
    size_t sum = 0;
    if (!api_find(word(line, 1), &api)) {
        puts("error no such API");
        return;
    }
    for (int broker = 1; broker <= broker_count; broker++) {
        size_t count = 0;
        if (rd_kafka_mock_broker_error_stack_cnt(cluster, broker, api, &count) == RD_KAFKA_RESP_ERR_NO_ERROR)
            sum += count;
    }
    printf("ok %zu\n", sum);
}

static void down(const struct line *line) /* down BROKER: -1 for all, here and below */
{
    say(rd_kafka_mock_broker_set_down(cluster, number(line, 1)));
}

static void up(const struct line *line)
{
    say(rd_kafka_mock_broker_set_up(cluster, number(line, 1)));
}

static void rtt(const struct line *line) /* rtt BROKER MS */
{
    say(rd_kafka_mock_broker_set_rtt(cluster, number(line, 1), number(line, 2)));
}

static void leader(const struct line *line) /* leader TOPIC PARTITION BROKER */
{
    say(rd_kafka_mock_partition_set_leader(cluster, word(line, 1), number(line, 2), number(line, 3)));
}

static void coordinator(const struct line *line) /* coordinator GROUP BROKER */
{
    say(rd_kafka_mock_coordinator_set(cluster, "group", word(line, 1), number(line, 2)));
}

static void transactions(const struct line *line) /* transactions ID BROKER */
{
    say(rd_kafka_mock_coordinator_set(cluster, "transaction", word(line, 1), number(line, 2)));
}

static void topic(const struct line *line) /* topic NAME ERROR */
{
    rd_kafka_resp_err_t error;
    if (!error_find(word(line, 2), &error)) {
        puts("error no such error");
        return;
    }
    rd_kafka_mock_topic_set_error(cluster, word(line, 1), error);
    puts("ok");
}

static void version(const struct line *line)
{
    (void)line;
    printf("ok %s\n", rd_kafka_version_str());
}

static const struct command {
    const char *name;
    void (*run)(const struct line *line);
} commands[] = {{"fail", fail}, {"left", left}, {"down", down}, {"up", up}, {"rtt", rtt}, {"leader", leader}, {"coordinator", coordinator}, {"transactions", transactions}, {"topic", topic}, {"version", version}};

static void obey(char *text)
{
    struct line line = {0};
    for (char *at = NULL, *token = strtok_r(text, " \n", &at); token != NULL && line.count < WORDS_MAX; token = strtok_r(NULL, " \n", &at))
        line.words[line.count++] = token;
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        if (strcmp(commands[i].name, word(&line, 0)) == 0) {
            commands[i].run(&line);
            return;
        }
    puts("error no such command");
}

static bool make_topics(int count, char **specs)
{
    for (int i = 0; i < count; i++) {
        char *partitions = strchr(specs[i], '=');
        if (partitions == NULL)
            return false;
        *partitions++ = '\0';
        if (rd_kafka_mock_topic_create(cluster, specs[i], atoi(partitions), 1) != RD_KAFKA_RESP_ERR_NO_ERROR)
            return false;
    }
    return true;
}

int main(int argc, char **argv)
{
    char text[512];
    broker_count = argc > 1 ? atoi(argv[1]) : 0;
    if (broker_count < 1) {
        fputs("usage: chat-kafkamock BROKERS TOPIC=PARTITIONS...\n", stderr);
        return 64;
    }
    rd_kafka_t *host = rd_kafka_new(RD_KAFKA_PRODUCER, rd_kafka_conf_new(), text, sizeof text);
    cluster = host ? rd_kafka_mock_cluster_new(host, broker_count) : NULL;
    if (cluster == NULL || !make_topics(argc - 2, argv + 2)) {
        fputs("chat-kafkamock: the cluster can't be made\n", stderr);
        return 69;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    puts(rd_kafka_mock_cluster_bootstraps(cluster));
    while (fgets(text, sizeof text, stdin) != NULL)
        obey(text);
    rd_kafka_mock_cluster_destroy(cluster);
    rd_kafka_destroy(host);
    return 0;
}
