/* A request to a provider, and the part of a history in it; the stored part of an answer, to be sent again. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "llm/llm_request.h"
#include "wire/history.h"
#include "wire/history_turn.h"

static struct provider_settings provider = {.name = "main", .model = "small"};

#define USER(text) "{\"role\":\"user\",\"content\":\"" text "\"}"
#define SAID(text) "{\"role\":\"assistant\",\"content\":\"" text "\"}"
#define SYSTEM(text) "{\"role\":\"system\",\"content\":\"" text "\"}"
#define CALLS(id) "{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":\"" id "\",\"type\":\"function\"}]}"
#define RESULT(id) "{\"role\":\"tool\",\"tool_call_id\":\"" id "\",\"content\":\"r\"}"
#define TURN(job, messages) "{\"job\":\"" job "\",\"messages\":[" messages "]}"

struct given {
    const char *messages; /* the job's, without brackets; NULL: USER("now") */
    const char *params;
    const char *system_prompt;
    const char *context;
    const char *turns[6]; /* up to the first NULL */
    int64_t bytes_max;    /* 0: no limit */
};

static char *encode_text(struct given given)
{
    char text[1024];
    snprintf(text, sizeof text, "[%s]", given.messages != NULL ? given.messages : USER("now"));
    AUTO_FREE char *params = given.params != NULL ? strdup(given.params) : NULL;
    char id[] = "this";
    struct job job = {.id = id, .messages = text, .params = params};
    struct llm_request_parts parts = {.provider = &provider,
                                      .system_prompt = given.system_prompt,
                                      .context = given.context,
                                      .turns = (char **)given.turns,
                                      .history_bytes_max = given.bytes_max ? given.bytes_max : 1 << 20,
                                      .job = &job};
    while (parts.turn_count < 6 && given.turns[parts.turn_count] != NULL)
        parts.turn_count++;
    return llm_request_encode(&parts);
}

static json_t *encode(struct given given)
{
    AUTO_FREE char *body = encode_text(given);
    json_t *root = json_loads(body, JSON_REJECT_DUPLICATES, NULL);
    cr_assert_not_null(root, "%s", body);
    return root;
}

static void expect_messages(struct given given, const char *want)
{
    AUTO_JSON json_t *root = encode(given);
    AUTO_FREE char *got = json_dumps(json_object_get(root, "messages"), JSON_COMPACT);
    char text[2048];
    snprintf(text, sizeof text, "[%s]", want);
    cr_expect_str_eq(got, text);
}
#define EXPECT_MESSAGES(want, ...) expect_messages((struct given){__VA_ARGS__}, want)

/* Equal as JSON: the order of members means nothing. */
static void expect_json(const json_t *got, const char *want)
{
    AUTO_JSON json_t *expected = json_loads(want, 0, NULL);
    AUTO_FREE char *text = json_dumps(got, JSON_COMPACT);
    cr_expect(json_equal((json_t *)(uintptr_t)got, expected), "%s instead of %s", text, want);
}

Test(request, is_model_and_messages)
{
    AUTO_JSON json_t *root = encode((struct given){0});
    expect_json(root, "{\"model\":\"small\",\"messages\":[" USER("now") "],\"stream\":false}");
}

Test(request, merges_the_providers_params_then_the_jobs)
{
    provider.params = "{\"temperature\":1,\"top_p\":0.5,\"stream\":true,\"n\":4}";
    AUTO_JSON json_t *root = encode((struct given){.params = "{\"temperature\":0,\"model\":\"large\"}"});
    expect_json(root, "{\"model\":\"large\",\"messages\":[" USER("now") "],\"temperature\":0,\"top_p\":0.5,\"stream\":false}");
}

Test(request, passes_params_on_as_they_came)
{
    provider.params = " { \"top_p\" : 0.10 , \"seed\":1e3,\"s\\u0074op\":[\"}\", 2.50]}";
    AUTO_FREE char *body = encode_text((struct given){.params = "{\"temperature\":0.20,\"seed\":-0.0}"});
    cr_expect_str_eq(body, "{\"messages\":[" USER("now") "],\"model\":\"small\",\"top_p\":0.10,"
                           "\"s\\u0074op\":[\"}\", 2.50],\"temperature\":0.20,\"seed\":-0.0,\"stream\":false}");
    AUTO_FREE char *both = encode_text((struct given){.params = "{\"stop\":null}"});
    cr_expect_null(strstr(both, "u0074"), "the same name, however it is written: %s", both);
}

