/*
 * codec_threads: every message at every version, encoded and decoded by
 * several threads at once from the first moment on, when each makes the plans
 * that all of them share. Without test framework, for the thread sanitizer.
 * All come to the same bytes; exit code 0 is success.
 */
#include "tests/check.h"

#include "proto/codec/schema.h"
#include <kafiber/codec.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    THREADS = 4,
    ROUNDS = 3
};

static pthread_barrier_t begin;

/* Its default fields, there and back; sums up the bytes. */
static uint64_t go_round(const kf_schema *schema, int16_t version, uint64_t sum)
{
    kf_writer writer;
    kf_arena arena;
    size_t size = kf_schema_struct_size(schema);
    void *message = malloc(size), *copy = malloc(size);
    CHECK(message && copy);
    kf_writer_init(&writer, &kf_default_allocator);
    kf_arena_init(&arena, &kf_default_allocator, 0);
    kf_reset(schema, message);
    if (!kf_encode(schema, version, message, &writer)) {
        CHECK(!kf_decode(schema, version, writer.bytes, writer.used, &arena, copy));
        for (size_t i = 0; i < writer.used; i++)
            sum = sum * 31 + writer.bytes[i];
    }
    kf_writer_free(&writer);
    kf_arena_free(&arena);
    free(message);
    free(copy);
    return sum + 1;
}

static void *run(void *context)
{
    uint64_t *sum = context;
    pthread_barrier_wait(&begin);
    const kf_schema *schema;
    for (int round = 0; round < ROUNDS; round++)
        for (size_t i = 0; (schema = kf_schema_at(i)); i++)
            for (int16_t v = schema->min_version; v <= schema->max_version; v++)
                *sum = go_round(schema, v, *sum);
    return NULL;
}

int main(void)
{
    pthread_t threads[THREADS];
    uint64_t sums[THREADS] = {0}, alone = 0;
    CHECK(!pthread_barrier_init(&begin, NULL, THREADS));
    for (int i = 0; i < THREADS; i++)
        CHECK(!pthread_create(&threads[i], NULL, run, &sums[i]));
    for (int i = 0; i < THREADS; i++)
        CHECK(!pthread_join(threads[i], NULL));
    pthread_barrier_destroy(&begin);
    CHECK(!pthread_barrier_init(&begin, NULL, 1));
    run(&alone);
    pthread_barrier_destroy(&begin);
    for (int i = 0; i < THREADS; i++)
        CHECK(sums[i] == alone);
    printf("%d threads agree\n", THREADS);
    return 0;
}
