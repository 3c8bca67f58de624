/* Loaded into a worker before its libraries, it breaks one of their calls as CHAT_TEST_BREAK says:
 *   assignment  an assignment is accepted and never fetched, as a deferred unassign did to others: the member looks healthy
 *   call   a wait for an answer never ends, whatever its time-out; on an event loop, the turn in which the answer is read
 *   transaction  what is sent into a transaction for a coordinator that went never returns
 *   commit  a commit of a transaction is never done: each call comes back after its time-out, to be made again
 *   producer  the first producer of replies, and the first of deltas, fail for good with records on their way, as librdkafka before 2.3 does
 *          after some restarts of a broker (its issue 4438); producers   each of them does
 *   protocol  which protocol rebalances follow is said once and no more, as by a consumer that is closing
 *   ipv6   the kernel has none; v6only   a socket of IPv6 takes no IPv4, as with net.ipv6.bindv6only
 *   turn   a turn with the word TURN-BLOCKER in it keeps for 200 ms whatever encodes it: the job's thread, or its event loop
 *   decode a record with the word DECODER-POISON in it kills whoever reads it
 * What a test can't bring about from outside. */
#include <curl/curl.h>
#include <dlfcn.h>
#include <errno.h>
#include <librdkafka/rdkafka.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <xxhash.h>

static int is_broken(const char *what)
{
    const char *broken = getenv("CHAT_TEST_BREAK");
    return broken != NULL && strcmp(broken, what) == 0;
}

rd_kafka_error_t *rd_kafka_incremental_assign(rd_kafka_t *rk, const rd_kafka_topic_partition_list_t *partitions)
{
    rd_kafka_error_t *(*real)(rd_kafka_t *, const rd_kafka_topic_partition_list_t *);
    if (is_broken("assignment"))
        return NULL;
    *(void **)&real = dlsym(RTLD_NEXT, "rd_kafka_incremental_assign");
    return real(rk, partitions);
}

rd_kafka_error_t *rd_kafka_send_offsets_to_transaction(rd_kafka_t *rk, const rd_kafka_topic_partition_list_t *offsets,
                                                       const rd_kafka_consumer_group_metadata_t *membership, int timeout_ms)
{
    rd_kafka_error_t *(*real)(rd_kafka_t *, const rd_kafka_topic_partition_list_t *, const rd_kafka_consumer_group_metadata_t *, int);
    while (is_broken("transaction"))
        pause();
    *(void **)&real = dlsym(RTLD_NEXT, "rd_kafka_send_offsets_to_transaction");
    return real(rk, offsets, membership, timeout_ms);
}

rd_kafka_error_t *rd_kafka_commit_transaction(rd_kafka_t *rk, int timeout_ms)
{
    rd_kafka_error_t *(*real)(rd_kafka_t *, int);
    if (is_broken("commit")) {
        usleep((useconds_t)timeout_ms * 1000);
        return rd_kafka_error_new(RD_KAFKA_RESP_ERR__TIMED_OUT, "broken");
    }
    *(void **)&real = dlsym(RTLD_NEXT, "rd_kafka_commit_transaction");
    return real(rk, timeout_ms);
}

/* Only librdkafka can make a retriable error. */
int rd_kafka_error_is_retriable(const rd_kafka_error_t *error)
{
    int (*real)(const rd_kafka_error_t *);
    if (is_broken("commit") && rd_kafka_error_code(error) == RD_KAFKA_RESP_ERR__TIMED_OUT)
        return 1;
    *(void **)&real = dlsym(RTLD_NEXT, "rd_kafka_error_is_retriable");
    return real(error);
}

/* Of deltas, by their time-out. */
static int is_of_deltas(rd_kafka_t *rk)
{
    char value[32] = "";
    size_t size = sizeof value;
    return rd_kafka_conf_get(rd_kafka_conf(rk), "message.timeout.ms", value, &size) == RD_KAFKA_CONF_OK && strcmp(value, "10000") == 0;
}

