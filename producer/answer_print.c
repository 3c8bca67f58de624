#include "answer_print.h"

#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "command.h"
#include "outside_text.h"

static void print_line(const char *text)
{
    outside_text_print(stdout, text, strlen(text));
    putchar('\n');
}

/* If deltas were shown, prints the rest of the content. */
static void print_rest(const struct delta_view *view, const char *content)
{
    const char *rest;
    if (delta_view_rest(view, content, &rest))
        putchar('\n');
    print_line(rest);
}

void answer_print_delta(struct delta_view *view, const void *value, size_t size, const char *id)
{
    struct delta delta;
    AUTO_JSON json_t *root = NULL;
    const char *text;
    size_t text_size;
    if (delta_decode(value, size, &delta, &root) != STATUS_OK || strcmp(delta.job, id) != 0)
        return;
    if (delta_view_take(view, &delta, &text, &text_size))
        fputs("\n[it is answered anew]\n", stdout);
    if (text_size > 0)
        outside_text_print(stdout, text, text_size);
    fflush(stdout);
}

int answer_print_reply(struct delta_view *view, const void *value, size_t size, const struct reply_view *reply, bool whole)
{
    bool ok = strcmp(reply->status, "ok") == 0;
    if (whole) {
        fwrite(value, 1, size, stdout);
        putchar('\n');
    } else if (ok && reply->content != NULL) {
        print_rest(view, reply->content);
    } else if (ok) { /* tool calls, parts: no text to show */
        AUTO_FREE char *text = json_dumps(json_object_get(reply->root, "message"), JSON_COMPACT | JSON_ENCODE_ANY);
        print_line(text == NULL ? "" : text);
    } else if (view->size > 0) { /* half an answer was printed: begin a new line */
        putchar('\n');
    }
    fflush(stdout);
    if (ok)
        return EXIT_DONE;
    complain("%s: %s", reply->error_code != NULL ? reply->error_code : reply->status,
             reply->error_message != NULL ? reply->error_message : "no reason given");
    if (reply->provider_message != NULL)
        complain("the provider said: %s", reply->provider_message);
    return EXIT_NOT_DONE;
}
