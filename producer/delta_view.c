#include "delta_view.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

void delta_view_finish(struct delta_view *view)
{
    free(view->shown);
    *view = (struct delta_view){0};
}

static void append(struct delta_view *view, const char *text, size_t size)
{
    view->shown = xrealloc(view->shown, view->size + size + 1);
    memcpy(view->shown + view->size, text, size);
    view->size += size;
    view->shown[view->size] = '\0';
}

bool delta_view_take(struct delta_view *view, const struct delta *delta, const char **ret_text, size_t *ret_size)
{
    int order = view->any ? delta_compare(delta, &view->last) : 1;
    bool begins_anew = order > 0 && view->size > 0;
    *ret_size = 0;
    if (order < 0 || (order == 0 && delta->seq <= view->last.seq))
        return false; /* of an earlier stream; or a duplicate */
    if (order > 0) {
        delta_view_finish(view);
        view->broken = delta->seq != 0; /* the stream began before we read */
    } else if (delta->seq != view->last.seq + 1) {
        view->broken = true;
    }
    view->any = true;
    view->last = (struct delta){.epoch = delta->epoch, .try = delta->try, .seq = delta->seq};
    if (view->broken || delta->text == NULL)
        return begins_anew;
    append(view, delta->text, delta->text_size);
    *ret_text = delta->text;
    *ret_size = delta->text_size;
    return begins_anew;
}

bool delta_view_rest(const struct delta_view *view, const char *content, const char **ret_rest)
{
    bool is_beginning = view->size == 0 || strncmp(content, view->shown, view->size) == 0;
    *ret_rest = is_beginning ? content + view->size : content;
    return !is_beginning;
}
