/*
 * config_print: docs/configuration.md, from the rows. The committed file is
 * compared with this print by a test.
 */
#include "runtime/config/config_rows.h"

#include <inttypes.h>
#include <string.h>

static const char head[] =
    "# Configuration\n"
    "\n"
    "<!-- Printed from include/kafiber/config.def: edit there. -->\n"
    "\n"
    "Keys have Kafka's own names, so that a Java client's `.properties` file works: each of its\n"
    "keys is honoured, ignored with a word in the log, or refused with what to use instead. A key\n"
    "that Kafka doesn't have either is an error that names the file, the line and the nearest "
    "key.\n"
    "\n"
    "A value comes from, strongest first: `kf_config_set` (or a flag of `kf`), the environment\n"
    "(`KAFIBER_BOOTSTRAP_SERVERS`), the file, the default. Durations are in milliseconds, sizes\n"
    "in bytes, as the names say. Files are read as `java.util.Properties` does, as UTF-8 where\n"
    "they are valid UTF-8, else as ISO 8859-1.\n"
    "\n"
    "Where two keys bound each other (`retry.backoff.ms` and `retry.backoff.max.ms`) and only one\n"
    "was set, the other gives way; where both were set and contradict, that is an error.\n"
    "`heartbeat.interval.ms` must be smaller than `session.timeout.ms`, and `fetch.max.wait.ms`\n"
    "smaller than `request.timeout.ms`.\n";

static const char *type_name(const struct kf__config_row *row)
{
    switch (row->kind) {
    case KF__ROW_BOOL:
        return "bool";
    case KF__ROW_INT:
        return "int";
    case KF__ROW_LONG:
        return "long";
    case KF__ROW_WORD:
    case KF__ROW_ONLY:
        return "word";
    case KF__ROW_SECRET:
        return "secret";
    case KF__ROW_TEXT:
        return row->form == KF__FORM_SERVERS || row->form == KF__FORM_ASSIGNORS ? "list" : "text";
    default:
        return "";
    }
}

static void print_words(const char *words, FILE *stream)
{
    fputc('`', stream);
    for (; *words; words++) {
        if (*words == '|')
            fputs("`, `", stream);
        else
            fputc(*words, stream);
    }
    fputc('`', stream);
}

static void print_allowed(const struct kf__config_row *row, FILE *stream)
{
    if (row->kind == KF__ROW_WORD || row->kind == KF__ROW_ONLY)
        print_words(row->words ? row->words : row->value, stream);
    else if (row->kind == KF__ROW_BOOL)
        fputs("`true`, `false`", stream);
    else if (row->kind == KF__ROW_TEXT || row->kind == KF__ROW_SECRET)
        return;
    else if (row->high == INT32_MAX || row->high == INT64_MAX)
        fprintf(stream, "≥ %" PRId64, row->low);
    else
        fprintf(stream, "%" PRId64 " to %" PRId64, row->low, row->high);
}

/* A text as a sentence: its first letter raised, its end a full stop. */
static void print_sentence(const char *text, FILE *stream)
{
    size_t size = strlen(text);
    char first = text[0];
    bool key = strcspn(text, ".") < strcspn(text, " "); /* "bootstrap.servers …" stays */
    fputc(!key && first >= 'a' && first <= 'z' ? first - 'a' + 'A' : first, stream);
    fputs(text + 1, stream);
    if (text[size - 1] != '.')
        fputc('.', stream);
}

static void print_honoured(const struct kf__config_row *row, FILE *stream)
{
    if (row->kind == KF__ROW_ALIAS) {
        fprintf(stream, "| `%s` | | | | The same as `%s`. ", row->key, row->value);
    } else {
        fprintf(stream, "| `%s` | %s | ", row->key, type_name(row));
        if (row->value && *row->value)
            fprintf(stream, "`%s`", row->value);
        fputs(" | ", stream);
        print_allowed(row, stream);
        fputs(" | ", stream);
        if (row->kind == KF__ROW_ONLY)
            fputs("Other values are refused. ", stream);
    }
    print_sentence(row->doc, stream);
    if (row->kip)
        fprintf(stream, " KIP-%d.", row->kip);
    fputs(" |\n", stream);
}

static void print_others(enum kf__row_kind kind, enum kf__row_kind also, const char *title,
                         const char *column, FILE *stream)
{
    fprintf(stream, "\n## %s\n\n| Key | %s |\n|---|---|\n", title, column);
    for (size_t i = 0; i < kf__config_row_count; i++) {
        const struct kf__config_row *row = &kf__config_rows[i];
        if (row->kind != kind && row->kind != also)
            continue;
        fprintf(stream, "| `%s` | ", row->key);
        print_sentence(row->doc, stream);
        fputs(" |\n", stream);
    }
}

kf_err kf_config_print_markdown(FILE *stream)
{
    fputs(head, stream);
    for (size_t i = 0; i < kf__config_row_count; i++) {
        const struct kf__config_row *row = &kf__config_rows[i];
        if (row->kind == KF__ROW_SECTION)
            fprintf(stream,
                    "\n## %s\n\n| Key | Type | Default | Allowed | What it does |\n"
                    "|---|---|---|---|---|\n",
                    row->doc);
        else if (row->kind <= KF__ROW_ONLY)
            print_honoured(row, stream);
    }
    print_others(KF__ROW_IGNORED, KF__ROW_IGNORED, "Ignored with a word", "Why", stream);
    fputs("\nKeys that begin with `metrics.context.` are ignored without a word.\n", stream);
    print_others(KF__ROW_REFUSED, KF__ROW_REFUSED, "Refused", "What to do instead", stream);
    print_others(KF__ROW_LATER, KF__ROW_LATER_SECRET, "Refused until a later version",
                 "What this version lacks", stream);
    return fflush(stream) == 0 && !ferror(stream) ? KF_OK : KF_ERR_SYSTEM;
}
