#include "llm/plain_words.h"

#include <ctype.h>
#include <stdbool.h>
#include <strings.h>

static void put_one(struct plain_words *words, char c)
{
    bool again = c == ' ' && words->size > 0 && words->text[words->size - 1] == ' ';
    if (!again && words->size + 2 < sizeof words->text)
        words->text[words->size++] = c;
}

void plain_words_init(struct plain_words *words)
{
    words->text[0] = ' ';
    words->text[1] = '\0';
    words->size = 1;
}

static size_t address_length(const char *text, size_t size)
{
    if (!(size > 8 && (strncasecmp(text, "https://", 8) == 0 || strncasecmp(text, "http://", 7) == 0)))
        return 0;
    size_t length = 0;
    while (length < size && text[length] != ' ' && text[length] != '"' && text[length] != '\n' && text[length] != ')' && text[length] != '\'' && text[length] != '\\')
        length++;
    return length;
}

static bool is_thousands(const char *text, size_t size, size_t i)
{
    return i > 0 && i + 3 < size && isdigit((unsigned char)text[i - 1]) && isdigit((unsigned char)text[i + 1]) &&
           isdigit((unsigned char)text[i + 2]) && isdigit((unsigned char)text[i + 3]);
}

/* "APIKeyInvalid" is three words, as is "rateLimit reached". */
static bool begins_word(const char *text, size_t size, size_t i)
{
    if (i == 0 || !isupper((unsigned char)text[i]))
        return false;
    return islower((unsigned char)text[i - 1]) ||
           (isupper((unsigned char)text[i - 1]) && i + 1 < size && islower((unsigned char)text[i + 1]));
}

void plain_words_put(struct plain_words *words, const char *text, size_t size)
{
    put_one(words, ' ');
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)text[i];
        size_t address = address_length(text + i, size - i);
        if (address > 0) {
            i += address - 1;
            put_one(words, ' ');
            continue;
        }
        if (c == '\'' || (c == ',' && is_thousands(text, size, i)))
            continue;
        if (c == 0xe2 && i + 2 < size && (unsigned char)text[i + 1] == 0x80 && ((unsigned char)text[i + 2] & 0xfe) == 0x98) {
            i += 2; /* a printed apostrophe */
            continue;
        }
        if (begins_word(text, size, i))
            put_one(words, ' ');
        put_one(words, c >= 0x80 ? (char)c : isalnum(c) ? (char)tolower(c) : ' ');
    }
    put_one(words, ' ');
    words->text[words->size] = '\0';
}
