#include "proto/compress/compress.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>
#include <string.h>

static struct kf__codecs codecs;
static struct kf__buffer packed;
static struct kf__buffer out;

static void set_up(void)
{
    kf__codecs_init(&codecs, &kf_default_allocator);
    kf__buffer_init(&packed, &kf_default_allocator);
    kf__buffer_init(&out, &kf_default_allocator);
}

static void tear_down(void)
{
    kf__codecs_free(&codecs);
    kf__buffer_free(&packed);
    kf__buffer_free(&out);
}

TestSuite(compress, .init = set_up, .fini = tear_down);

static const enum kf_codec all[] = {KF_CODEC_NONE, KF_CODEC_GZIP, KF_CODEC_SNAPPY, KF_CODEC_LZ4,
                                    KF_CODEC_ZSTD};
enum {
    ALL = 5
};

static uint8_t *sample(size_t size, unsigned variety)
{
    uint8_t *bytes = malloc(size ? size : 1);
    uint32_t seed = variety;
    for (size_t i = 0; i < size; i++) {
        seed = seed * 1664525 + 1013904223;
        bytes[i] = (uint8_t)((seed >> 24) % variety);
    }
    return bytes;
}

Test(compress, knows_codecs_by_name)
{
    enum kf_codec codec = KF_CODEC_NONE;
    cr_assert(eq(str, (char *)(uintptr_t)kf__codec_name(KF_CODEC_ZSTD), "zstd"));
    cr_assert(zero(ptr, (void *)(uintptr_t)kf__codec_name((enum kf_codec)5)));
    cr_assert(kf__codec_by_name("lz4", &codec));
    cr_assert(eq(int, (int)codec, KF_CODEC_LZ4));
    cr_assert(not(kf__codec_by_name("lzma", &codec)));
}

Test(compress, gives_back_what_it_took_with_every_codec_and_level)
{
    for (int c = 0; c < ALL; c++)
        for (int level = 0; level < 5; level += 2)
            for (size_t size = 0; size < 300000; size = size * 3 + 1) {
                if (!kf__codec_is_built(all[c]))
                    continue;
                uint8_t *bytes = sample(size, 9);
                packed.used = out.used = 0;
                cr_assert(eq(int,
                             kf__compress(&codecs, all[c], level, (kf_bytes){bytes, size}, &packed),
                             KF_OK));
                cr_assert(eq(int,
                             kf__decompress(&codecs, all[c], (kf_bytes){packed.bytes, packed.used},
                                            size + 1, &out),
                             KF_OK));
                cr_assert(eq(sz, out.used, size));
                cr_assert(eq(int, size ? memcmp(out.bytes, bytes, size) : 0, 0));
                free(bytes);
            }
}

Test(compress, accepts_exactly_the_limit_and_not_a_byte_more)
{
    for (int c = 0; c < ALL; c++) {
        if (!kf__codec_is_built(all[c]))
            continue;
        uint8_t *bytes = sample(100000, 3);
        packed.used = out.used = 0;
        cr_assert(
            eq(int, kf__compress(&codecs, all[c], 0, (kf_bytes){bytes, 100000}, &packed), KF_OK));
        kf_bytes in = {packed.bytes, packed.used};
        cr_assert(eq(int, kf__decompress(&codecs, all[c], in, 100000, &out), KF_OK), "%s",
                  kf__codec_name(all[c]));
        cr_assert(eq(int, kf__decompress(&codecs, all[c], in, 99999, &out), KF_ERR_BATCH_TOO_LARGE),
                  "%s", kf__codec_name(all[c]));
        cr_assert(eq(sz, out.used, 100000)); /* as before the failure */
        free(bytes);
    }
}

/* 64 MiB of zeroes in a few KiB: memory must stay near the limit. */
Test(compress, holds_a_bomb_under_the_limit)
{
    enum {
        BOMB = 64 << 20,
        LIMIT = 1 << 20
    };
    uint8_t *zeroes = calloc(1, BOMB);
    for (int c = 1; c < ALL; c++) {
        if (!kf__codec_is_built(all[c]))
            continue;
        packed.used = 0;
        kf__buffer_free(&out);
        kf__buffer_init(&out, &kf_default_allocator);
        cr_assert(
            eq(int, kf__compress(&codecs, all[c], 0, (kf_bytes){zeroes, BOMB}, &packed), KF_OK));
        cr_assert(
            eq(int,
               kf__decompress(&codecs, all[c], (kf_bytes){packed.bytes, packed.used}, LIMIT, &out),
               KF_ERR_BATCH_TOO_LARGE));
        cr_assert(le(sz, out.capacity, 4 * LIMIT), "%s", kf__codec_name(all[c]));
    }
    free(zeroes);
}

Test(compress, tells_input_that_is_cut_short_or_changed)
{
    uint8_t *bytes = sample(5000, 9);
    for (int c = 1; c < ALL; c++) {
        if (!kf__codec_is_built(all[c]))
            continue;
        packed.used = 0;
        cr_assert(
            eq(int, kf__compress(&codecs, all[c], 0, (kf_bytes){bytes, 5000}, &packed), KF_OK));
        for (size_t size = 0; size < packed.used; size++) {
            if (all[c] == KF_CODEC_SNAPPY && size == 16)
                continue; /* a xerial stream of no block is whole */
            uint8_t *exact = malloc(size ? size : 1);
            memcpy(exact, packed.bytes, size);
            out.used = 0;
            cr_assert(eq(int,
                         kf__decompress(&codecs, all[c], (kf_bytes){exact, size}, 1 << 20, &out),
                         KF_ERR_BAD_COMPRESSION),
                      "%s cut to %zu", kf__codec_name(all[c]), size);
            free(exact);
        }
        for (size_t at = 0; at < packed.used; at += 7) { /* any answer, but no crash */
            packed.bytes[at] ^= 0x55;
            out.used = 0;
            kf__decompress(&codecs, all[c], (kf_bytes){packed.bytes, packed.used}, 1 << 20, &out);
            packed.bytes[at] ^= 0x55;
        }
    }
    free(bytes);
}

