/*
 * codec: `kf codec decode|encode|schema`: the codec alone, no broker. A line
 * in is a case, a line out its answer, in order; answers are flushed
 * whenever the input at hand is used up, so that a program may talk to it.
 */
#include "tools/kf/codec.h"

#include <errno.h>
#include <kafiber/codec.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    EXIT_USAGE = 2,
    FIRST_ROOM = 1 << 16,
};

static const char usage[] =
    "usage: kf codec decode         lines MESSAGE<TAB>VERSION<TAB>HEX to JSON\n"
    "       kf codec encode         lines MESSAGE<TAB>VERSION<TAB>JSON to hex\n"
    "       kf codec schema [MESSAGE]   the rows: message, path, type, versions, nullable,\n"
    "                               tag, default, ignorable, flexible\n"
    "\n"
    "  printf 'RequestHeader\\t1\\t0003000100000005ffff\\n' | kf codec decode\n"
    "  printf 'MetadataRequest\\t1\\t{\"topics\":null}\\n' | kf codec encode\n";

/* What is kept from line to line. */
struct codec {
    kf_arena arena;
    kf_writer out;
    kf_writer scratch;
    void *message;
    size_t message_size;
};

/* One case, cut at its tabs. */
struct line {
    const kf_schema *schema;
    int16_t version;
    char *data;
    size_t size;
};

typedef kf_err (*verb)(struct codec *codec, struct line *line, kf_error *error);

