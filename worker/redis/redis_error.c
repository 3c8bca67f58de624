#include "redis/redis_error.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define TEXT_MAX 512
#define SHOWN_MAX 110 /* of the server's text: the hint follows and must fit, too */

#define HINT_RIGHTS "chat-worker --check-config --connect names what to grant"
#define HINT_CLUSTER "a Redis Cluster: the worker needs one primary, or a proxy"
#define HINT_PASSWORD "redis.url has no password, or a wrong one"
#define HINT_COMMAND "renamed or disabled there (rename-command), or unknown to a proxy: " HINT_RIGHTS
#define HINT_VERSION "is this Redis 6.2 or newer, or Valkey?"

struct sign {
    const char *text;
    enum redis_error_kind kind;
    const char *hint; /* NULL: the server's text is enough */
};

/* Error codes: whole words in capitals, anywhere in the text. */
static const struct sign codes[] = {
    {"NOSCRIPT", REDIS_ERROR_SCRIPT_LOST, NULL},
    {"WRONGTYPE", REDIS_ERROR_DATA, "another program's key under redis.key_prefix?"},
    {"BUDGET", REDIS_ERROR_DATA, NULL}, /* this and the next: our scripts' own */
    {"PERMIT", REDIS_ERROR_DATA, NULL},
    {"READONLY", REDIS_ERROR_OUTAGE, "a replica: the worker needs the primary"},
    {"LOADING", REDIS_ERROR_OUTAGE, NULL},
    {"MASTERDOWN", REDIS_ERROR_OUTAGE, "a replica: the worker needs the primary"},
    {"OOM", REDIS_ERROR_OUTAGE, "it is full: raise maxmemory, or shorten redis.reply_ttl_s"},
    {"MISCONF", REDIS_ERROR_OUTAGE, "it can't save: see its log and its disk"},
    {"NOREPLICAS", REDIS_ERROR_OUTAGE, NULL},
    {"BUSY", REDIS_ERROR_OUTAGE, NULL},
    {"UNKILLABLE", REDIS_ERROR_OUTAGE, NULL},
    {"TRYAGAIN", REDIS_ERROR_OUTAGE, NULL},
    {"CLUSTERDOWN", REDIS_ERROR_OUTAGE, HINT_CLUSTER},
    {"MOVED", REDIS_ERROR_SETTINGS, HINT_CLUSTER},
    {"ASK", REDIS_ERROR_SETTINGS, HINT_CLUSTER},
    {"CROSSSLOT", REDIS_ERROR_SETTINGS, HINT_CLUSTER},
    {"NOPERM", REDIS_ERROR_SETTINGS, HINT_RIGHTS},
    {"NOAUTH", REDIS_ERROR_SETTINGS, HINT_PASSWORD},
    {"WRONGPASS", REDIS_ERROR_SETTINGS, HINT_PASSWORD},
    {"DENIED", REDIS_ERROR_SETTINGS, "protected mode: set a password, or bind it to where the worker is"},
};

/* Texts without a code. The first that is found counts. */
static const struct sign words[] = {
    {"max number of clients", REDIS_ERROR_OUTAGE, "raise maxclients, or lower redis.pool_size"},
    {"script killed by user", REDIS_ERROR_OUTAGE, NULL},
    {"unauthenticated", REDIS_ERROR_SETTINGS, HINT_PASSWORD}, /* for a long command; then the server closes the connection */
    {"protocol error", REDIS_ERROR_OUTAGE, NULL},
    {"the user executing the script can't", REDIS_ERROR_SETTINGS, HINT_RIGHTS}, /* 6.2, 7.0 */
    {"acl failure in script", REDIS_ERROR_SETTINGS, HINT_RIGHTS},               /* 7.2 on */
    {"no permissions to", REDIS_ERROR_SETTINGS, HINT_RIGHTS},
    {"unknown command", REDIS_ERROR_SETTINGS, HINT_COMMAND},
    {"unknown redis command", REDIS_ERROR_SETTINGS, HINT_COMMAND},
    {"unknown subcommand", REDIS_ERROR_SETTINGS, HINT_COMMAND},
    {"wrong number of arg", REDIS_ERROR_SETTINGS, HINT_VERSION},
    {"not allowed after non deterministic", REDIS_ERROR_SETTINGS, HINT_VERSION},
    {"attempt to ", REDIS_ERROR_DATA, NULL}, /* Lua, for a key of another type */
    {"bad argument #", REDIS_ERROR_DATA, NULL},
    {"too many results to unpack", REDIS_ERROR_DATA, NULL},
    {"not an integer", REDIS_ERROR_DATA, NULL},
    {"would overflow", REDIS_ERROR_DATA, NULL},
    {"exceeds maximum allowed size", REDIS_ERROR_DATA, NULL},
    {"connection refused", REDIS_ERROR_OUTAGE, NULL}, /* this and the rest: a proxy's, about the server behind it */
    {"timed out", REDIS_ERROR_OUTAGE, NULL},
    {"upstream", REDIS_ERROR_OUTAGE, NULL},
    {"no server connection", REDIS_ERROR_OUTAGE, NULL},
};