static void break_producer(rd_kafka_t *rk)
{
    static atomic_int died[2];
    if ((!is_broken("producer") && !is_broken("producers")) || rd_kafka_type(rk) != RD_KAFKA_PRODUCER || rd_kafka_outq_len(rk) == 0 ||
        rd_kafka_fatal_error(rk, NULL, 0) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return;
    if (atomic_fetch_add(&died[is_of_deltas(rk)], 1) == 0 || is_broken("producers"))
        rd_kafka_test_fatal_error(rk, RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER, "broken");
}

int rd_kafka_poll(rd_kafka_t *rk, int timeout_ms)
{
    int (*real)(rd_kafka_t *, int);
    *(void **)&real = dlsym(RTLD_NEXT, "rd_kafka_poll");
    break_producer(rk);
    return real(rk, timeout_ms);
}

rd_kafka_resp_err_t rd_kafka_flush(rd_kafka_t *rk, int timeout_ms)
{
    rd_kafka_resp_err_t (*real)(rd_kafka_t *, int);
    *(void **)&real = dlsym(RTLD_NEXT, "rd_kafka_flush");
    break_producer(rk);
    return real(rk, timeout_ms);
}

const char *rd_kafka_rebalance_protocol(rd_kafka_t *rk)
{
    static atomic_int asked;
    const char *(*real)(rd_kafka_t *);
    if (is_broken("protocol") && atomic_fetch_add(&asked, 1) > 0)
        return NULL;
    *(void **)&real = dlsym(RTLD_NEXT, "rd_kafka_rebalance_protocol");
    return real(rk);
}

/* Decoding ends with a record's fingerprint. */
XXH128_hash_t XXH3_128bits(const void *bytes, size_t size)
{
    static const char poison[] = "DECODER-POISON";
    XXH128_hash_t (*real)(const void *, size_t);
    if (is_broken("decode") && bytes != NULL && memmem(bytes, size, poison, sizeof poison - 1) != NULL)
        __builtin_trap();
    *(void **)&real = dlsym(RTLD_NEXT, "XXH3_128bits");
    return real(bytes, size);
}

/* A turn's checksum. */
XXH64_hash_t XXH3_64bits(const void *bytes, size_t size)
{
    static const char blocker[] = "TURN-BLOCKER";
    XXH64_hash_t (*real)(const void *, size_t);
    if (is_broken("turn") && memmem(bytes, size, blocker, sizeof blocker - 1) != NULL)
        usleep(200 * 1000);
    *(void **)&real = dlsym(RTLD_NEXT, "XXH3_64bits");
    return real(bytes, size);
}

CURLMcode curl_multi_poll(CURLM *multi, struct curl_waitfd extra[], unsigned int count, int timeout_ms, int *ret)
{
    CURLMcode (*real)(CURLM *, struct curl_waitfd[], unsigned int, int, int *);
    while (is_broken("call"))
        pause();
    *(void **)&real = dlsym(RTLD_NEXT, "curl_multi_poll");
    return real(multi, extra, count, timeout_ms, ret);
}

static int is_on_event_loop(void)
{
    char name[16] = "";
    pthread_getname_np(pthread_self(), name, sizeof name);
    return strncmp(name, "chat-loop", 9) == 0;
}

ssize_t recv(int fd, void *room, size_t size, int flags)
{
    ssize_t (*real)(int, void *, size_t, int);
    while (is_broken("call") && is_on_event_loop())
        pause();
    *(void **)&real = dlsym(RTLD_NEXT, "recv");
    return real(fd, room, size, flags);
}

int socket(int family, int type, int protocol)
{
    const int on = 1;
    int (*real)(int, int, int);
    if (family == AF_INET6 && is_broken("ipv6")) {
        errno = EAFNOSUPPORT;
        return -1;
    }
    *(void **)&real = dlsym(RTLD_NEXT, "socket");
    int fd = real(family, type, protocol);
    if (fd >= 0 && family == AF_INET6 && is_broken("v6only"))
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    return fd;
}