Test(request, is_led_by_the_system_prompt_unless_the_job_brings_one)
{
    EXPECT_MESSAGES(SYSTEM("p") "," USER("a") "," SAID("b") "," USER("now"), .system_prompt = "p",
                    .turns = {TURN("1", USER("a") "," SAID("b"))});
    EXPECT_MESSAGES(SYSTEM("own") "," USER("a") "," SAID("b") "," USER("now"), .system_prompt = "p",
                    .messages = SYSTEM("own") "," USER("now"), .turns = {TURN("1", USER("a") "," SAID("b"))});
}

Test(request, has_the_context_in_the_last_system_message_before_the_history)
{
    static const char *const turn = TURN("1", USER("a") "," SAID("b"));
#define HISTORY USER("a") "," SAID("b") ","
    EXPECT_MESSAGES(SYSTEM("c") "," HISTORY USER("now"), .context = "c", .turns = {turn});
    EXPECT_MESSAGES(SYSTEM("p\\n\\nc") "," HISTORY USER("now"), .system_prompt = "p", .context = "c", .turns = {turn});
    EXPECT_MESSAGES(SYSTEM("own\\n\\nc") "," HISTORY USER("now"), .system_prompt = "p", .context = "c", .messages = SYSTEM("own") "," USER("now"), .turns = {turn});
    EXPECT_MESSAGES(SYSTEM("one") "," SYSTEM("two\\n\\nc") "," HISTORY USER("now"), .context = "c", .messages = SYSTEM("one") "," SYSTEM("two") "," USER("now"),
                    .turns = {turn});
    EXPECT_MESSAGES(SYSTEM("c") "," HISTORY USER("x") "," SYSTEM("late") "," USER("now"), .system_prompt = "p", .context = "c",
                    .messages = USER("x") "," SYSTEM("late") "," USER("now"), .turns = {turn});
    EXPECT_MESSAGES("{\"role\":\"system\",\"content\":[{\"type\":\"text\",\"text\":\"own\"}]}," SYSTEM("c") "," USER("now"), .context = "c",
                    .messages = "{\"role\":\"system\",\"content\":[{\"type\":\"text\",\"text\":\"own\"}]}," USER("now"));
    EXPECT_MESSAGES("{\"role\":\"developer\",\"name\":\"n\",\"content\":\"own\\n\\nc\"}," USER("now"), .context = "c",
                    .messages = "{\"role\":\"developer\",\"name\":\"n\",\"content\":\"own\"}," USER("now"));
    EXPECT_MESSAGES(SYSTEM("\\\"\\\\\\n\\t\xc3\xa9\\u001B") "," USER("now"), .context = "\"\\\n\t\xc3\xa9\x1b");
}

Test(history, is_cut_at_the_jobs_own_turn)
{
    EXPECT_MESSAGES(USER("a") "," SAID("b") "," USER("now"),
                    .turns = {TURN("1", USER("a") "," SAID("b")), TURN("this", USER("now") "," SAID("x")),
                              TURN("2", USER("c") "," SAID("d"))});
}

Test(history, skips_damaged_elements)
{
    EXPECT_MESSAGES(USER("a") "," SAID("b") "," USER("now"),
                    .turns = {"{", "[]", "{\"job\":\"1\",\"messages\":[]}", "{\"messages\":[{\"content\":\"x\"}]}",
                              TURN("1", USER("a") "," SAID("b"))});
}

Test(history, begins_with_a_user)
{
    EXPECT_MESSAGES(USER("a") "," SAID("b") "," USER("now"),
                    .turns = {TURN("1", RESULT("t") "," SAID("x")), TURN("2", SAID("y")),
                              TURN("3", USER("a") "," SAID("b"))});
}

