#include "wire/delta.h"

#include "base/cleanup.h"
#include "wire/json_writer.h"

static void write_text(struct json_writer *out, const char *name, const char *text, size_t size)
{
    if (text == NULL)
        return;
    AUTO_JSON json_t *value = json_stringn_nocheck(text, size);
    json_write_tree(out, name, value);
}

char *delta_encode(const struct delta *delta)
{
    struct json_writer out = {0};
    json_write_open(&out, NULL);
    json_write_text(&out, "job", delta->job);
    json_write_text(&out, "session", delta->session);
    json_write_int(&out, "epoch", delta->epoch);
    json_write_int(&out, "try", delta->try);
    json_write_int(&out, "seq", delta->seq);
    write_text(&out, "delta", delta->text, delta->text_size);
    write_text(&out, "reasoning", delta->reasoning, delta->reasoning_size);
    if (delta->final)
        json_write_bool(&out, "final", true);
    json_write_close(&out);
    return out.text;
}

static bool take_number(const json_t *root, const char *name, int64_t *ret)
{
    const json_t *value = json_object_get(root, name);
    *ret = json_integer_value(value);
    return json_is_integer(value) && *ret >= 0;
}

enum status delta_decode(const void *value, size_t size, struct delta *ret, json_t **ret_root)
{
    AUTO_JSON json_t *root = value != NULL ? json_loadb(value, size, JSON_ALLOW_NUL, NULL) : NULL;
    const json_t *text = json_object_get(root, "delta");
    const json_t *reasoning = json_object_get(root, "reasoning");
    *ret = (struct delta){.job = json_string_value(json_object_get(root, "job")),
                          .session = json_string_value(json_object_get(root, "session")),
                          .text = json_string_value(text),
                          .text_size = json_string_length(text),
                          .reasoning = json_string_value(reasoning),
                          .reasoning_size = json_string_length(reasoning),
                          .final = json_is_true(json_object_get(root, "final"))};
    if (ret->job == NULL || !take_number(root, "epoch", &ret->epoch) || !take_number(root, "try", &ret->try) || !take_number(root, "seq", &ret->seq))
        return STATUS_FAILED;
    *ret_root = steal_ptr(&root);
    return STATUS_OK;
}

int delta_compare(const struct delta *a, const struct delta *b)
{
    if (a->epoch != b->epoch)
        return a->epoch > b->epoch ? 1 : -1;
    return a->try == b->try ? 0 : a->try > b->try ? 1 : -1;
}
