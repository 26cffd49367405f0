/*
 * codec: any bytes as any message at any version. What decodes must encode,
 * and then decode to the same bytes and JSON again; JSON must read back.
 *
 * Input: two bytes choose the message, one the version, the rest is it.
 */
#include <kafiber/codec.h>
#include <kafiber/messages.h>
#include <stdlib.h>
#include <string.h>

enum {
    HEAD = 3,
    MEMORY_LIMIT = 16 << 20, /* bytes for one message */
};

static size_t message_count(void)
{
    static size_t count;
    while (kf_schema_at(count))
        count++;
    return count;
}

static void check(bool holds)
{
    if (!holds)
        abort();
}

static void same_bytes(const kf_writer *a, const kf_writer *b)
{
    check(a->used == b->used);
    check(a->used == 0 || memcmp(a->bytes, b->bytes, a->used) == 0);
}

static bool mentions(const kf_writer *json, const char *text)
{
    return memmem(json->bytes, json->used, text, strlen(text)) != NULL;
}

/* The message through JSON gives the same bytes, unless its text was no UTF-8 or a number none. */
static void through_json(const kf_schema *schema, int16_t version, const void *message,
                         const kf_writer *bytes)
{
    kf_arena arena;
    kf_writer json, again, text;
    kf_arena_init(&arena, &kf_default_allocator, 0);
    kf_writer_init(&json, &kf_default_allocator);
    kf_writer_init(&again, &kf_default_allocator);
    kf_writer_init(&text, &kf_default_allocator);
    void *copy = calloc(1, kf_schema_struct_size(schema));

    check(kf_to_json(schema, version, message, &json) == KF_OK);
    check(kf_from_json(schema, version, (const char *)json.bytes, json.used, &arena, copy, NULL) ==
          KF_OK);
    kf_err err = kf_encode(schema, version, copy, &again);
    check(!err || err == KF_ERR_BAD_COUNT); /* U+FFFD made a string too long */
    check(err || kf_to_json(schema, version, copy, &text) == KF_OK);
    if (!err)
        same_bytes(&json, &text);
    if (!err && !mentions(&json, "\xEF\xBF\xBD") && !mentions(&json, "\"NaN\""))
        same_bytes(bytes, &again);

    free(copy);
    kf_writer_free(&text);
    kf_writer_free(&again);
    kf_writer_free(&json);
    kf_arena_free(&arena);
}

/* What we encode is canonical: decoding and encoding it changes nothing. */
static void decode_again(const kf_schema *schema, int16_t version, const kf_writer *bytes)
{
    kf_arena arena;
    kf_writer again;
    kf_arena_init(&arena, &kf_default_allocator, 0);
    kf_writer_init(&again, &kf_default_allocator);
    void *copy = calloc(1, kf_schema_struct_size(schema));

    check(kf_decode(schema, version, bytes->bytes, bytes->used, &arena, copy) == KF_OK);
    check(kf_encode(schema, version, copy, &again) == KF_OK);
    same_bytes(bytes, &again);

    free(copy);
    kf_writer_free(&again);
    kf_arena_free(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < HEAD)
        return 0;
    const kf_schema *schema = kf_schema_at(((size_t)data[0] << 8 | data[1]) % message_count());
    int versions = kf_schema_max_version(schema) - kf_schema_min_version(schema) + 1;
    int16_t version = (int16_t)(kf_schema_min_version(schema) + data[2] % versions);

    kf_arena arena;
    kf_writer bytes;
    kf_arena_init(&arena, &kf_default_allocator, MEMORY_LIMIT);
    kf_writer_init(&bytes, &kf_default_allocator);
    void *message = malloc(kf_schema_struct_size(schema));

    if (message && kf_decode(schema, version, data + HEAD, size - HEAD, &arena, message) == KF_OK) {
        check(kf_encode(schema, version, message, &bytes) == KF_OK);
        decode_again(schema, version, &bytes);
        through_json(schema, version, message, &bytes);
    }
    check(arena.held <= MEMORY_LIMIT);

    free(message);
    kf_writer_free(&bytes);
    kf_arena_free(&arena);
    return 0;
}