Test(history, leaves_out_the_oldest_whole_turns_beyond_its_bytes)
{
    const char *turn = TURN("1", USER("a") "," SAID("b"));
    int64_t size = (int64_t)strlen(turn);
    EXPECT_MESSAGES(USER("a") "," SAID("b") "," USER("a") "," SAID("b") "," USER("now"),
                    .turns = {turn, turn, turn}, .bytes_max = 2 * size);
    EXPECT_MESSAGES(USER("a") "," SAID("b") "," USER("now"), .turns = {turn, turn, turn}, .bytes_max = 2 * size - 1);
    EXPECT_MESSAGES(USER("now"), .turns = {turn}, .bytes_max = 1);
}

Test(history, keeps_tool_calls_that_the_new_messages_answer)
{
    EXPECT_MESSAGES(USER("a") "," CALLS("t") "," RESULT("t"), .messages = RESULT("t"),
                    .turns = {TURN("1", USER("a") "," CALLS("t"))});
    EXPECT_MESSAGES(USER("now"), .turns = {TURN("1", USER("a") "," CALLS("t"))});
    EXPECT_MESSAGES(RESULT("other"), .messages = RESULT("other"), .turns = {TURN("1", USER("a") "," CALLS("t"))});
}

Test(history, leaves_out_unanswered_tool_calls_wherever_they_stand)
{
    EXPECT_MESSAGES(USER("c") "," SAID("d") "," USER("now"),
                    .turns = {TURN("1", USER("a") "," CALLS("t")), TURN("2", USER("c") "," SAID("d"))});
    /* The second turn answered the first; without it nothing does. */
    EXPECT_MESSAGES(USER("now"), .turns = {TURN("1", USER("a") "," CALLS("t")), TURN("2", RESULT("t") "," CALLS("u"))});
    EXPECT_MESSAGES(USER("a") "," SAID("b") "," USER("now"),
                    .turns = {TURN("1", USER("a") "," SAID("b")), TURN("2", RESULT("t") "," SAID("orphan"))});
}

/* want NULL: no turn is stored. */
static void expect_turn(const char *messages, const char *answer, const char *want)
{
    AUTO_FREE char *array = strdup(messages);
    AUTO_JSON json_t *message = json_loads(answer, 0, NULL);
    char id[] = "this";
    struct job job = {.id = id, .messages = array};
    AUTO_FREE char *turn = history_turn_encode(&job, message, false);
    if (want == NULL) {
        cr_expect_null(turn, "%s", turn);
        return;
    }
    cr_assert_not_null(turn, "%s", answer);
    AUTO_JSON json_t *root = json_loads(turn, 0, NULL);
    cr_assert_not_null(root, "%s", turn);
    json_object_del(root, "xxh3"); /* the mark; see the tests of history_turn_splice */
    expect_json(root, want);
}

/* A history of random turns, some marked plain and whole, some damaged, some with tools: used unparsed it must
 * give what parsing gives, or refuse. */
static char *random_turn(unsigned *state, int number)
{
    char id[16], question[64];
    snprintf(id, sizeof id, rand_r(state) % 8 == 0 ? "q\"%d" : "job-%d", number);
    snprintf(question, sizeof question, "[{\"role\":\"user\",\"content\":\"a \\\"b\\\" ] } %d\"}]", number);
    AUTO_JSON json_t *answer = json_loads(rand_r(state) % 10 == 0 ? CALLS("t") : SAID("x, ]}"), 0, NULL);
    struct job job = {.id = id, .messages = question};
    char *turn = history_turn_encode(&job, answer, false);
    if (rand_r(state) % 12 == 0)
        turn[strlen(turn) / 2] ^= 1;
    return turn;
}

Test(history, used_unparsed_is_what_parsing_gives)
{
    int spliced_count = 0;
    for (unsigned seed = 1; seed <= 400; seed++) {
        unsigned state = seed;
        char *turns[6];
        size_t count = (size_t)rand_r(&state) % 6;
        for (size_t i = 0; i < count; i++)
            turns[i] = random_turn(&state, (int)i);
        char own[16];
        snprintf(own, sizeof own, "job-%d", rand_r(&state) % 12);
        char now[] = "[" USER("now") "]";
        struct job job = {.id = own, .messages = now};
        int64_t bytes_max = rand_r(&state) % 3 == 0 ? rand_r(&state) % 600 : -1;
        struct json_writer parsed = {0}, spliced = {0};
        json_write_open_array(&parsed, NULL);
        json_write_open_array(&spliced, NULL);
        history_append(&parsed, turns, count, bytes_max, &job);
        if (history_turn_splice(&spliced, turns, count, bytes_max, &job)) {
            cr_expect_str_eq(spliced.text, parsed.text);
            spliced_count++;
        } else {
            cr_expect_str_eq(spliced.text, "[", "nothing is written");
        }
        free(parsed.text);
        free(spliced.text);
        for (size_t i = 0; i < count; i++)
            free(turns[i]);
    }
    cr_expect(spliced_count > 100, "%d", spliced_count);
}

