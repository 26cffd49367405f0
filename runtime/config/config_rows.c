/* config_rows: the table of keys made of config.def, and how a key is found in it. */
#include "runtime/config/config_rows.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define FIELD(field) offsetof(struct kf__settings, field)

/* clang-format off */
const struct kf__config_row kf__config_rows[] = {
#define KF_CONFIG_SECTION(title) \
    {.kind = KF__ROW_SECTION, .key = "", .doc = title},
#define KF_CONFIG_BOOL(key_, field, default_, kip_, doc_) \
    {.kind = KF__ROW_BOOL, .key = key_, .value = #default_, .doc = doc_, .offset = FIELD(field), \
     .kip = kip_},
#define KF_CONFIG_INT(key_, field, default_, low_, high_, kip_, doc_) \
    {.kind = KF__ROW_INT, .key = key_, .value = #default_, .doc = doc_, .low = low_, \
     .high = high_, .offset = FIELD(field), .kip = kip_},
#define KF_CONFIG_LONG(key_, field, default_, low_, high_, kip_, doc_) \
    {.kind = KF__ROW_LONG, .key = key_, .value = #default_, .doc = doc_, .low = low_, \
     .high = high_, .offset = FIELD(field), .kip = kip_},
#define KF_CONFIG_WORD(key_, field, type, default_, words_, kip_, doc_) \
    {.kind = KF__ROW_WORD, .key = key_, .value = default_, .doc = doc_, .words = words_, \
     .offset = FIELD(field), .kip = kip_},
#define KF_CONFIG_TEXT(key_, field, default_, form_, kip_, doc_) \
    {.kind = KF__ROW_TEXT, .key = key_, .value = default_, .doc = doc_, \
     .form = KF__FORM_##form_, .offset = FIELD(field), .kip = kip_},
#define KF_CONFIG_SECRET(key_, field, kip_, doc_) \
    {.kind = KF__ROW_SECRET, .key = key_, .doc = doc_, .offset = FIELD(field), .kip = kip_},
#define KF_CONFIG_ALIAS(key_, of, doc_) \
    {.kind = KF__ROW_ALIAS, .key = key_, .value = of, .doc = doc_},
#define KF_CONFIG_ONLY(key_, accepted, kip_, doc_) \
    {.kind = KF__ROW_ONLY, .key = key_, .value = accepted, .doc = doc_, .kip = kip_},
#define KF_CONFIG_IGNORED(key_, reason) \
    {.kind = KF__ROW_IGNORED, .key = key_, .doc = reason},
#define KF_CONFIG_REFUSED(key_, instead) \
    {.kind = KF__ROW_REFUSED, .key = key_, .doc = instead},
#define KF_CONFIG_LATER(key_, what) \
    {.kind = KF__ROW_LATER, .key = key_, .doc = what},
#define KF_CONFIG_LATER_SECRET(key_, what) \
    {.kind = KF__ROW_LATER_SECRET, .key = key_, .doc = what},
#include <kafiber/config.def>
};
/* clang-format on */

const size_t kf__config_row_count = sizeof kf__config_rows / sizeof *kf__config_rows;

enum {
    KEY_MAX_BYTES = 96
}; /* a longer key is near none of ours */

ptrdiff_t kf__config_find(const char *key)
{
    for (size_t i = 0; i < kf__config_row_count; i++)
        if (kf__config_rows[i].kind != KF__ROW_SECTION && strcmp(kf__config_rows[i].key, key) == 0)
            return (ptrdiff_t)i;
    return -1;
}

static size_t smallest(size_t a, size_t b, size_t c)
{
    size_t least = a < b ? a : b;
    return least < c ? least : c;
}

/* Levenshtein's distance: letters put in, left out, or changed. Both are short enough. */
static size_t edits(const char *from, const char *to)
{
    size_t width = strlen(to);
    size_t row[KEY_MAX_BYTES + 1];
    for (size_t i = 0; i <= width; i++)
        row[i] = i;
    for (size_t line = 1; from[line - 1]; line++) {
        size_t diagonal = row[0];
        row[0] = line;
        for (size_t i = 1; i <= width; i++) {
            size_t changed = diagonal + (from[line - 1] != to[i - 1]);
            diagonal = row[i];
            row[i] = smallest(changed, row[i] + 1, row[i - 1] + 1);
        }
    }
    return row[width];
}

const char *kf__config_nearest(const char *key)
{
    size_t size = strlen(key);
    if (size > KEY_MAX_BYTES)
        return NULL;
    size_t least = size / 3 + 1; /* beyond a third, the guess would puzzle more than help */
    const char *nearest = NULL;
    for (size_t i = 0; i < kf__config_row_count; i++) {
        if (kf__config_rows[i].kind == KF__ROW_SECTION)
            continue;
        size_t distance = edits(key, kf__config_rows[i].key);
        if (distance < least) {
            least = distance;
            nearest = kf__config_rows[i].key;
        }
    }
    return nearest;
}

kf_err kf__config_complain(const struct kf__origin *origin, kf_error *error, const char *format,
                           ...)
{
    char text[KF_ERROR_TEXT_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (!origin->name)
        return kf_error_set(error, KF_ERR_CONFIG, "%s", text);
    if (!origin->line)
        return kf_error_set(error, KF_ERR_CONFIG, "%s: %s", origin->name, text);
    return kf_error_set(error, KF_ERR_CONFIG, "%s:%zu: %s", origin->name, origin->line, text);
}
