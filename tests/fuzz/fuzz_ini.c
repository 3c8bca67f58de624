/* Any bytes as a settings file's text: the pairs read, written again plainly, are read the same. */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "settings/ini_reader.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds)
        abort();
}

static void must_read_again(const struct ini_reader *read)
{
    AUTO_FREE char *plain = xasprintf("[%s]\n%s=%s", read->section, read->key, read->value);
    struct ini_reader again;
    ini_reader_init(&again, plain, strlen(plain));
    must(ini_next(&again) == INI_PAIR && again.line == 2);
    must(strcmp(again.section, read->section) == 0 && strcmp(again.key, read->key) == 0 && strcmp(again.value, read->value) == 0);
    must(ini_next(&again) == INI_END);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_FREE char *text = xmemdup0(data, size);
    struct ini_reader reader;
    enum ini_got got;
    int lines = 1;
    for (size_t i = 0; i < size; i++)
        lines += data[i] == '\n';
    ini_reader_init(&reader, text, size);
    for (int before = 0; (got = ini_next(&reader)) == INI_PAIR; before = reader.line) {
        must(reader.line > before && reader.line <= lines);
        must_read_again(&reader);
    }
    must((got == INI_FAULT) == (reader.fault != NULL));
    return 0;
}