Test(history, a_mark_on_a_damaged_element_is_not_believed)
{
    char damaged[] = "{\"xxh3\":\"0000000000000000\",\"job\":\"1\",\"messages\":[" USER("a") "," SAID("b") "]}";
    char *turns[] = {damaged};
    char now[] = "[" USER("now") "]", id[] = "this";
    struct job job = {.id = id, .messages = now};
    struct json_writer out = {0};
    cr_expect_not(history_turn_splice(&out, turns, 1, -1, &job));
    cr_expect_null(out.text);
}

Test(turn, holds_the_new_messages_without_system_ones_and_the_answer)
{
    expect_turn("[" SYSTEM("s") "," USER("now") "]", SAID("yes"), TURN("this", USER("now") "," SAID("yes")));
    expect_turn("[" USER("now") "]", CALLS("t"), TURN("this", USER("now") "," CALLS("t")));
}

Test(turn, holds_an_answer_that_can_be_sent_again)
{
    expect_turn("[" USER("now") "]",
                "{\"role\":\"assistant\",\"content\":\"yes\",\"tool_calls\":[],\"refusal\":null,"
                "\"reasoning_content\":\"hm\"}",
                TURN("this", USER("now") "," SAID("yes")));
}

/* A provider that doesn't know the member would see an empty message, and refuse it. */
Test(turn, holds_a_refusal_as_its_text_too)
{
    static const char *const contents[] = {"null", "\"\"", "\" \"", "[]"};
    for (size_t i = 0; i < sizeof contents / sizeof *contents; i++) {
        AUTO_FREE char *answer = xasprintf("{\"role\":\"assistant\",\"content\":%s,\"refusal\":\"no\"}", contents[i]);
        expect_turn("[" USER("now") "]", answer, TURN("this", USER("now") ",{\"role\":\"assistant\",\"content\":\"no\",\"refusal\":\"no\"}"));
    }
    expect_turn("[" USER("now") "]", "{\"role\":\"assistant\",\"content\":\"well\",\"refusal\":\"no\"}",
                TURN("this", USER("now") ",{\"role\":\"assistant\",\"content\":\"well\",\"refusal\":\"no\"}"));
}

Test(turn, keeps_what_came_with_tool_calls_whatever_its_name)
{
#define SIGNED_CALL "[{\"id\":\"t\",\"type\":\"function\",\"thought_signature\":\"s\",\"extra_content\":{\"google\":{\"thought_signature\":\"s\"}}}]"
    expect_turn("[" USER("now") "]",
                "{\"role\":\"assistant\",\"content\":\"\",\"tool_calls\":" SIGNED_CALL ",\"refusal\":null,\"annotations\":[],\"reasoning_content\":\"hm\","
                "\"reasoning\":\"hm\",\"reasoning_details\":[{\"type\":\"x\",\"data\":\"y\"}],\"of \\\"tomorrow\\\"\":7}",
                TURN("this", USER("now") ",{\"role\":\"assistant\",\"content\":\"\",\"tool_calls\":" SIGNED_CALL ",\"reasoning_content\":\"hm\",\"reasoning\":\"hm\","
                             "\"reasoning_details\":[{\"type\":\"x\",\"data\":\"y\"}],\"of \\\"tomorrow\\\"\":7}"));
    expect_turn("[" USER("now") "]", "{\"role\":\"assistant\",\"function_call\":{\"name\":\"f\"},\"reasoning\":\"hm\"}",
                TURN("this", USER("now") ",{\"role\":\"assistant\",\"function_call\":{\"name\":\"f\"},\"reasoning\":\"hm\"}"));
}

