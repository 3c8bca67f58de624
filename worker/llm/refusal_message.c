#include "llm/refusal_message.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/cleanup.h"

/* Beginnings of keys of any provider; some need a digit, too, since words begin so ("key-value-store"). */
static const struct {
    const char *text;
    bool has_digits;
} beginnings[] = {{"sk-", false},    {"csk-", false},        {"gsk_", false},             {"xai-", false},  {"AIza", false}, {"Bearer ", false}, {"hf_", false},   {"nvapi-", false},
                  {"pplx-", false},  {"github_pat_", false}, {"bedrock-api-key-", false}, {"ya29.", false}, {"eyJ", true},   {"sk_", true},      {"key-", true},   {"key_", true},
                  {"pk-", true},     {"fw_", true},          {"r8_", true},               {"tgp_", true},   {"ghp_", true},  {"gho_", true},     {"ghs_", true},   {"AKIA", true},
                  {"ASIA", true},    {"ABSK", true},         {"dapi", true},              {"vck_", true},   {"rpa_", true},  {"cpk_", true},     {"glpat-", true}, {"Basic ", true}};

static size_t secret_length(const char *text, bool begins_word)
{
    for (size_t i = 0; begins_word && i < sizeof beginnings / sizeof beginnings[0]; i++) {
        size_t length = strlen(beginnings[i].text), first = length, digits = 0;
        if (strncasecmp(text, beginnings[i].text, length) != 0)
            continue;
        for (; isalnum((unsigned char)text[length]) || (text[length] != '\0' && strchr("_-.+/=~", text[length]) != NULL); length++)
            digits += isdigit((unsigned char)text[length]) != 0;
        if (length >= first + 12 && (digits > 0 || !beginnings[i].has_digits))
            return length;
    }
    return 0;
}

/* The length of the longest secret at text: one may be a prefix of another. */
static size_t known_length(const char *text, const char *const *secrets)
{
    size_t longest = 0;
    for (; secrets != NULL && *secrets != NULL; secrets++) {
        size_t length = strlen(*secrets);
        if (length >= 4 && length > longest && strncmp(text, *secrets, length) == 0)
            longest = length;
    }
    return longest;
}

bool refusal_message_hides(const char *word, const char *const *secrets)
{
    for (size_t i = 0; word[i] != '\0'; i++)
        if (known_length(word + i, secrets) > 0 || secret_length(word + i, i == 0 || !isalnum((unsigned char)word[i - 1])) > 0)
            return true;
    return false;
}

/* The size of the UTF-8 character at text; 0: invalid. */
static size_t character_length(const unsigned char *text)
{
    size_t length = text[0] < 0x80 ? 1 : text[0] >= 0xc2 && text[0] < 0xe0 ? 2 : text[0] >= 0xe0 && text[0] < 0xf0 ? 3 : text[0] >= 0xf0 && text[0] < 0xf5 ? 4 : 0;
    for (size_t i = 1; i < length; i++)
        if ((text[i] & 0xc0) != 0x80)
            return 0;
    bool wrong = (text[0] == 0xe0 && text[1] < 0xa0) || (text[0] == 0xed && text[1] > 0x9f) || (text[0] == 0xf0 && text[1] < 0x90) || (text[0] == 0xf4 && text[1] > 0x8f);
    return wrong ? 0 : length;
}

char *refusal_message(const char *text, size_t size, const char *const *secrets)
{
    AUTO_FREE char *copy = xmemdup0(text, size);
    char message[REFUSAL_MESSAGE_BYTES_MAX + 1];
    size_t n = 0;
    for (size_t i = 0; i < size;) {
        const char *put = copy + i;
        size_t known = known_length(copy + i, secrets), put_size;
        size_t length = known > 0 ? known : secret_length(copy + i, i == 0 || !isalnum((unsigned char)copy[i - 1]));
        if (length > 0) {
            put = "***";
            put_size = 3;
        } else if ((unsigned char)copy[i] < 0x20 || copy[i] == 0x7f || ((unsigned char)copy[i] == 0xc2 && (unsigned char)copy[i + 1] < 0xa0)) {
            put = " "; /* C1 controls, too */
            length = (unsigned char)copy[i] == 0xc2 ? 2 : 1;
            put_size = n > 0 && message[n - 1] != ' ';
        } else if ((length = character_length((const unsigned char *)copy + i)) == 0) {
            put = "\xef\xbf\xbd";
            length = 1;
            put_size = 3;
        } else {
            put_size = length;
        }
        if (n + put_size > REFUSAL_MESSAGE_BYTES_MAX)
            break;
        memcpy(message + n, put, put_size);
        n += put_size;
        i += length;
    }
    while (n > 0 && message[n - 1] == ' ')
        n--;
    return n > 0 ? xmemdup0(message, n) : NULL;
}
