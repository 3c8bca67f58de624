/* What each of librdkafka's error codes means for a record, and what is done with its end. */
#include <criterion/criterion.h>
#include <librdkafka/rdkafka.h>
#include <string.h>

#include "base/alloc.h"
#include "breakers/breakers.h"
#include "completion/end.h"
#include "completion/publish_refusal.h"
#include "completion/refused_end.h"
#include "dispatch/dispatcher.h"
#include "one_provider.h"

static const struct {
    rd_kafka_resp_err_t err;
    enum refusal_kind kind;
} known[] = {
    {RD_KAFKA_RESP_ERR__QUEUE_FULL, REFUSAL_QUEUE_FULL},
    {RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, REFUSAL_TOO_LARGE},
    {RD_KAFKA_RESP_ERR_INVALID_MSG_SIZE, REFUSAL_TOO_LARGE},
    {RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE, REFUSAL_TOO_LARGE},
    {RD_KAFKA_RESP_ERR_INVALID_MSG, REFUSAL_INVALID},
    {RD_KAFKA_RESP_ERR_INVALID_RECORD, REFUSAL_INVALID},
    {RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP, REFUSAL_INVALID},
    {RD_KAFKA_RESP_ERR_POLICY_VIOLATION, REFUSAL_INVALID},
    {RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION, REFUSAL_TOPIC},
    {RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, REFUSAL_TOPIC},
    {RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, REFUSAL_TOPIC},
    {RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC, REFUSAL_TOPIC},
    {RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION, REFUSAL_PARTITION},
};

static enum refusal_kind expected(rd_kafka_resp_err_t err)
{
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (known[i].err == err)
            return known[i].kind;
    return REFUSAL_NOT_NOW;
}

/* Also those of a later release of the library: they say nothing about the record. */
Test(publish_refusal, each_code_that_the_library_knows_has_its_kind)
{
    const struct rd_kafka_err_desc *all;
    size_t count, seen = 0;
    rd_kafka_get_err_descs(&all, &count);
    for (size_t i = 0; i < count; i++) {
        if (all[i].name == NULL)
            continue;
        struct refusal refusal;
        refusal_set(&refusal, all[i].code, "topic");
        cr_expect_eq(refusal.kind, expected(all[i].code), "%s", all[i].name);
        cr_expect_eq(refusal.kind, refusal_kind_of(all[i].code));
        cr_expect_eq(refusal.error.class, refusal_is_final(refusal.kind) ? ERROR_PERMANENT : ERROR_RETRIABLE, "%s", all[i].name);
        cr_expect_str_eq(refusal.error.code, rd_kafka_err2name(all[i].code));
        seen += refusal.kind != REFUSAL_NOT_NOW;
    }
    cr_expect_eq(seen, sizeof known / sizeof *known, "each of the table is one that it knows");
}

Test(publish_refusal, who_was_refused_with_a_batch_may_be_innocent_but_not_for_its_topic)
{
    static const bool final[] = {[REFUSAL_TOO_LARGE] = true, [REFUSAL_INVALID] = true, [REFUSAL_TOPIC] = true, [REFUSAL_PARTITION] = true};
    static const bool of_a_batch[] = {[REFUSAL_TOO_LARGE] = true, [REFUSAL_INVALID] = true, [REFUSAL_TOPIC] = false, [REFUSAL_PARTITION] = false};
    static const bool of_the_place[] = {[REFUSAL_TOPIC] = true, [REFUSAL_PARTITION] = true};
    for (enum refusal_kind kind = REFUSAL_NOT_NOW; kind <= REFUSAL_PARTITION; kind++) {
        cr_expect_eq(refusal_is_final(kind), final[kind]);
        cr_expect_eq(refusal_is_of_a_batch(kind), of_a_batch[kind]);
        cr_expect_eq(refusal_is_of_the_place(kind), of_the_place[kind]);
    }
}

/* ---- what is done with the end ---- */

static struct settings *settings;
static struct service service;
static struct partition *partition;