static const char *const nothing_said[] = {
    "{\"content\":null}", "{\"role\":\"assistant\",\"content\":\"\"}", "{\"role\":\"assistant\"}", "{\"role\":\"assistant\",\"content\":[]}",
    "{\"role\":\"assistant\",\"content\":\" \\n\"}", "{\"role\":\"assistant\",\"content\":[{\"type\":\"text\",\"text\":\"\"},{\"type\":\"text\"}]}",
    "{\"role\":\"assistant\",\"content\":\"\",\"refusal\":\"\",\"tool_calls\":[],\"function_call\":null}",
    "{\"role\":\"assistant\",\"content\":\"\",\"reasoning_content\":\"thought, then the limit came\"}"};
static const char *const something_said[] = {
    "{\"role\":\"assistant\",\"content\":\"0\"}", "{\"role\":\"assistant\",\"content\":null,\"refusal\":\"no\"}", CALLS("t"),
    "{\"role\":\"assistant\",\"content\":null,\"function_call\":{\"name\":\"f\"}}", "{\"role\":\"assistant\",\"content\":[{\"type\":\"text\",\"text\":\"x\"}]}",
    "{\"role\":\"assistant\",\"content\":[{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:\"}}]}"};

Test(turn, is_none_where_nothing_was_said)
{
    for (size_t i = 0; i < sizeof nothing_said / sizeof *nothing_said; i++)
        expect_turn("[" USER("now") "]", nothing_said[i], NULL);
    char now[] = "[" USER("now") "]", id[] = "this";
    struct job job = {.id = id, .messages = now};
    for (size_t i = 0; i < sizeof something_said / sizeof *something_said; i++) {
        AUTO_JSON json_t *answer = json_loads(something_said[i], 0, NULL);
        AUTO_FREE char *turn = history_turn_encode(&job, answer, false);
        cr_expect_not_null(turn, "%s", something_said[i]);
    }
    /* A caller's own empty message isn't stored either. */
    expect_turn("[" USER("a") "," SAID("") "," USER("b") "]", SAID("yes"), TURN("this", USER("a") "," USER("b") "," SAID("yes")));
}

Test(history, of_old_leaves_out_turns_where_nothing_was_said)
{
    for (size_t i = 0; i < sizeof nothing_said / sizeof *nothing_said; i++) {
        if (strstr(nothing_said[i], "\"role\"") == NULL)
            continue; /* no message at all */
        AUTO_FREE char *old = xasprintf(TURN("2", USER("x") ",%s"), nothing_said[i]);
        EXPECT_MESSAGES(USER("a") "," SAID("b") "," USER("now"), .turns = {TURN("1", USER("a") "," SAID("b")), old});
    }
    for (size_t i = 0; i < sizeof something_said / sizeof *something_said; i++) {
        AUTO_FREE char *old = xasprintf(TURN("2", USER("x") ",%s"), something_said[i]);
        AUTO_FREE char *want = xasprintf(USER("x") ",%s," RESULT("t"), something_said[i]);
        EXPECT_MESSAGES(want, .turns = {old}, .messages = RESULT("t"));
    }
    /* Marked by an earlier release, which stored such answers. */
    EXPECT_MESSAGES(USER("now"), .turns = {"{\"plain\":\"0123456789abcdef\",\"job\":\"1\",\"messages\":[" USER("a") "," SAID("") "]}"});
    EXPECT_MESSAGES(USER("a") "," SAID("b") "," USER("now"),
                    .turns = {"{\"plain\":\"0123456789abcdef\",\"job\":\"1\",\"messages\":[" USER("a") "," SAID("b") "]}"});
}

