#include "proto/compress/snappy.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>
#include <string.h>

static struct kf__buffer out;
static void *table;

static void set_up(void) { kf__buffer_init(&out, &kf_default_allocator); }

static void tear_down(void)
{
    kf__buffer_free(&out);
    free(table);
    table = NULL;
}

TestSuite(snappy, .init = set_up, .fini = tear_down);

static kf_err decompress(const char *bytes, size_t size, size_t limit)
{
    uint8_t *exact = malloc(size);
    memcpy(exact, bytes, size);
    out.used = 0;
    kf_err err = kf__snappy_decompress((kf_bytes){exact, size}, limit, &out);
    free(exact);
    return err;
}

static void expect(const char *text)
{
    cr_assert(eq(sz, out.used, strlen(text)));
    cr_assert(eq(int, memcmp(out.bytes, text, out.used), 0));
}

Test(snappy, reads_literals_and_copies_of_each_kind)
{
    cr_assert(eq(int,
                 decompress("\x03\x08"
                            "abc",
                            5, 100),
                 KF_OK));
    expect("abc");
    /* 4 literals; copy of 8 from 4 back in one byte of distance, overlapping */
    cr_assert(eq(int,
                 decompress("\x0c\x0c"
                            "abcd\x11\x04",
                            8, 100),
                 KF_OK));
    expect("abcdabcdabcd");
    cr_assert(eq(int,
                 decompress("\x08\x0c"
                            "abcd\x0e\x04\x00",
                            9, 100),
                 KF_OK));
    expect("abcdabcd");
    cr_assert(eq(int,
                 decompress("\x08\x0c"
                            "abcd\x0f\x04\x00\x00\x00",
                            11, 100),
                 KF_OK));
    expect("abcdabcd");
    cr_assert(eq(int,
                 decompress("\x03\xf0\x02"
                            "abc",
                            6, 100),
                 KF_OK)); /* length in a byte */
    expect("abc");
    cr_assert(eq(int, decompress("\x00", 1, 100), KF_OK));
    expect("");
}

Test(snappy, refuses_what_points_outside)
{
    kf_err bad = KF_ERR_BAD_COMPRESSION;
    cr_assert(eq(int, decompress("", 0, 100), bad));
    cr_assert(eq(int,
                 decompress("\x03\x08"
                            "ab",
                            4, 100),
                 bad)); /* cut short */
    cr_assert(eq(int,
                 decompress("\x02\x08"
                            "abc",
                            5, 100),
                 bad)); /* too much */
    cr_assert(eq(int,
                 decompress("\x04\x08"
                            "abc",
                            5, 100),
                 bad)); /* too little */
    cr_assert(eq(int,
                 decompress("\x08\x0c"
                            "abcd\x01\x05",
                            8, 100),
                 bad)); /* before the start */
    cr_assert(eq(int,
                 decompress("\x08\x0c"
                            "abcd\x01\x00",
                            8, 100),
                 bad)); /* itself */
    cr_assert(eq(int,
                 decompress("\x05\x0c"
                            "abcd\x01\x04",
                            8, 100),
                 bad)); /* beyond the end */
    cr_assert(eq(int,
                 decompress("\x08\x0c"
                            "abcd\x0e\x04",
                            8, 100),
                 bad));                                                      /* half a distance */
    cr_assert(eq(int, decompress("\xff\xff\xff\xff\xff\x01", 6, 100), bad)); /* 35 bits */
    cr_assert(eq(int, decompress("\x03\xfc\xff\xff\xff\xff", 6, 100), bad));
}

Test(snappy, believes_no_length_that_the_input_can_not_give)
{
    cr_assert(eq(int,
                 decompress("\xff\xff\xff\xff\x0f\x00"
                            "a",
                            7, SIZE_MAX / 4),
                 KF_ERR_BAD_COMPRESSION));
    cr_assert(eq(sz, out.capacity, 0));
    cr_assert(eq(int,
                 decompress("\x04\x0c"
                            "abcd",
                            6, 3),
                 KF_ERR_BATCH_TOO_LARGE));
}

static uint8_t *sample(size_t size, unsigned variety)
{
    uint8_t *bytes = malloc(size ? size : 1);
    uint32_t seed = variety;
    for (size_t i = 0; i < size; i++) {
        seed = seed * 1664525 + 1013904223;
        bytes[i] = (uint8_t)((seed >> 24) % variety + (i / 1000) % 3);
    }
    return bytes;
}

Test(snappy, gives_back_what_it_took_at_many_sizes)
{
    const unsigned varieties[] = {1, 2, 5, 60, 256};
    for (size_t v = 0; v < 5; v++)
        for (size_t size = 0; size < 140000; size += 1 + size / 3) {
            struct kf__buffer packed;
            kf__buffer_init(&packed, &kf_default_allocator);
            uint8_t *bytes = sample(size, varieties[v]);
            cr_assert(eq(int,
                         kf__snappy_compress_xerial(&table, &kf_default_allocator,
                                                    (kf_bytes){bytes, size}, &packed),
                         KF_OK));
            out.used = 0;
            cr_assert(eq(int,
                         kf__snappy_decompress((kf_bytes){packed.bytes, packed.used}, size, &out),
                         KF_OK));
            cr_assert(eq(sz, out.used, size));
            cr_assert(eq(int, size ? memcmp(out.bytes, bytes, size) : 0, 0));
            kf__buffer_free(&packed);
            free(bytes);
        }
}

Test(snappy, makes_repeated_bytes_small)
{
    uint8_t *bytes = calloc(1, 32768);
    cr_assert(eq(
        int,
        kf__snappy_compress_xerial(&table, &kf_default_allocator, (kf_bytes){bytes, 32768}, &out),
        KF_OK));
    cr_assert(lt(sz, out.used, 1800));
    free(bytes);
}

/* What snappy-java reads of two streams written one after the other. */
Test(snappy, reads_concatenated_xerial_streams)
{
    static const char stream[] = "\x82SNAPPY\0\0\0\0\1\0\0\0\1\0\0\0\5\x03\x08"
                                 "abc";
    char twice[2 * (sizeof stream - 1)];
    memcpy(twice, stream, sizeof stream - 1);
    memcpy(twice + sizeof stream - 1, stream, sizeof stream - 1);
    cr_assert(eq(int, decompress(twice, sizeof twice, 100), KF_OK));
    expect("abcabc");
    cr_assert(eq(int, decompress(twice, sizeof twice, 5), KF_ERR_BATCH_TOO_LARGE));
}
