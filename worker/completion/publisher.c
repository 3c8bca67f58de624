#include "completion/publisher.h"

enum status publisher_create(const struct service *service, const char *bootstrap, bool (*give_up)(void), struct publisher **ret, struct error *err)
{
    return service->settings->worker.delivery == DELIVERY_EXACTLY_ONCE ? publisher_txn_create(service, bootstrap, give_up, ret, err)
                                                                       : publisher_plain_create(service, bootstrap, ret, err);
}

void publisher_destroy(struct publisher *publisher)
{
    if (publisher != NULL)
        publisher->operations->destroy(publisher);
}

void publisher_put(struct publisher *publisher, struct task *task)
{
    publisher->operations->put(publisher, task);
}

void publisher_poll(struct publisher *publisher, int timeout_ms)
{
    publisher->operations->poll(publisher, timeout_ms);
}

void publisher_hurry(struct publisher *publisher, int timeout_ms)
{
    publisher->operations->hurry(publisher, timeout_ms);
}

int publisher_pending(struct publisher *publisher)
{
    return publisher->operations->pending(publisher);
}

bool publisher_wants_poll(struct publisher *publisher)
{
    return publisher->operations->wants_poll(publisher);
}

bool publisher_close(struct publisher *publisher, int64_t until_ms)
{
    return publisher->operations->close(publisher, until_ms);
}

void publisher_end_soon(struct publisher *publisher)
{
    publisher->operations->end_soon(publisher);
}

void publisher_give_up(struct publisher *publisher, const struct error *why)
{
    if (publisher->operations->give_up != NULL)
        publisher->operations->give_up(publisher, why);
}

bool publisher_failed(struct publisher *publisher, struct error *ret)
{
    return publisher->operations->failed != NULL && publisher->operations->failed(publisher, ret);
}

void publisher_follow(struct publisher *publisher, rd_kafka_t *consumer)
{
    if (publisher->operations->follow != NULL)
        publisher->operations->follow(publisher, consumer);
}

void publisher_offer(struct publisher *publisher, struct partition *partition)
{
    if (publisher->operations->offer != NULL)
        publisher->operations->offer(publisher, partition);
}

uint64_t publisher_ask_commit(struct publisher *publisher)
{
    return publisher->operations->ask_commit == NULL ? 0 : publisher->operations->ask_commit(publisher);
}

bool publisher_commit_is_over(struct publisher *publisher, uint64_t number, bool *ret_made)
{
    *ret_made = true;
    return publisher->operations->commit_is_over == NULL || publisher->operations->commit_is_over(publisher, number, ret_made);
}

bool publisher_commit_now(struct publisher *publisher, int64_t until_ms)
{
    return publisher->operations->commit_now == NULL || publisher->operations->commit_now(publisher, until_ms);
}

void publisher_revoked(struct publisher *publisher)
{
    if (publisher->operations->revoked != NULL)
        publisher->operations->revoked(publisher);
}
