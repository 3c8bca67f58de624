/* The simulator's dialects: every file reads, each form is JSON once it is filled in, and says what it should. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "answer.h"
#include "base/cleanup.h"
#include "dialect.h"

static const char *const names[] = {"anthropic", "azure", "dashscope", "deepseek", "google", "groq", "litellm", "llama.cpp", "lmstudio",
                                    "mistral", "moonshot", "ollama", "openai", "openrouter", "tgi", "together", "vllm", "xai"};
#define NAMES (sizeof names / sizeof names[0])

static const struct dialect_values values = {.number = 7, .created = 1, .prompt = 9000, .completion = 3, .limit = 8192, .model = "m \"1\"", .text = "a \"b\"\n",
                                             .word = "w", .path = "/p", .member = "stream_options", .finish = "stop"};

static struct dialect *opened(const char *name)
{
    struct dialect *dialect;
    struct error err = {0};
    cr_assert_eq(dialect_open(name, &dialect, &err), STATUS_OK, "%s", err.message);
    return dialect;
}

static json_t *parsed(const char *dialect, const char *what, const char *text)
{
    json_error_t why;
    json_t *root = json_loads(text, JSON_DISABLE_EOF_CHECK | JSON_DECODE_INT_AS_REAL, &why); /* Together's seed is beyond 64 bits */
    cr_assert_not_null(root, "%s, %s: %s in %s", dialect, what, why.text, text);
    return root;
}

Test(llmsim_dialect, each_answer_is_json_with_its_text_and_its_usage)
{
    for (size_t i = 0; i < NAMES; i++) {
        struct dialect *dialect = opened(names[i]);
        AUTO_FREE char *whole = dialect_whole(dialect, false, values);
        AUTO_JSON json_t *root = parsed(names[i], "whole", whole);
        const json_t *choice = json_array_get(json_object_get(root, "choices"), 0);
        cr_assert_str_eq(json_string_value(json_object_get(json_object_get(choice, "message"), "content")), values.text, "%s", names[i]);
        cr_assert_str_eq(json_string_value(json_object_get(choice, "finish_reason")), "stop", "%s", names[i]);
        cr_assert_str_eq(json_string_value(json_object_get(root, "model")), values.model, "%s", names[i]);
        cr_assert_eq(json_number_value(json_object_get(json_object_get(root, "usage"), "total_tokens")), 9003, "%s", names[i]);
        AUTO_FREE char *tools = dialect_whole(dialect, true, values);
        AUTO_JSON json_t *called = parsed(names[i], "tools", tools);
        json_t *message = json_object_get(json_array_get(json_object_get(called, "choices"), 0), "message");
        cr_assert_eq(json_array_size(json_object_get(message, "tool_calls")), 1, "%s", names[i]);
        dialect_close(dialect);
    }
}

Test(llmsim_dialect, each_piece_of_a_stream_is_an_event_of_json_and_one_is_the_last)
{
    for (size_t i = 0; i < NAMES; i++)
        for (int tools = 0; tools < 2; tools++) {
            struct dialect *dialect = opened(names[i]);
            struct dialect_piece piece;
            size_t lasts = 0, words = 0;
            for (size_t at = 0; dialect_next_piece(dialect, tools, &at, &piece);) {
                AUTO_FREE char *event = dialect_event(dialect, &piece, values);
                cr_assert_eq(strncmp(event, "data: ", 6), 0);
                AUTO_JSON json_t *root = parsed(names[i], "piece", event + 6);
                const json_t *finish = json_object_get(json_array_get(json_object_get(root, "choices"), 0), "finish_reason");
                bool is_last = piece.when == PIECE_LAST;
                cr_assert_eq(json_is_string(finish), is_last, "%s: %s", names[i], event);
                cr_assert_eq(lasts, 0, "%s: nothing comes after the last", names[i]);
                lasts += is_last;
                words += piece.when == PIECE_EACH_WORD;
            }
            cr_assert_eq(lasts, 1, "%s", names[i]);
            cr_assert_eq(words, tools ? 0 : 1, "%s", names[i]);
            dialect_close(dialect);
        }
}