static void setup(void)
{
    settings = one_provider_settings(NULL);
    service.settings = settings;
    service.dispatcher = dispatcher_create(ORDERING_KEY, REDIS_IO_BATCHED, 8);
    service.breakers = breakers_create(settings, service.dispatcher);
    partition = partition_create("chat.jobs", 0, 1);
}

static void teardown(void)
{
    breakers_destroy(service.breakers);
    dispatcher_destroy(service.dispatcher);
    partition_unref(partition);
    settings_destroy(settings);
}

static struct task *ended(const char *own_topic)
{
    struct record record = {.topic = xstrdup("chat.jobs"), .timestamp_ms = -1, .value = xstrdup("{}"), .value_size = 2};
    if (own_topic != NULL)
        headers_add(&record.headers, "kafka_replyTopic", own_topic, strlen(own_topic));
    struct task *task = task_create(&record, partition);
    task->job.id = xstrdup("j");
    task->reply = xstrdup("the answer");
    end_owe(task, false);
    return task;
}

static enum refused_next refuse(struct task *task, bool is_dead_letter, bool in_company, rd_kafka_resp_err_t err)
{
    struct refusal refusal;
    refusal_set(&refusal, err, NULL);
    return refused_end(&service, task, is_dead_letter, in_company, &refusal);
}

TestSuite(refused_end, .init = setup, .fini = teardown);

#define REPLY false
#define LETTER true
#define ALONE false
#define IN_COMPANY true

