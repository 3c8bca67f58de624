/* The worker's journey without the worker, by one event loop: nothing on it blocks, and a step that has to wait returns to the loop, which goes
 * on with the step's second half when what it waits for is there. Reads top to bottom; beside it lies floor_threads.c, the same steps with
 * calls that wait. What a job becomes is in floor_job.h, command line and guarantees in floor_setup.h.
 *
 * One thread: this loop (libevent). Kafka's queues signal it by an eventfd each, Redis is one connection with all commands pipelined (hiredis),
 * HTTP is in floor_calls.h: what there is a blocking call of libcurl's in threads is a file here. */
#include <event2/event.h>
#include <hiredis/adapters/libevent.h>
#include <hiredis/async.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/alloc.h"
#include "floor_calls.h"
#include "floor_job.h"
#include "floor_setup.h"
#include "redis/redis_script.h"
#include "redis/redis_url.h"
#include "redis/session_begin.h"
#include "redis/session_finish.h"
#include "redis_scripts.h"

enum { TURN_MOST = 64 /* jobs that are taken, calls that are started at most before the loop looks at its descriptors again */ };

/* One of IN_FLIGHT places: a job on its way. */
struct slot {
    struct slot *next; /* in free_slots or to_ask */
    struct floor_job *job;
    char *request;
    struct floor_call call; /* kept from job to job */
};

static struct floor the_floor;
static struct event_base *loop;
static redisAsyncContext *redis;
static struct slot *free_slots;               /* the last used first: its connection is warm */
static struct slot *to_ask, **to_ask_end = &to_ask; /* in the order in which they began */
static struct event *taking, *asking;         /* timers: there is more to do in the next turn */

static void soon(struct event *event)
{
    evtimer_add(event, &(struct timeval){0});
}

/* ---- the journey: where a step says SUSPENDS, the loop runs until the next function is called ---- */

static void begin(struct slot *slot);
static void begun(redisAsyncContext *context, void *reply, void *slot);
static void ask(struct slot *slot);
static void asked(void *slot, CURLcode rc);
static void finish(struct slot *slot);
static void finished(redisAsyncContext *context, void *reply, void *slot);
static void publish(struct slot *slot);
static void run_script(const struct redis_script_calls *script, redisCallbackFn *then, struct slot *slot);
static void read_script(const struct redis_script_calls *script, const redisReply *reply);

static void take(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what, (void)arg;
    for (int taken = 0; free_slots != NULL; taken++) {
        if (taken == TURN_MOST) {
            soon(taking);
            return;
        }
        rd_kafka_message_t *message = rd_kafka_consumer_poll(the_floor.consumer, 0);
        if (message == NULL)
            return; /* SUSPENDS: for a record; goes on in take() */
        struct floor_job *job = floor_received(message);
        if (job == NULL)
            continue;
        struct slot *slot = free_slots;
        free_slots = slot->next;
        slot->job = job;
        begin(slot);
    }
    /* SUSPENDS: for a slot; goes on in take() */
}

static void begin(struct slot *slot)
{
    session_begin_clear(&slot->job->begin, 1);
    struct redis_script_calls script = session_begin_calls(&the_floor.store, &slot->job->begin);
    run_script(&script, begun, slot); /* SUSPENDS: for Redis; goes on in begun() */
}

static void begun(redisAsyncContext *context, void *reply, void *arg)
{
    (void)context;
    struct slot *slot = arg;
    struct redis_script_calls script = session_begin_calls(&the_floor.store, &slot->job->begin);
    read_script(&script, reply);
    if (floor_job_begun(slot->job)) {
        slot->request = floor_job_request(slot->job);
        slot->next = NULL;
        *to_ask_end = slot;
        to_ask_end = &slot->next;
        soon(asking); /* SUSPENDS: for the turn of its call; goes on in ask() */
    } else {
        publish(slot);
    }
}

static void ask_some(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what, (void)arg;
    for (int started = 0; to_ask != NULL && started < TURN_MOST; started++) {
        struct slot *slot = to_ask;
        to_ask = slot->next;
        if (to_ask == NULL)
            to_ask_end = &to_ask;
        ask(slot);
    }
    if (to_ask != NULL)
        soon(asking);
}

static void ask(struct slot *slot)
{
    floor_calls_start(&slot->call, slot->request); /* SUSPENDS: for the LLM; goes on in asked() */
}

static void asked(void *owner, CURLcode rc)
{
    struct slot *slot = owner;
    if (rc != CURLE_OK)
        floor_die("llm", curl_easy_strerror(rc));
    long status = 0;
    curl_easy_getinfo(slot->call.easy, CURLINFO_RESPONSE_CODE, &status);
    floor_job_answered(slot->job, status, text_buffer_text(&slot->call.answer), slot->call.answer.size);
    free(slot->request);
    finish(slot);
}