static const struct sign unknown = {"", REDIS_ERROR_UNKNOWN, NULL};

static bool is_inside_word(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

static bool has_word(const char *text, const char *word)
{
    size_t size = strlen(word);
    for (const char *at = text; (at = strstr(at, word)) != NULL; at += size)
        if ((at == text || !is_inside_word(at[-1])) && !is_inside_word(at[size]))
            return true;
    return false;
}

/* The server's text without a command's arguments, which it may quote: they aren't for a log, and not to be searched. */
static void own_words(const char *text, char ret[TEXT_MAX])
{
    snprintf(ret, TEXT_MAX, "%s", text);
    char *arguments = strstr(ret, ", with args beginning with");
    if (arguments != NULL)
        *arguments = '\0';
}

static const struct sign *sign_of(const char *own)
{
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
        if (has_word(own, codes[i].text))
            return &codes[i];
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcasestr(own, words[i].text) != NULL)
            return &words[i];
    return &unknown;
}

enum redis_error_kind redis_error_kind(const char *text)
{
    char own[TEXT_MAX];
    own_words(text, own);
    return sign_of(own)->kind;
}

/* Skips the wrapping that versions before 7 put around a script's error. */
static const char *unwrapped(const char *own)
{
    static const char wrapping[] = "ERR Error running script (";
    const char *at = strncmp(own, wrapping, sizeof wrapping - 1) == 0 ? strstr(own, "): ") : NULL;
    if (at == NULL)
        return own;
    at += 3;
    while (strncmp(at, "@user_script:", 13) == 0) {
        const char *after = at + 13 + strspn(at + 13, " 0123456789");
        if (strncmp(after, ": ", 2) != 0)
            break;
        at = after + 2;
    }
    return *at == '-' ? at + 1 : at;
}

enum status redis_error_set(struct error *err, const char *address, const char *script, const char *text)
{
    static const struct {
        enum error_class class;
        const char *code;
    } by_kind[] = {[REDIS_ERROR_OUTAGE] = {ERROR_UNAVAILABLE, REDIS_CODE_OUTAGE},
                   [REDIS_ERROR_SETTINGS] = {ERROR_UNAVAILABLE, REDIS_CODE_SETTINGS},
                   [REDIS_ERROR_SCRIPT_LOST] = {ERROR_UNAVAILABLE, REDIS_CODE_OUTAGE},
                   [REDIS_ERROR_DATA] = {ERROR_PERMANENT, REDIS_CODE_DATA},
                   [REDIS_ERROR_UNKNOWN] = {ERROR_UNAVAILABLE, REDIS_CODE_REFUSED}};
    char own[TEXT_MAX];
    own_words(text, own);
    const struct sign *sign = sign_of(own);
    (void)error_set(err, by_kind[sign->kind].class, by_kind[sign->kind].code, "Redis %s%s%s: %.*s%s%s%s", address,
                    script ? ", script " : "", script ? script : "", SHOWN_MAX, unwrapped(own), sign->hint ? " (" : "",
                    sign->hint ? sign->hint : "", sign->hint ? ")" : "");
    err->kind = (int)sign->kind;
    return STATUS_FAILED;
}
