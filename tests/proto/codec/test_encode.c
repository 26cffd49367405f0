/*
 * Every message at every version with five of everything: many structs of one type are written by
 * another way than few (encode.c), and must come back the same. The decoder knows neither.
 */
#include "proto/codec/schema.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

enum {
    LONGEST_TEXT = 200
};

static kf_arena arena;
static uint64_t state;
static int32_t many;

static void start(void)
{
    kf_arena_init(&arena, &kf_default_allocator, 0);
    state = 7;
}

static void stop(void) { kf_arena_free(&arena); }

TestSuite(encode, .init = start, .fini = stop);

static uint32_t next(uint32_t below)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 33) % below;
}

static void fill_struct(const struct kf__struct *type, int16_t version, char *message);

static const char *text_of(size_t size)
{
    char *text = kf_arena_alloc(&arena, size + 1);
    for (size_t i = 0; i < size; i++)
        text[i] = (char)('a' + next(26));
    return text;
}

static void fill_value(const struct kf__row *row, int16_t version, char *field)
{
    size_t size = kf__shapes[row->type].size;
    double real = next(1000) / 8.0;
    bool truth = next(2);
    char *message;
    switch (row->type) {
    case KF__boolean:
        memcpy(field, &truth, sizeof truth);
        break;
    case KF__float64:
        memcpy(field, &real, sizeof real);
        break;
    case KF__str:
    case KF__bytes:
    case KF__records:
        size = next(3) ? next(LONGEST_TEXT) : next(20);
        memcpy(field, &(kf_string){text_of(size), size}, sizeof(kf_string));
        break;
    case KF__struct:
        fill_struct(kf__struct_at(row->of), version, field);
        break;
    case KF__struct_pointer:
        message = kf_arena_alloc(&arena, kf__struct_at(row->of)->size);
        fill_struct(kf__struct_at(row->of), version, message);
        memcpy(field, &message, sizeof message);
        break;
    default:
        for (size_t i = 0; i < size; i++)
            field[i] = (char)next(256);
    }
}

static void fill_struct(const struct kf__struct *type, int16_t version, char *message)
{
    const struct kf__row *row = kf__rows_of(type);
    size_t at = 0;
    memset(message, 0xA5, type->size); /* what lies between the fields must not matter */
    kf__reset_struct(type, message);
    for (const struct kf__row *end = row + type->count; row < end; row++) {
        char *field = message + kf__place(row, &at);
        if (row->type == KF__none || !kf__in_version(row, version))
            continue;
        if (!row->array) {
            fill_value(row, version, field);
            continue;
        }
        int32_t count = row->type == KF__struct ? many : (int32_t)next(8);
        size_t size = kf__element_size(row);
        char *items = kf_arena_alloc(&arena, (size_t)count * size + 1);
        for (int32_t i = 0; i < count; i++)
            fill_value(row, version, items + (size_t)i * size);
        kf__array_set(field, items, count);
    }
}

static void check(const kf_schema *schema, int16_t version)
{
    kf_writer bytes, wanted, got;
    kf_writer *writers[] = {&bytes, &wanted, &got};
    for (size_t i = 0; i < 3; i++)
        kf_writer_init(writers[i], &kf_default_allocator);
    void *message = kf_arena_alloc(&arena, kf_schema_struct_size(schema));
    void *again = kf_arena_alloc(&arena, kf_schema_struct_size(schema));
    fill_struct(kf__struct_at(schema->root), version, message);

    const char *name = kf_schema_name(schema);
    cr_assert(eq(int, kf_encode(schema, version, message, &bytes), KF_OK), "%s v%d", name, version);
    cr_assert(eq(sz, bytes.total, bytes.used));
    cr_assert(eq(int, kf_decode(schema, version, bytes.bytes, bytes.used, &arena, again), KF_OK),
              "%s v%d", name, version);
    cr_assert(eq(int, kf_to_json(schema, version, message, &wanted), KF_OK));
    cr_assert(eq(int, kf_to_json(schema, version, again, &got), KF_OK));
    cr_assert(wanted.used == got.used && memcmp(wanted.bytes, got.bytes, got.used) == 0,
              "%s v%d: %.*s, not %.*s", name, version, (int)got.used, (const char *)got.bytes,
              (int)wanted.used, (const char *)wanted.bytes);
    for (size_t i = 0; i < 3; i++)
        kf_writer_free(writers[i]);
    kf_arena_reset(&arena);
}

static void check_all(void)
{
    const kf_schema *schema;
    for (size_t i = 0; (schema = kf_schema_at(i)); i++)
        for (int16_t v = kf_schema_min_version(schema); v <= kf_schema_max_version(schema); v++)
            check(schema, v);
}

Test(encode, writes_many_structs_of_every_type_as_the_decoder_reads_them)
{
    many = 5;
    check_all();
}

Test(encode, writes_few_structs_of_every_type_as_the_decoder_reads_them)
{
    many = 2;
    check_all();
}