static bool hex_digit(char c, uint8_t *value)
{
    if (c >= '0' && c <= '9')
        *value = (uint8_t)(c - '0');
    else if ((c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'))
        *value = (uint8_t)((c | 0x20) - 'a' + 10);
    else
        return false;
    return true;
}

/* In place; the number of bytes in *size. */
static bool from_hex(char *text, size_t *size)
{
    if (*size % 2)
        return false;
    for (size_t i = 0; i < *size / 2; i++) {
        uint8_t high, low;
        if (!hex_digit(text[2 * i], &high) || !hex_digit(text[2 * i + 1], &low))
            return false;
        text[i] = (char)(high << 4 | low);
    }
    *size /= 2;
    return true;
}

static void put_hex(kf_writer *out, const uint8_t *bytes, size_t size)
{
    static const char digits[] = "0123456789abcdef";
    char chunk[512];
    for (size_t i = 0, n = 0; i < size; i++) {
        chunk[n++] = digits[bytes[i] >> 4];
        chunk[n++] = digits[bytes[i] & 15];
        if (n == sizeof chunk || i + 1 == size) {
            kf_writer_put(out, chunk, n);
            n = 0;
        }
    }
}

static kf_err decode(struct codec *codec, struct line *line, kf_error *error)
{
    if (!from_hex(line->data, &line->size))
        return kf_error_set(error, KF_ERR_INVALID_ARGUMENT, "the third column is no hex");
    kf_err err = kf_decode(line->schema, line->version, line->data, line->size, &codec->arena,
                           codec->message);
    return err ? err : kf_to_json(line->schema, line->version, codec->message, &codec->out);
}

static kf_err encode(struct codec *codec, struct line *line, kf_error *error)
{
    kf_err err = kf_from_json(line->schema, line->version, line->data, line->size, &codec->arena,
                              codec->message, error);
    if (!err)
        err = kf_encode(line->schema, line->version, codec->message, &codec->scratch);
    if (!err)
        put_hex(&codec->out, codec->scratch.bytes, codec->scratch.used);
    return err ? err : codec->out.err;
}

/* Cuts "MESSAGE\tVERSION\tDATA" of `size` characters, which a NUL follows. */
static kf_err cut(char *text, size_t size, struct line *line, kf_error *error)
{
    char *first = memchr(text, '\t', size);
    char *second = first ? memchr(first + 1, '\t', (size_t)(text + size - first - 1)) : NULL;
    if (!second)
        return kf_error_set(error, KF_ERR_INVALID_ARGUMENT,
                            "a line is MESSAGE, a tab, VERSION, a tab and the data");
    *first = *second = '\0';
    line->schema = kf_schema_find(text);
    if (!line->schema)
        return kf_error_set(error, KF_ERR_INVALID_ARGUMENT, "there is no message \"%s\"", text);

    char *end;
    long version = strtol(first + 1, &end, 10);
    if (end != second || end == first + 1 || version < INT16_MIN || version > INT16_MAX)
        return kf_error_set(error, KF_ERR_INVALID_ARGUMENT, "\"%s\" is no version", first + 1);
    line->version = (int16_t)version;
    line->data = second + 1;
    line->size = size - (size_t)(second + 1 - text);
    return KF_OK;
}

static kf_err make_room(struct codec *codec, const kf_schema *schema)
{
    size_t size = kf_schema_struct_size(schema);
    if (size <= codec->message_size)
        return KF_OK;
    void *message = realloc(codec->message, size);
    if (!message)
        return KF_ERR_NO_MEMORY;
    codec->message = message;
    codec->message_size = size;
    return KF_OK;
}

/* False when the answer could not be written. */
static bool answer(struct codec *codec, char *text, size_t size, verb work)
{
    struct line line;
    kf_error error = KF_ERROR_INIT;
    if (size && text[size - 1] == '\r')
        size--;
    kf_writer_reset(&codec->out);
    kf_writer_reset(&codec->scratch);
    kf_err err = cut(text, size, &line, &error);
    if (!err)
        err = make_room(codec, line.schema);
    if (!err)
        err = work(codec, &line, &error);
    if (err)
        printf("error: %s (%s)\n", error.code ? error.text : kf_err_text(err), kf_err_name(err));
    else {
        fwrite(codec->out.bytes, 1, codec->out.used, stdout);
        putchar('\n');
    }
    kf_arena_reset(&codec->arena);
    return !ferror(stdout);
}

struct input {
    char *text;
    size_t used;
    size_t room;
    bool ended;
};

/* Reads what is there, at least one byte unless the input has ended. */
static bool fill(struct input *input)
{
    if (input->room - input->used < 2) {
        size_t room = input->room ? input->room * 2 : FIRST_ROOM;
        char *text = realloc(input->text, room);
        if (!text)
            return false;
        input->text = text;
        input->room = room;
    }
    ssize_t got;
    do
        got = read(STDIN_FILENO, input->text + input->used, input->room - input->used - 1);
    while (got < 0 && errno == EINTR);
    input->ended = got == 0;
    if (got > 0)
        input->used += (size_t)got;
    return got >= 0;
}

/* Answers each whole line; what is left of the last stays. `from` was looked at before. */
static bool answer_lines(struct codec *codec, struct input *input, size_t from, verb work)
{
    size_t at = 0;
    char *newline;
    while ((newline = memchr(input->text + from, '\n', input->used - from))) {
        size_t size = (size_t)(newline - input->text) - at;
        *newline = '\0';
        if (size && !answer(codec, input->text + at, size, work))
            return false;
        at += size + 1;
        from = at;
    }
    if (input->ended && at < input->used) {
        input->text[input->used] = '\0';
        if (!answer(codec, input->text + at, input->used - at, work))
            return false;
        at = input->used;
    }
    input->used -= at;
    memmove(input->text, input->text + at, input->used);
    return fflush(stdout) == 0;
}

static int work_lines(verb work)
{
    struct codec codec = {0};
    struct input input = {0};
    kf_arena_init(&codec.arena, &kf_default_allocator, 0);
    kf_writer_init(&codec.out, &kf_default_allocator);
    kf_writer_init(&codec.scratch, &kf_default_allocator);

    bool good = true;
    while (good && !input.ended) {
        size_t looked_at = input.used;
        good = fill(&input) && answer_lines(&codec, &input, looked_at, work);
    }
    if (!good)
        fprintf(stderr, "kf codec: %s\n", strerror(errno));

    free(input.text);
    free(codec.message);
    kf_writer_free(&codec.scratch);
    kf_writer_free(&codec.out);
    kf_arena_free(&codec.arena);
    return good ? 0 : 1;
}

static const char *type_name(kf_field_type type)
{
    static const char *const names[] = {
        [KF_FIELD_BOOL] = "bool",     [KF_FIELD_INT8] = "int8",
        [KF_FIELD_INT16] = "int16",   [KF_FIELD_UINT16] = "uint16",
        [KF_FIELD_INT32] = "int32",   [KF_FIELD_UINT32] = "uint32",
        [KF_FIELD_INT64] = "int64",   [KF_FIELD_FLOAT64] = "float64",
        [KF_FIELD_UUID] = "uuid",     [KF_FIELD_STRING] = "string",
        [KF_FIELD_BYTES] = "bytes",   [KF_FIELD_RECORDS] = "records",
        [KF_FIELD_STRUCT] = "struct", [KF_FIELD_STRUCT_POINTER] = "struct",
    };
    return names[type];
}

/* "3+", "0-7", "4", or "-" for none; from `last`, the message's newest, on it is open. */
static const char *version_range(int16_t since, int16_t until, int16_t last, char *text,
                                 size_t size)
{
    if (since < 0)
        snprintf(text, size, "-");
    else if (until >= last)
        snprintf(text, size, "%d+", since);
    else if (until == since)
        snprintf(text, size, "%d", since);
    else
        snprintf(text, size, "%d-%d", since, until);
    return text;
}

static const char *default_text(const kf_field *field, char *text, size_t size)
{
    bool number = !field->array && field->type <= KF_FIELD_FLOAT64;
    if (field->null_by_default)
        return "null";
    if (!number)
        return "-";
    if (field->type == KF_FIELD_BOOL)
        return field->number_by_default ? "true" : "false";
    snprintf(text, size, "%lld", (long long)field->number_by_default);
    return text;
}

static void print_rows(const kf_schema *schema, kf_fields walk, const char *prefix)
{
    kf_field field;
    int16_t last = kf_schema_max_version(schema);
    char flexible[16] = "-";
    for (int16_t v = last; v >= kf_schema_min_version(schema); v--)
        if (kf_schema_is_flexible(schema, v))
            snprintf(flexible, sizeof flexible, "%d+", v);

    while (kf_fields_next(&walk, &field)) {
        char name[128], path[512], versions[16], nullable[16], tag[16] = "-", value[32];
        kf_field_json_name(field.name, name, sizeof name);
        snprintf(path, sizeof path, "%s%s", prefix, name);
        if (field.tag >= 0)
            snprintf(tag, sizeof tag, "%d", field.tag);
        printf("%s\t%s\t%s%s\t%s\t%s\t%s\t%s\t%s\t%s\n", kf_schema_name(schema), path,
               field.array ? "[]" : "", type_name(field.type),
               version_range(field.since, field.until, last, versions, sizeof versions),
               version_range(field.nullable_since, field.nullable_until, last, nullable,
                             sizeof nullable),
               tag, default_text(&field, value, sizeof value), field.ignorable ? "ignorable" : "-",
               field.never_compact ? "-" : flexible);
        if (field.inside) {
            snprintf(path, sizeof path, "%s%s.", prefix, name);
            print_rows(schema, kf_fields_inside(&field), path);
        }
    }
}

static int print_schema(const char *name)
{
    if (name) {
        const kf_schema *schema = kf_schema_find(name);
        if (!schema) {
            fprintf(stderr, "kf codec schema: there is no message \"%s\"\n", name);
            return EXIT_USAGE;
        }
        print_rows(schema, kf_fields_of(schema), "");
    } else {
        const kf_schema *schema;
        for (size_t i = 0; (schema = kf_schema_at(i)); i++)
            print_rows(schema, kf_fields_of(schema), "");
    }
    return fflush(stdout) == 0 ? 0 : 1;
}

int kf__verb_codec(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    if (strcmp(what, "decode") == 0 && argc == 2)
        return work_lines(decode);
    if (strcmp(what, "encode") == 0 && argc == 2)
        return work_lines(encode);
    if (strcmp(what, "schema") == 0 && argc <= 3)
        return print_schema(argc == 3 ? argv[2] : NULL);

    bool help = strcmp(what, "--help") == 0;
    fputs(usage, help ? stdout : stderr);
    return help ? 0 : EXIT_USAGE;
}