Test(compress, tells_codecs_that_are_not_there)
{
    kf_bytes in = {(const uint8_t *)"abc", 3};
    cr_assert(eq(int, kf__decompress(&codecs, (enum kf_codec)5, in, 100, &out),
                 KF_ERR_UNSUPPORTED_COMPRESSION_TYPE));
    for (int c = 0; c < ALL; c++)
        if (!kf__codec_is_built(all[c]))
            cr_assert(
                eq(int, kf__decompress(&codecs, all[c], in, 100, &out), KF_ERR_CODEC_NOT_BUILT));
}

#ifdef KAFIBER_WITH_LZ4
#include <lz4frame.h>

/* Linked blocks, checksums and content size, as other writers choose them. */
Test(compress, reads_lz4_frames_of_every_kind_that_the_library_writes)
{
    uint8_t *bytes = sample(300000, 9);
    size_t bound = LZ4F_compressFrameBound(300000, NULL) + 300000;
    uint8_t *frame = malloc(bound);
    for (unsigned kind = 0; kind < 32; kind++) {
        LZ4F_preferences_t how;
        memset(&how, 0, sizeof how);
        how.frameInfo.blockMode = kind & 1 ? LZ4F_blockIndependent : LZ4F_blockLinked;
        how.frameInfo.contentChecksumFlag = kind & 2 ? LZ4F_contentChecksumEnabled : 0;
        how.frameInfo.blockChecksumFlag = kind & 4 ? LZ4F_blockChecksumEnabled : 0;
        how.frameInfo.contentSize = kind & 8 ? 300000 : 0;
        how.frameInfo.blockSizeID = kind & 16 ? LZ4F_max256KB : LZ4F_max64KB;
        size_t size = LZ4F_compressFrame(frame, bound, bytes, 300000, &how);
        cr_assert(eq(int, (int)LZ4F_isError(size), 0));
        out.used = 0;
        cr_assert(eq(int,
                     kf__decompress(&codecs, KF_CODEC_LZ4, (kf_bytes){frame, size}, 300000, &out),
                     KF_OK));
        cr_assert(eq(sz, out.used, 300000));
        cr_assert(eq(int, memcmp(out.bytes, bytes, 300000), 0));
        frame[6 + (kind & 8)] ^= 1; /* the header's checksum */
        cr_assert(eq(int,
                     kf__decompress(&codecs, KF_CODEC_LZ4, (kf_bytes){frame, size}, 300000, &out),
                     KF_ERR_BAD_COMPRESSION));
    }
    free(frame);
    free(bytes);
}

/* The library checks what we write. */
Test(compress, writes_lz4_frames_that_the_library_reads)
{
    uint8_t *bytes = sample(200000, 9);
    uint8_t *back = malloc(200000);
    LZ4F_dctx *context;
    cr_assert(eq(sz, LZ4F_createDecompressionContext(&context, LZ4F_VERSION), 0));
    cr_assert(
        eq(int, kf__compress(&codecs, KF_CODEC_LZ4, 0, (kf_bytes){bytes, 200000}, &packed), KF_OK));
    size_t made = 0, taken = 0, result = 1;
    while (result && taken < packed.used) {
        size_t room = 200000 - made, left = packed.used - taken;
        result = LZ4F_decompress(context, back + made, &room, packed.bytes + taken, &left, NULL);
        cr_assert(eq(int, (int)LZ4F_isError(result), 0));
        made += room;
        taken += left;
    }
    cr_assert(eq(sz, result, 0));
    cr_assert(eq(sz, made, 200000));
    cr_assert(eq(int, memcmp(back, bytes, 200000), 0));
    LZ4F_freeDecompressionContext(context);
    free(back);
    free(bytes);
}
#endif

#ifdef KAFIBER_WITH_ZSTD
#include <zstd.h>

/* As Java's stream writes it: without the content's size, more than was foreseen. */
Test(compress, reads_zstd_frames_that_do_not_tell_their_size)
{
    enum {
        SIZE = 3000000
    };
    uint8_t *bytes = calloc(1, SIZE);
    size_t bound = ZSTD_compressBound(SIZE);
    uint8_t *frame = malloc(bound);
    ZSTD_CCtx *context = ZSTD_createCCtx();
    ZSTD_CCtx_setParameter(context, ZSTD_c_contentSizeFlag, 0);
    size_t size = ZSTD_compress2(context, frame, bound, bytes, SIZE);
    for (int again = 0; again < 2; again++) {
        out.used = 0;
        cr_assert(eq(int,
                     kf__decompress(&codecs, KF_CODEC_ZSTD, (kf_bytes){frame, size}, SIZE, &out),
                     KF_OK));
        cr_assert(eq(sz, out.used, SIZE));
        cr_assert(eq(int, memcmp(out.bytes, bytes, SIZE), 0));
        cr_assert(
            eq(int, kf__decompress(&codecs, KF_CODEC_ZSTD, (kf_bytes){frame, size}, SIZE - 1, &out),
               KF_ERR_BATCH_TOO_LARGE));
    }
    ZSTD_freeCCtx(context);
    free(frame);
    free(bytes);
}
#endif