static void finish(struct slot *slot)
{
    struct redis_script_calls script = session_finish_calls(&the_floor.store, &slot->job->finish);
    run_script(&script, finished, slot); /* SUSPENDS: for Redis; goes on in finished() */
}

static void finished(redisAsyncContext *context, void *reply, void *arg)
{
    (void)context;
    struct slot *slot = arg;
    struct redis_script_calls script = session_finish_calls(&the_floor.store, &slot->job->finish);
    read_script(&script, reply);
    floor_job_finished(slot->job);
    publish(slot);
}

static void publish(struct slot *slot)
{
    floor_publish(&the_floor, slot->job); /* nobody waits for the acknowledgement but the offset */
    slot->next = free_slots;
    free_slots = slot;
    soon(taking);
}

static void acknowledged(rd_kafka_t *producer, const rd_kafka_message_t *message, void *opaque)
{
    (void)producer;
    (void)opaque;
    if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR)
        floor_die("delivery", rd_kafka_err2str(message->err));
    floor_done(message->_private);
}

/* ---- Kafka: a queue that was empty and gets something writes to its eventfd ---- */

static void wait_for_queue(rd_kafka_queue_t *queue, event_callback_fn then)
{
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    uint64_t one = 1;
    if (fd < 0)
        floor_die("eventfd", "can't be made");
    event_add(event_new(loop, fd, EV_READ | EV_PERSIST, then, NULL), NULL);
    rd_kafka_queue_io_event_enable(queue, fd, &one, sizeof one);
}

static void empty(evutil_socket_t fd)
{
    uint64_t count;
    (void)!read(fd, &count, sizeof count);
}

static void on_records(evutil_socket_t fd, short what, void *arg)
{
    empty(fd);
    take(fd, what, arg);
}

static void on_reports(evutil_socket_t fd, short what, void *arg)
{
    (void)what, (void)arg;
    empty(fd);
    rd_kafka_poll(the_floor.producer, 0);
}

/* ---- Redis: one connection; what is written in a turn of the loop leaves together ---- */

static void run_script(const struct redis_script_calls *script, redisCallbackFn *then, struct slot *slot)
{
    static struct redis_args args; /* reused: hiredis copies */
    redis_args_reset(&args);
    redis_args_text(&args, "EVALSHA");
    redis_args_text(&args, script->script->sha);
    script->fill(&args, script->shared, script->ops);
    if (redisAsyncCommandArgv(redis, then, slot, args.count, args.value, args.size) != REDIS_OK)
        floor_die("redis", redis->errstr);
}

static void read_script(const struct redis_script_calls *script, const redisReply *reply)
{
    if (reply == NULL)
        floor_die("redis", "the connection is lost");
    if (reply->type == REDIS_REPLY_ERROR)
        floor_die("redis", reply->str);
    if (!script->answer(script->ops, script->shared, reply))
        floor_die("redis", "an unexpected answer");
}

static void connect_redis(void)
{
    struct redis_url url;
    struct error err;
    if (redis_url_parse(the_floor.redis_url, &url, &err) != STATUS_OK)
        floor_die("redis", err.message);
    redis = url.path != NULL ? redisAsyncConnectUnix(url.path) : redisAsyncConnect(url.host, url.port);
    if (redis == NULL || redis->err || redisLibeventAttach(redis, loop) != REDIS_OK)
        floor_die("redis", "can't be reached");
    redis_url_finish(&url);
    redisAsyncCommand(redis, NULL, NULL, "SCRIPT LOAD %s", script_begin); /* what follows on the connection finds them */
    redisAsyncCommand(redis, NULL, NULL, "SCRIPT LOAD %s", script_finish);
}

static void new_slots(int count)
{
    struct slot *slots = xcalloc((size_t)count, sizeof *slots);
    for (int i = count - 1; i >= 0; i--) {
        slots[i].call.owner = &slots[i];
        slots[i].next = free_slots;
        free_slots = &slots[i];
        floor_calls_add(&slots[i].call, loop, the_floor.llm_url, asked);
    }
}

int main(int argc, char **argv)
{
    floor_start(&the_floor, argc, argv, acknowledged);
    loop = event_base_new();
    taking = evtimer_new(loop, take, NULL);
    asking = evtimer_new(loop, ask_some, NULL);
    connect_redis();
    new_slots(the_floor.in_flight);
    wait_for_queue(rd_kafka_queue_get_consumer(the_floor.consumer), on_records);
    wait_for_queue(rd_kafka_queue_get_main(the_floor.producer), on_reports);
    soon(taking); /* what came before there was an eventfd */
    event_base_dispatch(loop);
    return 1; /* it has always something to wait for */
}
