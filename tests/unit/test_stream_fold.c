/* Streamed answers folded into whole ones, and each way a stream breaks. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "llm/llm_response.h"
#include "llm/sse_parser.h"
#include "llm/stream_fold.h"

#define EVENT(json) "data: " json "\n\n"
#define CHUNK(members) EVENT("{\"model\":\"m\"," members "}")
#define DELTA(members) CHUNK("\"choices\":[{\"index\":0,\"delta\":{" members "},\"finish_reason\":null}]")
#define SAY(text) DELTA("\"content\":\"" text "\"")
#define FINISH(reason) CHUNK("\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"" reason "\"}]")
#define USAGE(members) CHUNK("\"choices\":[],\"usage\":{" members "}")
#define DONE EVENT("[DONE]")

/* The result of a stream. */
struct result {
    struct stream_fold folding;
    enum status rc;
    struct error err;
    struct llm_failure failure;
    struct llm_answer answer;
    char text[256]; /* the published text, a bar behind each piece */
    char reasoning[256];
    uint64_t chunks;
};

static void hear(char *heard, const struct stream_news *news, enum stream_channel channel)
{
    if (news->size[channel] == 0)
        return;
    strncat(heard, news->text[channel], news->size[channel]);
    strcat(heard, "|");
}

static void hear_news(struct result *result)
{
    struct stream_news news;
    if (!stream_fold_has_news(&result->folding))
        return;
    stream_fold_news(&result->folding, &news);
    cr_expect_gt(news.size[STREAM_CHANNEL_TEXT] + news.size[STREAM_CHANNEL_REASONING], 0);
    hear(result->text, &news, STREAM_CHANNEL_TEXT);
    hear(result->reasoning, &news, STREAM_CHANNEL_REASONING);
    cr_expect_not(stream_fold_has_news(&result->folding), "each text is new once");
}

static bool fold_and_hear(void *arg, const struct sse_event *event)
{
    struct result *result = arg;
    bool more = stream_fold_event(&result->folding, event);
    hear_news(result);
    return more;
}

static struct result *fold(const char *stream, bool orderly, size_t bytes_max)
{
    struct result *result = xcalloc(1, sizeof *result);
    struct stream_fold *folding = &result->folding;
    struct sse_parser parser;
    sse_parser_init(&parser, 1 << 16);
    stream_fold_init(folding, bytes_max);
    enum status rc = sse_parser_feed(&parser, stream, strlen(stream), fold_and_hear, result);
    cr_expect_eq(rc, folding->done || folding->failed ? STATUS_CLOSED : STATUS_OK);
    result->rc = stream_fold_end(folding, orderly, &result->answer, &result->failure, &result->err);
    result->chunks = folding->chunk_count;
    stream_fold_finish(folding);
    sse_parser_finish(&parser);
    return result;
}

static void cleanup_result(struct result **result)
{
    llm_answer_finish(&(*result)->answer);
    free(*result);
}
#define RESULT __attribute__((cleanup(cleanup_result))) struct result *

static struct result *fold_whole(const char *stream)
{
    return fold(stream, true, 1 << 16);
}

/* Equal as JSON: the order of members means nothing. */
static void expect_message(const char *stream, const char *want)
{
    RESULT got = fold_whole(stream);
    AUTO_FREE char *text = json_dumps(got->answer.message, JSON_COMPACT);
    AUTO_JSON json_t *wanted = json_loads(want, JSON_ALLOW_NUL, NULL);
    cr_assert_eq(got->rc, STATUS_OK, "%s: %s", stream, got->err.message);
    cr_assert_not_null(wanted, "%s", want);
    cr_expect(json_equal(got->answer.message, wanted), "%s instead of %s", text, want);
}

static void expect_failure(const struct result *got, enum error_class class, const char *code, const char *stream)
{
    cr_expect_eq(got->rc, STATUS_FAILED, "%s", stream);
    cr_expect_eq(got->err.class, class, "%s: %s", stream, got->err.message);
    cr_expect_str_eq(got->err.code, code, "%s", stream);
    cr_expect_null(got->answer.message);
    cr_expect_null(strstr(got->err.message, "secret"), "a stream's text stays out: %s", got->err.message);
}

/* ---- the answer ---- */

Test(stream_fold, gives_what_a_whole_answer_gives)
{
    static const char stream[] = DELTA("\"role\":\"assistant\",\"content\":\"\"") SAY("a\\u0000") SAY("b \\u2603") FINISH("stop")
        USAGE("\"prompt_tokens\":3,\"completion_tokens\":2,\"total_tokens\":5") DONE;
    static const char body[] = "{\"model\":\"m\",\"choices\":[{\"finish_reason\":\"stop\",\"message\":{\"role\":\"assistant\","
                               "\"content\":\"a\\u0000b \\u2603\"}}],"
                               "\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2,\"total_tokens\":5}}";
    struct llm_answer want = {0};
    RESULT got = fold_whole(stream);
    cr_assert_eq(got->rc, STATUS_OK, "%s", got->err.message);
    cr_assert_eq(llm_response_decode(body, strlen(body), &want, NULL, NULL), STATUS_OK);
    cr_expect(json_equal(got->answer.message, want.message));
    cr_expect_str_eq(got->answer.finish_reason, want.finish_reason);
    cr_expect_str_eq(got->answer.model, want.model);
    cr_expect_eq(memcmp(&got->answer.usage, &want.usage, sizeof want.usage), 0);
    cr_expect_eq(got->chunks, 5, "`[DONE]` is no chunk");
    llm_answer_finish(&want);
}

Test(stream_fold, hands_out_text_as_it_comes_and_reasoning_apart)
{
    RESULT got = fold_whole(DELTA("\"reasoning_content\":\"hm\"") DELTA("\"reasoning\":\"so\"") SAY("a") SAY("") SAY("b")
                            DELTA("\"content\":\"c\",\"reasoning\":\"twice\",\"reasoning_content\":\"twice\"") DONE);
    cr_expect_str_eq(got->text, "a|b|c|");
    cr_expect_str_eq(got->reasoning, "hm|so|twice|");
    RESULT thinking = fold_whole(DELTA("\"reasoning\":\"hm\""));
    cr_expect_str_eq(thinking->reasoning, "hm|");
    RESULT silent = fold_whole(DELTA("\"role\":\"assistant\",\"content\":\"\",\"reasoning\":null") FINISH("stop"));
    cr_expect_str_eq(silent->reasoning, "");
    cr_expect_str_eq(silent->text, "");
}