Test(refused_end, a_reply_is_replaced_for_a_fault_of_its_own_alone)
{
    static const struct {
        rd_kafka_resp_err_t err;
        bool in_company;
        enum refused_next next;
        bool replaced;
    } rows[] = {
        {RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, IN_COMPANY, REFUSED_APART, false},
        {RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, ALONE, REFUSED_AGAIN, true},
        {RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE, ALONE, REFUSED_AGAIN, true},
        {RD_KAFKA_RESP_ERR_INVALID_RECORD, IN_COMPANY, REFUSED_APART, false},
        {RD_KAFKA_RESP_ERR_INVALID_RECORD, ALONE, REFUSED_AGAIN, true},
        {RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, IN_COMPANY, REFUSED_LATER, false},
        {RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, ALONE, REFUSED_LATER, false},
        {RD_KAFKA_RESP_ERR_UNKNOWN, IN_COMPANY, REFUSED_LATER, false},
        {RD_KAFKA_RESP_ERR_UNKNOWN, ALONE, REFUSED_LATER, false},
        {RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS, ALONE, REFUSED_LATER, false},
        {RD_KAFKA_RESP_ERR_INVALID_REQUIRED_ACKS, ALONE, REFUSED_LATER, false},
        {RD_KAFKA_RESP_ERR__MSG_TIMED_OUT, ALONE, REFUSED_LATER, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct task *task = ended(NULL);
        cr_expect_eq(refuse(task, REPLY, rows[i].in_company, rows[i].err), rows[i].next, "%zu", i);
        cr_expect_eq(strcmp(task->reply, "the answer") != 0, rows[i].replaced, "%zu: %s", i, task->reply);
        cr_expect_eq(task->end->dead_letter_owed, rows[i].replaced, "%zu", i);
        cr_expect(task->end->reply_owed);
        task_unref(task);
    }
}

/* Session and metadata may be as large as a job: an error reply with them would never be accepted either. */
Test(refused_end, what_replaces_a_reply_brings_nothing_of_the_job_back)
{
    for (int bad = 0; bad < 2; bad++) {
        struct task *task = ended(NULL);
        task->job.session = xstrdup("the-session");
        task->job.metadata = xstrdup("\"the metadata\"");
        task->outcome = bad ? OUTCOME_DEAD : OUTCOME_OK;
        if (bad)
            error_set(&task->error, ERROR_PERMANENT, "value_too_large", "its own");
        cr_expect_eq(refuse(task, REPLY, ALONE, RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE), REFUSED_AGAIN);
        cr_expect(strstr(task->reply, "\"job\":\"j\"") && strstr(task->reply, bad ? "value_too_large" : "reply_refused"), "%s", task->reply);
        cr_expect(!strstr(task->reply, "the-session") && !strstr(task->reply, "metadata"), "%s", task->reply);
        cr_expect_eq(task->end->dead_letter_owed, !bad, "that of a bad end is owed already, or there");
        cr_expect_str_eq(task->job.session, "the-session");
        task_unref(task);
    }
}

Test(refused_end, a_reply_that_was_replaced_has_no_other_form)
{
    struct task *task = ended(NULL);
    cr_expect_eq(refuse(task, REPLY, ALONE, RD_KAFKA_RESP_ERR_INVALID_RECORD), REFUSED_AGAIN);
    cr_expect_eq(refuse(task, REPLY, ALONE, RD_KAFKA_RESP_ERR_INVALID_RECORD), REFUSED_LATER);
    task_unref(task);
}

Test(refused_end, an_own_topic_is_left_and_the_answer_stays)
{
    struct task *task = ended("mine");
    cr_expect_eq(refuse(task, REPLY, IN_COMPANY, RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART), REFUSED_AGAIN);
    cr_expect(task->end->own_topic_refused);
    cr_expect_str_eq(task->reply, "the answer");
    cr_expect_eq(refuse(task, REPLY, IN_COMPANY, RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART), REFUSED_LATER, "replies_topic, too");
    cr_expect_str_eq(task->reply, "the answer");
    task_unref(task);
    task = ended("mine");
    cr_expect_eq(refuse(task, REPLY, ALONE, RD_KAFKA_RESP_ERR_UNKNOWN), REFUSED_LATER, "nothing of its topic");
    cr_expect_not(task->end->own_topic_refused);
    task_unref(task);
}

Test(refused_end, a_partition_that_is_not_there_is_left_before_its_topic)
{
    struct task *task = ended("mine");
    headers_add(&task->record.headers, "kafka_replyPartition", "\0\0\0\7", 4);
    cr_expect_eq(refuse(task, REPLY, IN_COMPANY, RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION), REFUSED_AGAIN);
    cr_expect(task->end->own_partition_refused);
    cr_expect_not(task->end->own_topic_refused);
    cr_expect_str_eq(task->reply, "the answer");
    cr_expect_eq(refuse(task, REPLY, IN_COMPANY, RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION), REFUSED_AGAIN, "a topic without any");
    cr_expect(task->end->own_topic_refused);
    cr_expect_eq(refuse(task, REPLY, IN_COMPANY, RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION), REFUSED_LATER);
    cr_expect_str_eq(task->reply, "the answer");
    task_unref(task);
}

Test(refused_end, a_dead_letter_goes_without_its_value_only_where_that_helps)
{
    static const rd_kafka_resp_err_t too_large[] = {RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, RD_KAFKA_RESP_ERR_INVALID_MSG_SIZE, RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE};
    for (size_t i = 0; i < sizeof too_large / sizeof *too_large; i++) {
        struct task *task = ended(NULL);
        cr_expect_eq(refuse(task, LETTER, ALONE, too_large[i]), REFUSED_AGAIN);
        cr_expect(task->end->value_omitted);
        cr_expect_eq(refuse(task, LETTER, ALONE, too_large[i]), REFUSED_LATER);
        task_unref(task);
    }
    struct task *task = ended(NULL);
    cr_expect_eq(refuse(task, LETTER, ALONE, RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED), REFUSED_LATER);
    cr_expect_not(task->end->value_omitted);
    task_unref(task);
}

Test(refused_end, the_breaker_of_the_dead_topic_hears_of_dead_letters_that_wait)
{
    for (int i = 0; i < 5; i++) {
        struct task *task = ended(NULL);
        task->job.session = xasprintf("s%d", i);
        cr_expect_eq(breakers_intake(service.breakers, 5), INTAKE_FREE, "%d", i);
        (void)refuse(task, REPLY, ALONE, RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED);
        (void)refuse(task, LETTER, ALONE, RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED);
        task_unref(task);
    }
    cr_expect_eq(breakers_intake(service.breakers, 5), INTAKE_CLOSED);
}