Test(history, that_begins_anew_leaves_out_what_came_before)
{
    char now[] = "[" USER("c") "]", id[] = "2";
    struct job job = {.id = id, .messages = now};
    AUTO_JSON json_t *answer = json_loads(SAID("d"), 0, NULL);
    AUTO_FREE char *anew = history_turn_encode(&job, answer, true);
    const char *old = TURN("1", USER("a") "," SAID("b")), *later = TURN("3", USER("e") "," SAID("f"));
    EXPECT_MESSAGES(USER("c") "," SAID("d") "," USER("now"), .turns = {old, anew});
    EXPECT_MESSAGES(USER("c") "," SAID("d") "," USER("e") "," SAID("f") "," USER("now"), .turns = {old, anew, later});
    EXPECT_MESSAGES(USER("e") "," SAID("f") "," USER("now"), .turns = {old, anew, later}, .bytes_max = (int64_t)strlen(later));
    EXPECT_MESSAGES(USER("a") "," SAID("b") "," USER("now"), .turns = {old, TURN("this", USER("x") "," SAID("y"))});

    char *turns[] = {xstrdup(old), xstrdup(anew), xstrdup(anew), xstrdup(later)};
    cr_expect_eq(history_drop_refused(turns, 4), 2, "what no request carries");
    cr_expect_str_eq(turns[0], anew);
    cr_expect_str_eq(turns[1], later);
    turns[0][strlen(anew) - 1] = '\0'; /* damaged: doesn't replace the earlier turns */
    cr_expect_eq(history_drop_refused(turns, 2), 2);
    free(turns[0]);
    free(turns[1]);
}

Test(history, that_is_not_what_it_should_be_never_reaches_a_request)
{
    static const char *const hostile[] = {
        "{\"job\":\"1\",\"messages\":[" USER("a") "," SAID("b") "]} ", /* fine: white space may follow */
        "{\"job\":\"1\",\"messages\":[" USER("a") "," SAID("b") "]}}",
        "{\"job\":\"1\",\"messages\":[" USER("a") "," SAID("\\ud800") "]}",
        "{\"job\":\"1\",\"messages\":[" USER("a") "," SAID("\xff") "]}",
        "{\"job\":\"1\",\"messages\":[" USER("a") ",{\"role\":\"assistant\",\"content\":\"b\",\"content\":\"c\"}]}",
        "{\"job\":\"1\",\"messages\":[" USER("a") ",{\"role\":\"assistant\",\"content\":01}]}",
        "{\"job\":\"1\",\"messages\":[" USER("a") ",{\"role\":7}]}",
        "{\"job\":\"1\",\"messages\":{}}",
        "{\"xxh3\":\"", "{\"xxh3\":\"0123456789abcdef\",", "7", "\"messages\"", ""};
    for (size_t i = 1; i < sizeof hostile / sizeof *hostile; i++)
        EXPECT_MESSAGES(USER("now"), .turns = {hostile[i]});
    EXPECT_MESSAGES(USER("a") "," SAID("b") "," USER("now"), .turns = {hostile[0]});
    /* A right mark doesn't cover the bytes behind it. */
    for (int cut = 0; cut <= 24; cut++) {
        char element[128] = "{\"xxh3\":\"0123456789abcdef\",\"job\":\"1\",\"messages\":[]}";
        size_t from = strlen("{\"xxh3\":\"0123456789abcdef\","), size = strlen(element) - (size_t)cut;
        element[size] = '\0';
        char digits[17];
        snprintf(digits, sizeof digits, "%016llx", (unsigned long long)XXH3_64bits(element + from, size - from));
        memcpy(element + strlen("{\"xxh3\":\""), digits, 16);
        EXPECT_MESSAGES(USER("now"), .turns = {element});
    }
}

Test(history, leaves_out_as_many_turns_as_the_server_asks_for)
{
    char turn[] = "0123456789012345678901234567890123456789"; /* 40 bytes */
    char *turns[] = {turn, turn, turn, turn, turn, turn, turn, turn};
    static const struct {
        size_t turns, body_bytes;
        int64_t n_prompt, n_ctx;
        size_t skipped;
    } cases[] = {{8, 400, 0, 0, 4},     {7, 400, 0, 0, 4},     {1, 400, 0, 0, 1},  {0, 400, 0, 0, 0},
                 {8, 400, 100, 80, 8 - 5}, /* to 70 of 100 tokens: 120 of 400 bytes */
                 {8, 400, 100, 99, 2},  {8, 400, 1000, 8, 8},  {8, 400, 100, 100, 4} /* by the server's numbers it fits: they can't be used */};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        cr_expect_eq(history_turns_to_skip(turns, cases[i].turns, cases[i].body_bytes, cases[i].n_prompt, cases[i].n_ctx), cases[i].skipped, "case %zu", i);
}
