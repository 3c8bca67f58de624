#include "completion/publish_refusal.h"

enum refusal_kind refusal_kind_of(rd_kafka_resp_err_t err)
{
    switch (err) {
    case RD_KAFKA_RESP_ERR__QUEUE_FULL:
        return REFUSAL_QUEUE_FULL;
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
    case RD_KAFKA_RESP_ERR_INVALID_MSG_SIZE:
    case RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE:
        return REFUSAL_TOO_LARGE;
    case RD_KAFKA_RESP_ERR_INVALID_MSG:
    case RD_KAFKA_RESP_ERR_INVALID_RECORD:
    case RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP:
    case RD_KAFKA_RESP_ERR_POLICY_VIOLATION:
        return REFUSAL_INVALID;
    case RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION:
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
        return REFUSAL_TOPIC;
    case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
        return REFUSAL_PARTITION;
    default: /* an unknown code says nothing about the record: a reply replaced by mistake would be lost */
        return REFUSAL_NOT_NOW;
    }
}

bool refusal_is_final(enum refusal_kind kind)
{
    return kind == REFUSAL_TOO_LARGE || kind == REFUSAL_INVALID || refusal_is_of_the_place(kind);
}

bool refusal_is_of_the_place(enum refusal_kind kind)
{
    return kind == REFUSAL_TOPIC || kind == REFUSAL_PARTITION;
}

bool refusal_is_of_a_batch(enum refusal_kind kind)
{
    return kind == REFUSAL_TOO_LARGE || kind == REFUSAL_INVALID;
}

void refusal_set(struct refusal *ret, rd_kafka_resp_err_t err, const char *topic)
{
    ret->kind = refusal_kind_of(err);
    (void)error_set(&ret->error, refusal_is_final(ret->kind) ? ERROR_PERMANENT : ERROR_RETRIABLE, rd_kafka_err2name(err), "%s%s%s", topic ? topic : "",
                    topic ? ": " : "", rd_kafka_err2str(err));
}