Test(llmsim_dialect, each_refusal_has_a_status_and_nothing_is_left_unfilled)
{
    for (size_t i = 0; i < NAMES; i++) {
        struct dialect *dialect = opened(names[i]);
        for (size_t s = 0; s < dialect->section_count; s++) {
            const struct dialect_section *section = &dialect->sections[s];
            AUTO_FREE char *body = dialect_fill(section->body, strlen(section->body), &values);
            cr_assert(section->none || body[0] != '\0', "%s, %s is empty", names[i], section->name);
            for (const char *at = body; (at = strchr(at, '$')) != NULL; at++)
                cr_assert(at[1] < 'a' || at[1] > 'z', "%s, %s: %s", names[i], section->name, at);
            if (section->status == 0)
                continue;
            cr_assert(section->status == 200 || (section->status >= 400 && section->status <= 599), "%s, %s", names[i], section->name);
            if (body[0] == '{' || body[0] == '[')
                json_decref(parsed(names[i], section->name, body));
        }
        cr_assert_not_null(dialect_own(dialect, "too-long"), "%s", names[i]);
        dialect_close(dialect);
    }
}

Test(llmsim_dialect, addresses_are_the_familys_own)
{
    const char *segment;
    size_t size;
    struct dialect *azure = opened("azure"), *deepseek = opened("deepseek");
    cr_assert(dialect_serves(azure, "/openai/deployments/gpt/chat/completions", "x=1&api-version=2024-10-21", &segment, &size));
    cr_assert(size == 3 && memcmp(segment, "gpt", 3) == 0);
    cr_assert_not(dialect_serves(azure, "/openai/deployments/gpt/chat/completions", "api-version=", &segment, &size));
    cr_assert_not(dialect_serves(azure, "/openai/deployments/gpt/chat/completions", NULL, &segment, &size));
    cr_assert_not(dialect_serves(azure, "/openai/deployments//chat/completions", "api-version=1", &segment, &size));
    cr_assert_not(dialect_serves(azure, "/v1/chat/completions", "api-version=1", &segment, &size));
    cr_assert(dialect_serves(deepseek, "/chat/completions", NULL, &segment, &size) && segment == NULL);
    cr_assert(dialect_serves(deepseek, "/v1/chat/completions", NULL, &segment, &size));
    dialect_close(azure);
    dialect_close(deepseek);
}

static const char *why_broken(const char *text)
{
    static struct error err;
    struct dialect *dialect = calloc(1, sizeof *dialect);
    err = (struct error){0};
    enum status status = dialect_parse("x", text, dialect, &err);
    dialect_close(dialect);
    return status == STATUS_OK ? "" : err.message;
}

Test(llmsim_dialect, a_broken_file_says_where)
{
    cr_assert_str_eq(why_broken("path: /v1\n== whole documented https://x\n{}\n"), "");
    cr_assert_not_null(strstr(why_broken("path: /v1\nwhat: is this\n"), "line 2"));
    cr_assert_not_null(strstr(why_broken("path: /v1\n== whole documented\n{}\n"), "which page"));
    cr_assert_not_null(strstr(why_broken("path: /v1\n== whole perhaps x\n{}\n"), "unverified"));
    cr_assert_not_null(strstr(why_broken("path: /v1\n== a unverified\n1\n== a unverified\n2\n"), "line 4"));
    cr_assert_not_null(strstr(why_broken("# nothing\n"), "no path"));
    struct dialect *none;
    struct error err = {0};
    cr_assert_eq(dialect_open("openia", &none, &err), STATUS_FAILED);
    cr_assert(strstr(err.message, "openia") != NULL && strstr(err.message, "mistral") != NULL && strstr(err.message, "xai") != NULL, "%s", err.message);
}
