#include <inttypes.h>
#include <jansson.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "settings/settings_table.h"

#define MASK "***"

/* In redis://user:password@host only the password is masked. A user without a password may be a token: masked too. */
static void print_address(const char *value, FILE *out)
{
    const char *scheme = strstr(value, "://");
    const char *at = strrchr(value, '@');
    if (at == NULL) {
        fputs(value, out);
        return;
    }
    const char *begin = scheme != NULL && scheme < at ? scheme + 3 : value;
    const char *colon = memchr(begin, ':', (size_t)(at - begin));
    const char *shown_to = colon ? colon + 1 : begin;
    fprintf(out, "%.*s" MASK "%s", (int)(shown_to - value), value, at);
}

/* The names, which are no secrets, and a mask for each value: an object that can be loaded again. */
static void print_object(const char *value, FILE *out)
{
    AUTO_JSON json_t *object = json_loads(value, 0, NULL);
    AUTO_JSON json_t *masked = json_object();
    const char *name;
    json_t *ignored;
    json_object_foreach (object, name, ignored)
        json_object_set_new(masked, name, json_string(MASK));
    AUTO_FREE char *text = json_dumps(masked, JSON_COMPACT);
    fputs(text != NULL ? text : MASK, out);
}

static void print_text(const struct setting *setting, const char *value, FILE *out)
{
    if (value == NULL)
        return;
    if (setting->address)
        print_address(value, out);
    else if (setting->secret && setting->json)
        print_object(value, out);
    else
        fputs(setting->secret ? MASK : value, out);
}

static void print_value(const struct setting *setting, const void *base, FILE *out)
{
    const void *field = (const char *)base + setting->at;
    switch (setting->type) {
    case SETTING_INT:
        if (setting->word != NULL && *(const int64_t *)field == -1)
            fputs(setting->word, out);
        else
            fprintf(out, "%" PRId64, *(const int64_t *)field);
        break;
    case SETTING_CHOICE:
        fputs(setting->choices[*(const int *)field], out);
        break;
    case SETTING_TEXT:
        print_text(setting, *(char *const *)field, out);
        break;
    case SETTING_LIST:
        for (char *const *item = *(char **const *)field; item != NULL && *item != NULL; item++)
            fprintf(out, "%s%s", item == *(char **const *)field ? "" : ",", *item);
        break;
    }
}

static void print_section(const char *section, const char *title, const void *base, FILE *out)
{
    fprintf(out, "\n[%s]\n", title);
    for (size_t i = 0; i < settings_table_count; i++) {
        if (strcmp(settings_table[i].section, section) != 0)
            continue;
        fprintf(out, "%s = ", settings_table[i].key);
        print_value(&settings_table[i], base, out);
        fputc('\n', out);
    }
}

static bool begins_section(size_t i)
{
    return i == 0 || strcmp(settings_table[i].section, settings_table[i - 1].section) != 0;
}

void settings_print(const struct settings *settings, FILE *out)
{
    fputs("# What is in force. " MASK " stands for a secret: before this is used, put the secret in its place, or KEY_file.\n\n", out);
    fprintf(out, "[kafka]\nbootstrap.servers = %s\ngroup.id = %s\n", settings->kafka.bootstrap_servers, settings->kafka.group_id);
    for (size_t i = 0; i < settings->kafka.property_count; i++) {
        const struct kafka_property *property = &settings->kafka.properties[i];
        fprintf(out, "%s = %s\n", property->name, kafka_property_is_secret(property->name) ? MASK : property->value);
    }
    for (size_t i = 0; i < settings_table_count; i++) {
        if (!begins_section(i))
            continue;
        const char *section = settings_table[i].section;
        const struct named_sections *named = named_sections_of(&settings_table[i]);
        if (named == NULL)
            print_section(section, section, settings, out);
        for (size_t j = 0; named != NULL && j < named_sections_size(named, settings); j++) {
            AUTO_FREE char *title = xasprintf("%s.%s", section, named_sections_name(named, settings, j));
            print_section(section, title, named_sections_item(named, settings, j), out);
        }
    }
}

