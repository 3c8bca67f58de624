#include "dispatch/lanes.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "base/alloc.h"
#include "dispatch/dispatch_entry.h"

struct lane {
    UT_hash_handle hh;
    struct task *head;
    struct task_list waiting; /* behind it, in order */
    unsigned key_size;
    char key[];
};

/* topic NUL partition NUL key: equal keys of two topics are two lanes. NULL: unordered. */
static struct lane *find_or_make(struct lanes *lanes, const struct task *task)
{
    const char *key = "";
    size_t key_size = 0;
    if (lanes->ordering == ORDERING_NONE)
        return NULL;
    if (lanes->ordering == ORDERING_KEY) {
        if (task->job.session != NULL) {
            key = task->job.session;
            key_size = strlen(key);
        } else if (task->record.key != NULL) {
            key = task->record.key;
            key_size = task->record.key_size;
        } else {
            return NULL;
        }
    }
    size_t topic_size = strlen(task->record.topic) + 1;
    size_t size = topic_size + sizeof task->record.partition + key_size;
    struct lane *fresh = xcalloc(1, sizeof *fresh + size);
    memcpy(fresh->key, task->record.topic, topic_size);
    memcpy(fresh->key + topic_size, &task->record.partition, sizeof task->record.partition);
    memcpy(fresh->key + topic_size + sizeof task->record.partition, key, key_size);
    fresh->key_size = (unsigned)size;
    struct lane *lane = NULL;
    HASH_FIND(hh, lanes->first, fresh->key, fresh->key_size, lane);
    if (lane != NULL) {
        free(fresh);
        return lane;
    }
    HASH_ADD_KEYPTR(hh, lanes->first, fresh->key, fresh->key_size, fresh);
    return fresh;
}

bool lanes_enter(struct lanes *lanes, struct task *task)
{
    task->entry->lane = find_or_make(lanes, task);
    if (task->entry->lane != NULL && task->entry->lane->head == NULL)
        task->entry->lane->head = task;
    return !lanes_is_head(task);
}

bool lanes_is_head(const struct task *task)
{
    return task->entry->lane == NULL || task->entry->lane->head == task;
}

struct task *lanes_next(const struct task *task)
{
    return task->entry->lane != NULL ? task->entry->lane->waiting.first : NULL;
}

void lanes_line_up(struct task *task)
{
    assert(!lanes_is_head(task));
    task_list_push(&task->entry->lane->waiting, task);
}

void lanes_line_up_first(struct task *task)
{
    assert(!lanes_is_head(task));
    task_list_push_front(&task->entry->lane->waiting, task);
}

void lanes_step_out(struct task *task)
{
    task_list_remove(&task->entry->lane->waiting, task);
}

void lanes_forget(struct task *task)
{
    assert(!lanes_is_head(task));
    task->entry->lane = NULL;
}

void lanes_pass(struct task *head, struct task *next)
{
    assert(head->entry->lane != NULL && head->entry->lane->head == head && next->entry->lane == head->entry->lane);
    head->entry->lane->head = next;
    head->entry->lane = NULL;
}

void lanes_close(struct lanes *lanes, struct task *head)
{
    struct lane *lane = head->entry->lane;
    if (lane == NULL)
        return;
    assert(lane->head == head && lane->waiting.count == 0);
    HASH_DELETE(hh, lanes->first, lane);
    free(lane);
    head->entry->lane = NULL;
}