/* A provider that changes from one name of the reasoning to the other, or uses both. */
Test(stream_fold, reasoning_is_one_channel_whatever_its_name)
{
    static const struct {
        const char *stream, *heard;
    } rows[] = {
        {DELTA("\"reasoning\":\"rrrrrrrrrr\"") DELTA("\"reasoning_content\":\"b\""), "rrrrrrrrrr|b|"},
        {DELTA("\"reasoning_content\":\"rrrrrrrrrr\"") DELTA("\"reasoning\":\"b\"") DELTA("\"reasoning_content\":\"c\""), "rrrrrrrrrr|b|c|"},
        {DELTA("\"reasoning\":\"a\",\"reasoning_content\":\"a\"") DELTA("\"reasoning\":\"bcd\",\"reasoning_content\":\"\"") SAY("x"), "a|bcd|"},
        {DELTA("\"reasoning\":\"ab\",\"reasoning_content\":null") DELTA("\"reasoning\":\"c\",\"reasoning_content\":\"c\""), "ab|c|"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        RESULT got = fold_whole(rows[i].stream);
        cr_expect_str_eq(got->reasoning, rows[i].heard, "row %zu", i);
    }
}

/* A late call gets the text from its beginning. */
Test(stream_fold, what_was_not_asked_for_is_still_new)
{
    struct result late = {0};
    static const char stream[] = DELTA("\"reasoning\":\"r\"") SAY("a") DELTA("\"reasoning_content\":\"s\"") SAY("b");
    struct sse_parser parser;
    sse_parser_init(&parser, 1 << 16);
    stream_fold_init(&late.folding, 1 << 16);
    cr_assert_eq(sse_parser_feed(&parser, stream, strlen(stream), stream_fold_event, &late.folding), STATUS_OK);
    hear_news(&late);
    cr_expect_str_eq(late.text, "ab|");
    cr_expect_str_eq(late.reasoning, "rs|");
    stream_fold_finish(&late.folding);
    sse_parser_finish(&parser);
}

Test(stream_fold, needs_nobody_who_listens)
{
    struct sse_event say = {.name = "message", .data = "{\"choices\":[{\"delta\":{\"content\":\"a\",\"reasoning\":\"b\"}}]}"};
    struct sse_event done = {.name = "message", .data = "[DONE]", .size = 6};
    struct stream_fold folding;
    struct llm_answer answer;
    say.size = strlen(say.data);
    stream_fold_init(&folding, 100);
    cr_expect(stream_fold_event(&folding, &say));
    cr_expect_not(stream_fold_event(&folding, &done));
    cr_expect_not(stream_fold_event(&folding, &say), "what comes later is ignored");
    cr_assert_eq(stream_fold_end(&folding, false, &answer, NULL, NULL), STATUS_OK);
    cr_expect_str_eq(json_string_value(json_object_get(answer.message, "content")), "a");
    llm_answer_finish(&answer);
    stream_fold_finish(&folding);
    stream_fold_finish(&folding);
}

Test(stream_fold, joins_the_members_of_a_message)
{
    static const struct {
        const char *stream;
        const char *want;
    } rows[] = {
        {SAY("a") DONE, "{\"role\":\"assistant\",\"content\":\"a\"}"},
        {DELTA("\"role\":\"\"") DELTA("\"role\":\"tool\",\"content\":\"a\"") DELTA("\"role\":\"assistant\"") DONE,
         "{\"role\":\"tool\",\"content\":\"a\"}"},
        {DELTA("\"role\":\"assistant\"") FINISH("stop") DONE, "{\"role\":\"assistant\",\"content\":\"\"}"},
        {DELTA("\"refusal\":\"no\"") DELTA("\"refusal\":\", no\"") DONE,
         "{\"role\":\"assistant\",\"content\":null,\"refusal\":\"no, no\"}"},
        {DELTA("\"reasoning\":\"x\"") DELTA("\"reasoning_content\":\"y\"") DELTA("\"reasoning\":\"z\"") SAY("a") DONE,
         "{\"role\":\"assistant\",\"content\":\"a\",\"reasoning_content\":\"y\",\"reasoning\":\"xz\"}"},
        {DELTA("\"name\":\"one\"") SAY("a") DELTA("\"name\":\"two\",\"audio\":{\"id\":1},\"n\":1,\"x\":null") DONE,
         "{\"role\":\"assistant\",\"content\":\"a\",\"name\":\"two\",\"audio\":{\"id\":1},\"n\":1,\"x\":null}"},
        {DELTA("\"function_call\":{\"name\":\"f\",\"arguments\":\"\"}") DELTA("\"function_call\":{\"arguments\":\"{\\\"q\\\":\"}")
             DELTA("\"function_call\":{\"arguments\":\"1}\"},\"content\":null") DONE,
         "{\"role\":\"assistant\",\"content\":null,\"function_call\":{\"name\":\"f\",\"arguments\":\"{\\\"q\\\":1}\"}}"},
        /* only choice 0, wherever it stands */
        {CHUNK("\"choices\":[{\"index\":1,\"delta\":{\"content\":\"x\"}},{\"index\":0,\"delta\":{\"content\":\"a\"}}]")
             CHUNK("\"choices\":[{\"index\":1,\"delta\":{\"content\":\"x\"},\"finish_reason\":\"stop\"}]") SAY("b")
             CHUNK("\"choices\":[{\"delta\":{\"content\":\"c\"}},{\"delta\":{\"content\":\"x\"}}]") DONE,
         "{\"role\":\"assistant\",\"content\":\"abc\"}"},
        /* values of the wrong kind are kept unchanged, as of a whole answer */
        {DELTA("\"role\":1,\"content\":[1],\"refusal\":{},\"reasoning\":true,\"tool_calls\":{\"a\":1},\"function_call\":\"f\"") SAY("a")
             CHUNK("\"choices\":{}") CHUNK("\"choices\":[7]") CHUNK("\"choices\":[{\"index\":0,\"delta\":[]}]") DONE,
         "{\"role\":\"assistant\",\"content\":[1,{\"type\":\"text\",\"text\":\"a\"}],\"refusal\":{},\"reasoning\":true,\"tool_calls\":{\"a\":1},"
         "\"function_call\":\"f\"}"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        expect_message(rows[i].stream, rows[i].want);
}

/* A provider may require a member, whatever its name. */
Test(stream_fold, joins_the_members_that_have_no_rule)
{
    static const struct {
        const char *stream;
        const char *want;
    } rows[] = {
        {DELTA("\"thinking\":\"a\"") DELTA("\"thinking\":\"a\"") DELTA("\"thinking\":\"b\""), "\"thinking\":\"aab\""},
        {DELTA("\"reasoning_details\":[{\"type\":\"reasoning.text\",\"text\":\"a\",\"index\":0}]")
             DELTA("\"reasoning_details\":[{\"type\":\"reasoning.text\",\"text\":\"b\",\"index\":0},{\"type\":\"reasoning.encrypted\",\"data\":\"x\",\"index\":1}]")
                 DELTA("\"reasoning_details\":[{\"signature\":\"s\",\"index\":0}]"),
         "\"reasoning_details\":[{\"type\":\"reasoning.text\",\"text\":\"ab\",\"index\":0,\"signature\":\"s\"},"
         "{\"type\":\"reasoning.encrypted\",\"data\":\"x\",\"index\":1}]"},
        {DELTA("\"parts\":[{\"text\":\"a\"}]") DELTA("\"parts\":[{\"text\":\"b\"},7,null]"), "\"parts\":[{\"text\":\"a\"},{\"text\":\"b\"},7,null]"},
        {DELTA("\"extra_content\":{\"google\":{\"thought_signature\":\"s\"}}") DELTA("\"extra_content\":{\"google\":{\"thought_signature\":\"s\",\"thought\":true}}"),
         "\"extra_content\":{\"google\":{\"thought_signature\":\"s\",\"thought\":true}}"},
        {DELTA("\"reasoning\":{\"text\":\"a\"}") DELTA("\"reasoning\":{\"text\":\"b\"}"), "\"reasoning\":{\"text\":\"ab\"}"},
        {DELTA("\"m\":{\"a\":1}") DELTA("\"m\":\"\"") DELTA("\"m\":null") DELTA("\"m\":{\"a\":2,\"b\":\"\"}"), "\"m\":{\"a\":2,\"b\":\"\"}"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        AUTO_FREE char *stream = xasprintf("%s%s", rows[i].stream, FINISH("stop") DONE);
        AUTO_FREE char *want = xasprintf("{\"role\":\"assistant\",\"content\":\"\",%s}", rows[i].want);
        expect_message(stream, want);
    }
}

#define CALLS(items) DELTA("\"tool_calls\":[" items "]")
#define CALL(id, name, arguments) \
    "{\"id\":\"" id "\",\"type\":\"function\",\"function\":{\"name\":\"" name "\",\"arguments\":\"" arguments "\"}}"
#define AT(index, rest) "{\"index\":" #index "," rest "}"
#define BEGIN(id, name) "\"id\":\"" id "\",\"type\":\"function\",\"function\":{\"name\":\"" name "\",\"arguments\":\"\"}"
#define ARGUMENTS(text) "\"function\":{\"arguments\":\"" text "\"}"

Test(stream_fold, joins_tool_calls)
{
    static const struct {
        const char *why;
        const char *stream;
        const char *want;
    } rows[] = {
        {"as OpenAI sends them", CALLS(AT(0, BEGIN("a", "f"))) CALLS(AT(0, ARGUMENTS("{"))) CALLS(AT(0, ARGUMENTS("}"))),
         CALL("a", "f", "{}")},
        {"two, mixed", CALLS(AT(0, BEGIN("a", "f")) "," AT(1, BEGIN("b", "g")))
             CALLS(AT(1, ARGUMENTS("1")) "," AT(0, ARGUMENTS("2"))) CALLS(AT(1, ARGUMENTS("3"))),
         CALL("a", "f", "2") "," CALL("b", "g", "13")},
        {"by index, not as they came", CALLS(AT(7, BEGIN("b", "g"))) CALLS(AT(1, BEGIN("a", "f"))) CALLS(AT(7, ARGUMENTS("1"))),
         CALL("a", "f", "") "," CALL("b", "g", "1")},
        {"members in pieces; later words of the same change nothing",
         CALLS(AT(0, "\"id\":\"a\"")) CALLS(AT(0, "\"function\":{\"name\":\"f\"}"))
             CALLS(AT(0, "\"id\":\"a\",\"type\":\"\",\"function\":{\"name\":\"f\",\"arguments\":\"1\"}")), CALL("a", "f", "1")},
        {"an id of its own for each delta", CALLS(AT(0, BEGIN("a", "f"))) CALLS(AT(0, "\"id\":\"z\"," ARGUMENTS("1"))),
         CALL("a", "f", "1")},
        {"the same id for two", CALLS(AT(0, BEGIN("a", "f"))) CALLS(AT(1, BEGIN("a", "g"))) CALLS(AT(0, ARGUMENTS("1"))),
         CALL("a", "f", "1") "," CALL("a", "g", "")},
        {"index 0 for all", CALLS(AT(0, BEGIN("a", "f"))) CALLS(AT(0, ARGUMENTS("1"))) CALLS(AT(0, BEGIN("b", "f")))
             CALLS(AT(0, "\"id\":\"\"," ARGUMENTS("2"))),
         CALL("a", "f", "1") "," CALL("b", "f", "2")},
        {"no index, but ids", CALLS("{" BEGIN("a", "f") "},{" BEGIN("b", "f") "}") CALLS("{\"id\":\"a\"," ARGUMENTS("1") "}")
             CALLS("{" ARGUMENTS("2") "}"),
         CALL("a", "f", "1") "," CALL("b", "f", "2")},
        {"neither index nor id", CALLS("{" BEGIN("", "f") "},{" BEGIN("", "g") "}") CALLS("{" ARGUMENTS("1") "}"),
         "{\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"\"},\"id\":\"\"},"
         "{\"type\":\"function\",\"function\":{\"name\":\"g\",\"arguments\":\"1\"},\"id\":\"\"}"},
        {"an index that is none", CALLS("{\"index\":-1," BEGIN("a", "f") "},{\"index\":9223372036854775807," BEGIN("b", "g") "}")
             CALLS("{\"index\":\"x\"," ARGUMENTS("1") "},{" BEGIN("c", "h") "}"),
         CALL("a", "f", "") "," CALL("b", "g", "1") "," CALL("c", "h", "")},
        {"the name in each delta", CALLS(AT(0, BEGIN("a", "f"))) CALLS(AT(0, "\"function\":{\"name\":\"f\",\"arguments\":\"1\"}")),
         CALL("a", "f", "1")},
        {"what else a call has", CALLS(AT(0, BEGIN("a", "f")))
             CALLS("{\"extra_content\":{\"google\":{\"thought_signature\":\"s\"}},\"custom\":null}"),
         "{\"id\":\"a\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"\"},"
         "\"extra_content\":{\"google\":{\"thought_signature\":\"s\"}},\"custom\":null}"},
        {"in its function, too, and in pieces",
         CALLS(AT(0, "\"id\":\"a\",\"type\":\"custom\",\"function\":{\"name\":\"f\",\"arguments\":\"\",\"thought_signature\":\"s\"},\"custom\":{\"input\":\"x\"}"))
             CALLS(AT(0, "\"custom\":{\"input\":\"y\"}")),
         "{\"id\":\"a\",\"type\":\"custom\",\"function\":{\"name\":\"f\",\"arguments\":\"\",\"thought_signature\":\"s\"},\"custom\":{\"input\":\"xy\"}}"},
        {"nothing among them", CALLS("null,[]") CALLS(AT(0, BEGIN("a", "f"))), CALL("a", "f", "")},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        AUTO_FREE char *stream = xasprintf("%s%s", rows[i].stream, FINISH("tool_calls") DONE);
        AUTO_FREE char *want = xasprintf("{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[%s]}", rows[i].want);
        expect_message(stream, want);
    }
    expect_message(SAY("I look") CALLS(AT(0, BEGIN("a", "f"))) DONE,
                   "{\"role\":\"assistant\",\"content\":\"I look\",\"tool_calls\":[" CALL("a", "f", "") "]}");
}

/* As Mistral does, and in forms that no provider uses yet. */
Test(stream_fold, content_in_parts_is_what_a_whole_answer_holds)
{
    static const struct {
        const char *stream, *content, *text, *reasoning;
    } rows[] = {
        {DELTA("\"content\":[{\"type\":\"text\",\"text\":\"a\"}]") DELTA("\"content\":[{\"type\":\"text\",\"text\":\"b\"}]"),
         "[{\"type\":\"text\",\"text\":\"ab\"}]", "a|b|", ""},
        {DELTA("\"content\":[{\"type\":\"thinking\",\"thinking\":[{\"type\":\"text\",\"text\":\"h\"}]}]")
             DELTA("\"content\":[{\"type\":\"thinking\",\"thinking\":[{\"type\":\"text\",\"text\":\"m\"}]}]") SAY("a") SAY("b"),
         "[{\"type\":\"thinking\",\"thinking\":[{\"type\":\"text\",\"text\":\"hm\"}]},{\"type\":\"text\",\"text\":\"ab\"}]", "a|b|", "h|m|"},
        {SAY("a") DELTA("\"content\":[{\"type\":\"image_url\",\"image_url\":{\"url\":\"u\"}}]") SAY("b"),
         "[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"image_url\",\"image_url\":{\"url\":\"u\"}},{\"type\":\"text\",\"text\":\"b\"}]", "a|b|", ""},
        {DELTA("\"content\":[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"text\",\"text\":\"b\"}]"),
         "[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"text\",\"text\":\"b\"}]", "ab|", ""},
        {DELTA("\"content\":{\"type\":\"text\",\"text\":\"a\"}") DELTA("\"content\":{\"text\":\"b\"}"), "{\"type\":\"text\",\"text\":\"ab\"}", "a|b|", ""},
        {DELTA("\"content\":[]") SAY("a"), "\"a\"", "a|", ""},
        {DELTA("\"content\":null"), "null", "", ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        AUTO_FREE char *stream = xasprintf("%s%s", rows[i].stream, FINISH("stop") DONE);
        AUTO_FREE char *want = xasprintf("{\"role\":\"assistant\",\"content\":%s}", rows[i].content);
        expect_message(stream, want);
        RESULT got = fold_whole(stream);
        cr_expect_str_eq(got->text, rows[i].text, "row %zu", i);
        cr_expect_str_eq(got->reasoning, rows[i].reasoning, "row %zu", i);
    }
}

Test(stream_fold, what_is_not_utf_8_and_no_part_of_the_answer_changes_nothing_of_what_was_told)
{
    static const char *const events[] = {"{\"choices\":[{\"delta\":{\"content\":\"a\",\"reasoning\":\"r\"}}]}", "{\"cho\xe6\xe6\":[]}", "{\"choices\":[{\"delta\":{\"content\":\"b\"}}]}"};
    static const size_t sizes[] = {1, 0, 1};
    struct stream_fold fold;
    stream_fold_init(&fold, 1000);
    for (size_t i = 0; i < sizeof events / sizeof *events; i++) {
        struct sse_event event = {.name = "message", .data = events[i], .size = strlen(events[i])};
        struct stream_news news;
        cr_assert(stream_fold_event(&fold, &event));
        stream_fold_news(&fold, &news);
        cr_expect_eq(news.size[STREAM_CHANNEL_TEXT], sizes[i]);
    }
    stream_fold_finish(&fold);
}

Test(stream_fold, characters_that_chunks_cut_are_joined)
{
    static const struct {
        const char *stream, *content, *text;
    } rows[] = {
        {SAY("a\\ud83d") SAY("\\ude00b"), "a\xf0\x9f\x98\x80" "b", "a|\xf0\x9f\x98\x80" "b|"},
        {SAY("a\xf0\x9f") SAY("\x98") SAY("\x80" "b"), "a\xf0\x9f\x98\x80" "b", "a|\xf0\x9f\x98\x80" "b|"},
        {SAY("a\\ud83d") SAY("b"), "a\xef\xbf\xbd" "b", "a|\xef\xbf\xbd" "b|"},
        {SAY("a") SAY("b\\ud83d"), "ab\xef\xbf\xbd", "a|b|"}, /* the rest is published at the end */
        {SAY("a") CHUNK("\"choices\":[],\"n\":\"\xff\"") SAY("b"), "ab", "a|b|"}, /* another member isn't UTF-8 */
        {SAY("\\ude00") SAY("\xff"), "\xef\xbf\xbd\xef\xbf\xbd", "\xef\xbf\xbd|\xef\xbf\xbd|"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        AUTO_FREE char *stream = xasprintf("%s%s", rows[i].stream, DONE);
        RESULT got = fold_whole(stream);
        cr_assert_eq(got->rc, STATUS_OK, "%s", got->err.message);
        cr_expect_str_eq(json_string_value(json_object_get(got->answer.message, "content")), rows[i].content, "row %zu", i);
        cr_expect_str_eq(got->text, rows[i].text, "row %zu", i);
    }
    expect_message(CALLS(AT(0, BEGIN("a", "f"))) CALLS(AT(0, ARGUMENTS("\\ud83d"))) CALLS(AT(0, ARGUMENTS("\\ude00"))) DONE,
                   "{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[" CALL("a", "f", "\\ud83d\\ude00") "]}");
}

Test(stream_fold, calls_of_any_form_are_joined)
{
    expect_message(CALLS("{\"index\":0,\"id\":\"a\",\"function\":{\"name\":\"f\",\"arguments\":{\"q\":null}}}") DONE,
                   "{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":\"a\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"q\\\":null}\"}}]}");
    expect_message(CALLS(AT(0, "\"id\":\"a\",\"function\":{\"name\":\"get_\"}")) CALLS(AT(0, "\"function\":{\"name\":\"weather\"}")) CALLS(AT(0, ARGUMENTS("1"))) DONE,
                   "{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[" CALL("a", "get_weather", "1") "]}");
    expect_message(CALLS(AT(0, "\"function\":{\"name\":\"f\",\"arguments\":\"1\"}")) CALLS(AT(0, "\"function\":{\"name\":\"g\",\"arguments\":\"2\"}")) DONE,
                   "{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"1\"}},"
                   "{\"type\":\"function\",\"function\":{\"name\":\"g\",\"arguments\":\"2\"}}]}");
    expect_message(DELTA("\"tool_calls\":{\"id\":\"a\",\"function\":{\"name\":\"f\"}}") DONE,
                   "{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[" CALL("a", "f", "") "]}");
    expect_message(CALLS("{\"index\":0,\"id\":\"a\",\"type\":\"custom\",\"custom\":{\"name\":\"f\",\"input\":\"x\"}}") CALLS("{\"index\":0,\"custom\":{\"input\":\"y\"}}") DONE,
                   "{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":\"a\",\"type\":\"custom\",\"custom\":{\"name\":\"f\",\"input\":\"xy\"}}]}");
}

/* The whole message instead of a delta, alone or behind its deltas. */
Test(stream_fold, a_message_that_is_said_again_is_not_told_twice)
{
#define AGAIN(members) CHUNK("\"choices\":[{\"index\":0,\"message\":{" members "},\"finish_reason\":\"stop\"}]")
    expect_message(AGAIN("\"role\":\"assistant\",\"content\":\"ab\"") DONE, "{\"role\":\"assistant\",\"content\":\"ab\"}");
    expect_message(SAY("a") SAY("b") AGAIN("\"role\":\"assistant\",\"content\":\"ab\",\"annotations\":[1]") DONE,
                   "{\"role\":\"assistant\",\"content\":\"ab\",\"annotations\":[1]}");
    expect_message(CHUNK("\"choices\":[{\"text\":\"a\"}]") CHUNK("\"choices\":[{\"text\":\"b\",\"finish_reason\":\"stop\"}]") DONE,
                   "{\"role\":\"assistant\",\"content\":\"ab\"}");
    RESULT got = fold_whole(SAY("a") SAY("b") AGAIN("\"content\":\"ab\"") DONE);
    cr_expect_str_eq(got->text, "a|b|");
}

Test(stream_fold, what_contradicts_itself_is_a_failure)
{
    static const char *const streams[] = {
        DELTA("\"m\":{\"a\":1}") DELTA("\"m\":\"x\""),
        DELTA("\"m\":[1]") DELTA("\"m\":{\"a\":1}"),
        DELTA("\"m\":1") DELTA("\"m\":\"x\""),
        DELTA("\"reasoning\":\"a\"") DELTA("\"reasoning\":{\"text\":\"b\"}"),
        DELTA("\"content\":7") SAY("a"),
        DELTA("\"content\":{\"text\":\"a\"}") SAY("a"),
        DELTA("\"refusal\":{\"a\":1}") DELTA("\"refusal\":\"no\""),
        DELTA("\"tool_calls\":\"f\"") CALLS(AT(0, BEGIN("a", "f"))),
        CALLS("7"),
        CALLS(AT(0, BEGIN("a", "f"))) CALLS(AT(0, ARGUMENTS("1"))) CALLS("{\"index\":0,\"function\":{\"arguments\":{\"a\":1}}}"),
        CALLS("{\"index\":0,\"function\":{\"name\":\"f\",\"arguments\":{\"a\":1}}}") CALLS(AT(0, ARGUMENTS("1"))),
        DELTA("\"function_call\":\"f\"") DELTA("\"function_call\":{\"name\":\"f\"}"),
    };
    for (size_t i = 0; i < sizeof streams / sizeof streams[0]; i++) {
        AUTO_FREE char *stream = xasprintf("%s%s", streams[i], FINISH("stop") DONE);
        RESULT got = fold_whole(stream);
        expect_failure(got, ERROR_PERMANENT, "invalid_response", stream);
        cr_expect_eq(got->failure.kind, FAILURE_ANSWER);
    }
}

/* Several values in an event, several pieces in a chunk, and an end without its blank line. */
Test(stream_fold, events_are_read_liberally)
{
    expect_message(EVENT("\xef\xbb\xbf{\"choices\":[{\"delta\":{\"content\":\"a\"}}],\"n\":NaN}") DONE, "{\"role\":\"assistant\",\"content\":\"a\"}");
    expect_message("data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\ndata: {\"choices\":[{\"delta\":{\"content\":\"b\"}}]}\ndata: [DONE]\n\n",
                   "{\"role\":\"assistant\",\"content\":\"ab\"}");
    expect_message(EVENT("{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}},{\"index\":1,\"delta\":{\"content\":\"x\"}},"
                         "{\"index\":0,\"delta\":{\"content\":\"b\"},\"finish_reason\":\"stop\"}]}"),
                   "{\"role\":\"assistant\",\"content\":\"ab\"}");
    expect_message("data: data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\ndata: data:{\"choices\":[{\"delta\":{\"content\":\"b\"}}]}\n\ndata: data: [DONE]\n\n", "{\"role\":\"assistant\",\"content\":\"ab\"}");
    expect_message("event: ping\ndata: ping\n\n" SAY("a") "event: ping\ndata: 7\n\n" DONE, "{\"role\":\"assistant\",\"content\":\"a\"}");
    static const struct {
        const char *data;
        bool whole;
    } rows[] = {{"[DONE]", true}, {"{\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}", true}, {"{\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]", false}, {"[DON", false}, {"", false}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct stream_fold folding;
        struct llm_answer answer = {0};
        struct error err = {0};
        struct sse_event last = {.name = "message", .data = rows[i].data, .size = strlen(rows[i].data)};
        stream_fold_init(&folding, 1000);
        static const char said[] = "{\"choices\":[{\"delta\":{\"content\":\"a\"}}]}";
        cr_expect(stream_fold_event(&folding, &(struct sse_event){.name = "message", .data = said, .size = sizeof said - 1}));
        stream_fold_last_event(&folding, &last);
        cr_expect_eq(stream_fold_end(&folding, true, &answer, NULL, &err) == STATUS_OK, rows[i].whole, "%s: %s", rows[i].data, err.message);
        llm_answer_finish(&answer);
        stream_fold_finish(&folding);
    }
}

/* ---- how it breaks: the numbers are those of the fifteen ways ---- */

/* 5: an HTTP 200, then an error in the stream. */
Test(stream_fold, nuls_that_keep_a_connection_awake_hide_no_field)
{
    static const char awake[] = "\0\0data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n\0data: [DONE]\n\n";
    struct stream_fold folding;
    struct sse_parser parser;
    stream_fold_init(&folding, 1 << 16);
    sse_parser_init(&parser, 1 << 16);
    cr_expect_eq(sse_parser_feed(&parser, awake, sizeof awake - 1, stream_fold_event, &folding), STATUS_CLOSED);
    cr_expect(folding.done && folding.message.texts[STREAM_CONTENT].size == 1);
    sse_parser_finish(&parser);
    stream_fold_finish(&folding);
}

Test(stream_fold, an_error_ends_it_wherever_it_stands)
{
    static const struct {
        const char *json;
        enum error_class class;
        const char *code;
        bool overflow, billing;
    } rows[] = {
        {"{\"error\":{\"message\":\"secret\",\"type\":\"server_error\",\"code\":null}}", ERROR_RETRIABLE, "server_error", 0, 0},
        {"{\"error\":{\"code\":\"rate_limit_exceeded\"}}", ERROR_RETRIABLE, "rate_limit_exceeded", 0, 0},
        {"{\"error\":{\"code\":\"insufficient_quota\",\"message\":\"secret\"}}", ERROR_PERMANENT, "insufficient_quota", 0, 1},
        {"{\"error\":{\"code\":503,\"type\":\"unavailable_error\"}}", ERROR_UNAVAILABLE, "unavailable_error", 0, 0},
        {"{\"error\":{\"code\":400,\"type\":\"exceed_context_size_error\",\"n_ctx\":1,\"n_prompt_tokens\":2}}", ERROR_PERMANENT, "context_length_exceeded", 1, 0},
        {"{\"error\":\"secret\",\"error_type\":\"generation\"}", ERROR_RETRIABLE, "generation", 0, 0},
        {"[{\"error\":{\"code\":429,\"status\":\"RESOURCE_EXHAUSTED\"}}]", ERROR_RETRIABLE, "RESOURCE_EXHAUSTED", 0, 0},
        {"{\"object\":\"error\",\"message\":\"secret\",\"type\":\"BadRequestError\",\"code\":400}", ERROR_PERMANENT, "BadRequestError", 0, 0},
        {"{\"id\":\"1\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"x\"}}],\"error\":{\"code\":502}}", ERROR_RETRIABLE, "http_502", 0, 0},
    };
    static const char *const before[] = {"", SAY("a") SAY("b"), SAY("a") SAY("b") FINISH("stop")};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        for (size_t b = 0; b < 3; b++) {
            AUTO_FREE char *stream = xasprintf("%sdata: %s\n\n%s", before[b], rows[i].json, SAY("x") FINISH("stop") DONE);
            RESULT got = fold_whole(stream);
            expect_failure(got, rows[i].class, rows[i].code, stream);
            cr_expect_eq(got->failure.kind == FAILURE_TOO_LONG, rows[i].overflow, "%s", stream);
            cr_expect_eq(got->failure.kind == FAILURE_BILLING, rows[i].billing, "%s", stream);
            cr_expect_eq(got->failure.n_ctx, rows[i].overflow ? 1 : 0, "by it the repeat is shortened: %s", stream);
            cr_expect_eq(got->failure.n_prompt, rows[i].overflow ? 2 : 0, "%s", stream);
            cr_expect_str_eq(got->text, b > 0 ? "a|b|" : "", "what came before was heard, what came later wasn't");
        }
        /* As the same error in a whole body is classed. */
        struct error err = {0};
        struct llm_answer answer;
        cr_expect_eq(llm_response_decode(rows[i].json, strlen(rows[i].json), &answer, NULL, &err), STATUS_FAILED);
        cr_expect_eq(err.class, rows[i].class);
        cr_expect_str_eq(err.code, rows[i].code);
    }
}

Test(stream_fold, an_event_named_error_is_one_whatever_it_holds)
{
    static const struct {
        const char *stream;
        enum error_class class;
        const char *code;
    } rows[] = {
        {SAY("a") "event: error\ndata: {\"message\":\"secret\",\"code\":429,\"type\":\"slow\"}\n\n" DONE, ERROR_RETRIABLE, "slow"},
        {SAY("a") "event: error\ndata: {\"error\":{\"code\":\"invalid_api_key\"}}\n\n", ERROR_PERMANENT, "invalid_api_key"},
        {"event: error\ndata: secret upstream\n\n", ERROR_RETRIABLE, "http_500"},
        {"event: error\ndata\n\n", ERROR_RETRIABLE, "http_500"},
        {SAY("a") FINISH("stop") "event: error\n" DONE, ERROR_RETRIABLE, "http_500"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        RESULT got = fold_whole(rows[i].stream);
        expect_failure(got, rows[i].class, rows[i].code, rows[i].stream);
    }
    RESULT other = fold_whole("event: delta\n" SAY("a") CHUNK("\"error\":null,\"choices\":[]") DONE);
    cr_expect_eq(other->rc, STATUS_OK, "another name, or an error that is null, is none: %s", other->err.message);
}

/* 6: the end of a stream without `[DONE]`. */
Test(stream_fold, an_end_without_an_end_is_broken)
{
    static const struct {
        const char *stream;
        bool orderly;
        bool whole;
    } rows[] = {
        {"", true, false},
        {": wait\n\n", true, false},
        {SAY("a") SAY("b"), true, false},
        {SAY("a") SAY("b"), false, false},
        {SAY("a") USAGE("\"prompt_tokens\":1"), true, false},
        {SAY("a") FINISH("stop"), false, false},
        {SAY("a") FINISH("stop"), true, true},
        {SAY("a") FINISH("stop") "data: [DONE]", true, true}, /* cut off, but the answer was whole */
        {SAY("a") "data: [DONE]", true, false},
        {SAY("a") FINISH(""), true, false}, /* Ollama's */
        {SAY("a") DONE, true, true},
        {SAY("a") DONE, false, true}, /* the connection's end after that doesn't matter */
        {SAY("a") "data:  [DONE] \n\n" SAY("x"), true, true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        RESULT got = fold(rows[i].stream, rows[i].orderly, 1000);
        if (rows[i].whole)
            cr_expect_eq(got->rc, STATUS_OK, "row %zu: %s", i, got->err.message);
        else
            expect_failure(got, ERROR_RETRIABLE, "stream_broken", rows[i].stream);
    }
}

/* 7: chunks without choices or delta, as Azure's. */
Test(stream_fold, chunks_that_bring_nothing_are_fine)
{
    RESULT got = fold_whole(EVENT("{\"model\":\"\",\"choices\":[],\"prompt_filter_results\":[]}") EVENT("{}") CHUNK("\"choices\":null")
                            CHUNK("\"choices\":[null]") CHUNK("\"choices\":[{\"index\":0,\"content_filter_offsets\":{},\"finish_reason\":null}]")
                            CHUNK("\"choices\":[{\"index\":0,\"delta\":null}]") DELTA("") DELTA("\"content\":null") SAY("a") EVENT("")
                            EVENT("{\"model\":\"\",\"choices\":[]}") FINISH("stop") DONE);
    cr_assert_eq(got->rc, STATUS_OK, "%s", got->err.message);
    cr_expect_str_eq(json_string_value(json_object_get(got->answer.message, "content")), "a");
    cr_expect_str_eq(got->answer.model, "m");
    cr_expect_str_eq(got->text, "a|");
    static const char *const empty[] = {DONE, EVENT("{}") DONE, USAGE("\"prompt_tokens\":1") DONE,
                                        CHUNK("\"choices\":[{\"index\":1,\"delta\":{\"content\":\"x\"},\"finish_reason\":\"stop\"}]") DONE};
    for (size_t i = 0; i < sizeof empty / sizeof empty[0]; i++) {
        RESULT nothing = fold_whole(empty[i]);
        expect_failure(nothing, ERROR_RETRIABLE, "invalid_response", empty[i]);
    }
}

/* 8: comments, CRLF, characters cut in two (a byte at a time cuts each). */
Test(stream_fold, reads_through_comments_crlf_and_cut_characters)
{
    static const char stream[] = ": wait\r\n\r\ndata: {\"choices\":[{\"delta\":{\"content\":\"h\xc3\xa9 \"}}]}\r\n\r\n: wait\r\n\r\n"
                                 "data: {\"choices\":[{\"delta\":\r\ndata: {\"content\":\"\xf0\x9f\x98\x80\"}}]}\r\n\r\ndata: [DONE]\r\n\r\n";
    struct result heard = {0};
    struct sse_parser parser;
    struct stream_fold *folding = &heard.folding;
    struct llm_answer answer = {0};
    sse_parser_init(&parser, 1000);
    stream_fold_init(folding, 1000);
    for (size_t i = 0; i + 1 < sizeof stream; i++) {
        enum status rc = sse_parser_feed(&parser, stream + i, 1, fold_and_hear, &heard);
        cr_assert_eq(rc, folding->done ? STATUS_CLOSED : STATUS_OK);
    }
    cr_assert_eq(stream_fold_end(folding, true, &answer, NULL, NULL), STATUS_OK);
    cr_expect_str_eq(json_string_value(json_object_get(answer.message, "content")), "h\xc3\xa9 \xf0\x9f\x98\x80");
    cr_expect_str_eq(heard.text, "h\xc3\xa9 |\xf0\x9f\x98\x80|");
    cr_expect_eq(folding->chunk_count, 2);
    llm_answer_finish(&answer);
    stream_fold_finish(folding);
    sse_parser_finish(&parser);
}

/* 9: a missing usage chunk booked as zero. */
Test(stream_fold, usage_that_is_missing_is_unknown)
{
    static const struct {
        const char *stream;
        struct usage want;
    } rows[] = {
        {SAY("a") FINISH("stop") DONE, {-1, -1, -1}},
        {SAY("a") CHUNK("\"choices\":[],\"usage\":null") DONE, {-1, -1, -1}},
        {SAY("a") USAGE("\"prompt_tokens\":7,\"completion_tokens\":0") DONE, {7, 0, -1}},
        {SAY("a") USAGE("\"prompt_tokens\":\"7\",\"completion_tokens\":-3,\"total_tokens\":7.0") DONE, {7, -1, 7}},
        {SAY("a") USAGE("\"prompt_tokens\":\"many\",\"completion_tokens\":NaN,\"total_tokens\":1e400") DONE, {-1, -1, -1}},
        {CHUNK("\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}],\"usage\":{\"prompt_tokens\":7,\"total_tokens\":8}")
             USAGE("\"prompt_tokens\":7,\"completion_tokens\":2") CHUNK("\"choices\":[],\"usage\":null") DONE, {7, 2, -1}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        RESULT got = fold_whole(rows[i].stream);
        cr_assert_eq(got->rc, STATUS_OK, "%s", got->err.message);
        cr_expect_eq(memcmp(&got->answer.usage, &rows[i].want, sizeof rows[i].want), 0, "row %zu", i);
    }
}

/* 10: `length` passed off as complete. */
Test(stream_fold, tells_why_it_ended)
{
    static const char *const streams[] = {SAY("a") FINISH("length") DONE, SAY("a") FINISH("length") FINISH("") DONE,
                                          SAY("a") FINISH("length") USAGE("\"total_tokens\":1"),
                                          CHUNK("\"choices\":[{\"index\":0,\"finish_reason\":\"length\"}]") DONE};
    for (size_t i = 0; i < sizeof streams / sizeof streams[0]; i++) {
        RESULT got = fold_whole(streams[i]);
        cr_assert_eq(got->rc, STATUS_OK, "%s", got->err.message);
        cr_expect_str_eq(got->answer.finish_reason, "length", "%s", streams[i]);
    }
    RESULT untold = fold_whole(SAY("a") DONE);
    cr_expect_null(untold->answer.finish_reason);
}

Test(stream_fold, a_chunk_that_is_no_json_object_is_an_invalid_response)
{
    char deep[6000] = "data: ";
    memset(deep + 6, '[', sizeof deep - 9);
    memcpy(deep + sizeof deep - 3, "\n\n", 3);
    const char *const chunks[] = {EVENT("{secret"), EVENT("<html>"), EVENT("null"), EVENT("7"), EVENT("[]"), EVENT("[{}]"),
                                  EVENT("[DONE"), EVENT("{} {"), EVENT("{} 7"), SAY("\\ud83"), SAY("\\x"), deep};
    for (size_t i = 0; i < sizeof chunks / sizeof chunks[0]; i++) {
        AUTO_FREE char *stream = xasprintf("%s%s%s", SAY("a"), chunks[i], SAY("x") FINISH("stop") DONE);
        RESULT got = fold_whole(stream);
        expect_failure(got, ERROR_RETRIABLE, "invalid_response", chunks[i]);
        cr_expect_str_eq(got->text, "a|");
    }
}

/* ---- its bounds ---- */

Test(stream_fold, keeps_no_more_than_it_may)
{
    static const struct {
        const char *stream;
        size_t bytes; /* what it keeps */
    } rows[] = {
        {SAY("123456") SAY("7890") DONE, 10},
        {SAY("\\u2603\\u0000") DONE, 9}, /* as JSON writes it */
        {SAY("ab\xff\xfe") DONE, 8}, /* two U+FFFD, by the end */
        {DELTA("\"content\":\"12\",\"refusal\":\"34\",\"reasoning\":\"56\",\"reasoning_content\":\"78\"") DONE, 8},
        {CALLS(AT(0, BEGIN("ab", "cd"))) CALLS(AT(0, BEGIN("ab", "cd"))) CALLS(AT(0, ARGUMENTS("12"))) DONE, 14},
        {DELTA("\"function_call\":{\"name\":\"f\",\"arguments\":\"12\"}") DONE, 3},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        RESULT fits = fold(rows[i].stream, true, rows[i].bytes);
        cr_expect_eq(fits->rc, STATUS_OK, "row %zu: %s", i, fits->err.message);
        RESULT over = fold(rows[i].stream, true, rows[i].bytes - 1);
        expect_failure(over, ERROR_PERMANENT, "response_too_large", rows[i].stream);
    }
    RESULT over = fold(SAY("123") SAY("45") SAY("x"), true, 4);
    cr_expect_str_eq(over->text, "123|", "what is too much isn't handed out");
}

/* A stream of one chunk after another, each with its number in its delta, until the fold has enough or count is reached. */
static struct error fold_many(const char *before, const char *behind, int count, size_t bytes_max)
{
    struct stream_fold folding;
    struct llm_answer answer = {0};
    struct error err = {0};
    bool more = true;
    stream_fold_init(&folding, bytes_max);
    for (int i = 0; i < count && more; i++) {
        char data[256];
        int size = snprintf(data, sizeof data, "{\"choices\":[{\"delta\":{%s%d%s}}]}", before, i, behind);
        more = stream_fold_event(&folding, &(struct sse_event){.name = "message", .data = data, .size = (size_t)size});
    }
    if (more)
        stream_fold_event(&folding, &(struct sse_event){.name = "message", .data = "[DONE]", .size = 6});
    if (stream_fold_end(&folding, true, &answer, NULL, &err) == STATUS_OK)
        llm_answer_finish(&answer);
    stream_fold_finish(&folding);
    return err;
}

Test(stream_fold, endless_small_things_are_bounded_too)
{
    static const char call[] = "\"tool_calls\":[{\"index\":";
    cr_expect_eq(fold_many(call, "}]", TOOL_CALLS_MAX, 1 << 20).class, ERROR_NONE);
    cr_expect_str_eq(fold_many(call, "}]", TOOL_CALLS_MAX + 1, 1 << 20).code, "response_too_large");
    cr_expect_str_eq(fold_many("\"m", "\":\"\"", 1000, 1 << 15).code, "response_too_large", "members of new names");
    cr_expect_str_eq(fold_many("\"m\":[\"", "\"]", 1000, 1 << 20).code, "response_too_large", "elements");
    cr_expect_str_eq(fold_many("\"m\":{\"m", "\":1}", 1000, 1 << 20).code, "response_too_large", "members within");
    cr_expect_str_eq(fold_many("\"m\":\"", "\"", 10000, 1 << 10).code, "response_too_large", "a text in pieces");
    cr_expect_eq(fold_many("\"name\":\"", "\"", 10000, 1 << 10).class, ERROR_NONE, "a name said again takes no more");
}