/* "64", "1 to 5000 threads" / "key, partition, none" / "text" */
static void print_valid(const struct setting *setting, FILE *out)
{
    switch (setting->type) {
    case SETTING_INT:
        fprintf(out, "%" PRId64 " to %" PRId64 "%s%s", setting->min, setting->max, *setting->unit ? " " : "", setting->unit);
        if (setting->word != NULL)
            fprintf(out, ", or %s", setting->word);
        break;
    case SETTING_CHOICE:
        for (size_t i = 0; setting->choices[i] != NULL; i++)
            fprintf(out, "%s%s", i ? ", " : "", setting->choices[i]);
        break;
    case SETTING_TEXT:
        fputs("text", out);
        break;
    case SETTING_LIST:
        fputs("list", out);
        break;
    }
}

/* The text behind the section's name, for kinds of which there may be several. */
static const char *name_behind(const struct setting *setting)
{
    return named_sections_of(setting) ? ".NAME" : "";
}

void settings_print_help(FILE *out)
{
    fputs("  [kafka] any librdkafka property; bootstrap.servers is needed (\"embedded\": in memory, to try things out)\n", out);
    for (size_t i = 0; i < settings_table_count; i++) {
        const struct setting *setting = &settings_table[i];
        if (begins_section(i))
            fprintf(out, "  [%s%s]\n", setting->section, name_behind(setting));
        fprintf(out, "    %s = %s  (", setting->key, setting->initial ? setting->initial : "");
        print_valid(setting, out);
        fprintf(out, "%s)\n        %s\n", setting->required ? "; needed" : "", setting->prose);
    }
}

/* What stands before the table, in Markdown. */
static const char introduction[] =
    "Settings come from an INI file (`-c FILE`), then the environment (`CHATW__SECTION__KEY`, for example\n"
    "`CHATW__PROVIDER__MAIN__API_KEY`; in `[kafka]` a single `_` stands for a dot: `CHATW__KAFKA__BOOTSTRAP_SERVERS`), then\n"
    "`-X section.key=value`. The last wins. An unknown key, one that librdkafka doesn't know in `[kafka]` among them, or a value\n"
    "out of range is refused at start with where it stands and what would be valid. `--print-config` shows what is in force. `--check-config` refuses what a start would refuse, files, certificates\n"
    "and the admin address included, reaches nobody and leaves nothing behind; `--connect` tries Kafka and Redis too. That another\n"
    "process has the admin port or the crash file just now isn't judged: it may be the worker whose settings these are.\n\n"
    "A **secret** is masked when printed and has a twin `KEY_file` that names a file to read it from (its last line end is left\n"
    "out). Both in one source are refused; a later source wins over an earlier one in either form.\n\n"
    "In the file, a line is a `[section]`, a `key = value` or, after `;` or `#`, a comment; ` ;` ends a value too. Values don't\n"
    "go on in the next line; a line may be of any length. Nothing takes quotes off: a value in\n"
    "quotes is refused, wherever it comes from; a secret or a prompt that really stands in them goes into a file (`KEY_file`).\n\n"
    "## [kafka]\n\n"
    "Any librdkafka property as it is. `bootstrap.servers` is needed: your brokers, or `embedded` for a cluster in the worker's own\n"
    "memory, to try things out. `group.id` defaults to `chat-worker`. Secrets, each with a twin such as `sasl.password_file`:\n"
    "`sasl.password`, `ssl.key.password`, `ssl.keystore.password`, `ssl.key.pem`, `sasl.oauthbearer.client.secret`,\n"
    "`sasl.oauthbearer.config`. What the guarantees stand on can't be changed: `enable.auto.commit`, `enable.auto.offset.store`,\n"
    "`acks`, `enable.idempotence`.\n";

void settings_print_markdown(FILE *out)
{
    fputs("# Configuration\n\n"
          "Made from the table in `worker/settings/settings_table.c` by `chat-worker --print-markdown`; a test fails when it is stale.\n\n",
          out);
    fputs(introduction, out);
    for (size_t i = 0; i < settings_table_count; i++) {
        const struct setting *setting = &settings_table[i];
        if (begins_section(i))
            fprintf(out, "\n## [%s%s]\n\n| setting | default | valid | meaning |\n| --- | --- | --- | --- |\n", setting->section, name_behind(setting));
        fprintf(out, "| `%s` | %s%s%s | ", setting->key, setting->initial && *setting->initial ? "`" : "",
                setting->initial ? setting->initial : setting->required ? "needed" : "", setting->initial && *setting->initial ? "`" : "");
        print_valid(setting, out);
        fprintf(out, "%s | %s |\n", setting->secret ? "; secret" : "", setting->prose);
    }
}

/* ---- as a manual page ---- */

/* One line of text in roff; of Markdown, `code` and **words** are bold. */
static void print_roff_line(const char *text, size_t size, FILE *out)
{
    bool bold = false;
    if (size > 0 && (*text == '.' || *text == '\''))
        fputs("\\&", out);
    for (size_t i = 0; i < size; i++) {
        bool stars = text[i] == '*' && i + 1 < size && text[i + 1] == '*';
        if (text[i] == '`' || stars) {
            bold = !bold;
            fputs(bold ? "\\fB" : "\\fR", out);
            i += stars;
        } else if (text[i] == '-' || text[i] == '\\') {
            fputs(text[i] == '-' ? "\\-" : "\\e", out);
        } else {
            fputc(text[i], out);
        }
    }
    fputc('\n', out);
}

/* Of Markdown there are paragraphs and headings of the second level. */
static void print_roff(const char *text, FILE *out)
{
    bool heading = false;
    for (const char *end; *text != '\0'; text = *end == '\0' ? end : end + 1) {
        end = strchrnul(text, '\n');
        if (end == text && !heading && strncmp(text, "\n## ", 4) != 0) {
            fputs(".PP\n", out);
        } else if (end != text) {
            heading = strncmp(text, "## ", 3) == 0;
            fputs(heading ? ".SS " : "", out);
            text += heading ? 3 : 0;
            print_roff_line(text, (size_t)(end - text), out);
            continue;
        }
        heading = false;
    }
}

void settings_print_man(FILE *out)
{
    fputs(".SH NAME\nchat\\-worker.ini \\- settings of chat\\-worker\n.SH DESCRIPTION\n", out);
    print_roff(introduction, out);
    for (size_t i = 0; i < settings_table_count; i++) {
        const struct setting *setting = &settings_table[i];
        AUTO_FREE char *head = NULL;
        size_t size = 0;
        FILE *made = open_memstream(&head, &size);
        fprintf(made, "`%s` = %s  (", setting->key, setting->initial ? setting->initial : "");
        print_valid(setting, made);
        fprintf(made, "%s%s)", setting->required ? "; needed" : "", setting->secret ? "; secret" : "");
        fclose(made);
        if (begins_section(i))
            fprintf(out, ".SS [%s%s]\n", setting->section, name_behind(setting));
        fputs(".TP\n", out);
        print_roff_line(head, size, out);
        print_roff_line(setting->prose, strlen(setting->prose), out);
    }
}

void settings_print_example(FILE *out)
{
    fputs("# chat-worker's settings. What is commented out stands at its default.\n\n[kafka]\nbootstrap.servers = localhost:9092\n", out);
    for (size_t i = 0; i < settings_table_count; i++) {
        const struct setting *setting = &settings_table[i];
        const struct named_sections *named = named_sections_of(setting);
        const char *value = setting->example ? setting->example : setting->initial;
        if (begins_section(i))
            fprintf(out, "\n[%s%s%s]\n", setting->section, named ? "." : "", named ? named->example : "");
        fprintf(out, "; %s\n", setting->prose);
        fprintf(out, "%s%s = %s\n", named && named->needed && setting->required ? "" : ";", setting->key, value ? value : "");
    }
}
