#include "net/conn/inbox.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

static struct kf__slab_pool *slabs;
static struct kf__inbox inbox;

static void make_inbox(void)
{
    slabs = kf__slab_pool_new(&kf_default_allocator, 1 << 20);
    kf__inbox_init(&inbox, slabs, 100000000);
}

static void free_inbox(void)
{
    kf__inbox_free(&inbox);
    kf__slab_pool_drop(slabs);
}

TestSuite(inbox, .init = make_inbox, .fini = free_inbox);

static size_t feed(const void *bytes, size_t size)
{
    uint8_t *room;
    size_t space;
    cr_assert(eq(int, kf__inbox_space(&inbox, &room, &space), KF_OK));
    size_t part = size < space ? size : space;
    memcpy(room, bytes, part);
    kf__inbox_received(&inbox, part);
    return part;
}

static struct kf__frame next(bool alone)
{
    struct kf__frame frame;
    cr_assert(eq(int, kf__inbox_next(&inbox, alone, &frame), KF_OK));
    return frame;
}

Test(inbox, hands_out_small_frames_of_one_read_from_one_slab)
{
    feed("\0\0\0\1a\0\0\0\2bc\0\0\0\3de", 17);
    struct kf__frame one = next(false), two = next(false), three = next(false);
    cr_assert(eq(int, one.bytes[0], 'a'));
    cr_assert(eq(sz, two.size, 2));
    cr_assert(eq(int, two.bytes[1], 'c'));
    cr_assert(eq(ptr, one.slab, two.slab));
    cr_assert(zero(ptr, three.slab));
    feed("f", 1);
    three = next(false);
    cr_assert(zero(int, memcmp(three.bytes, "def", 3)));
    kf__slab_release(one.slab);
    kf__slab_release(two.slab);
    kf__slab_release(three.slab);
}

Test(inbox, hands_out_an_empty_frame)
{
    feed("\0\0\0\0", 4);
    struct kf__frame frame = next(false);
    cr_assert(ne(ptr, frame.slab, NULL));
    cr_assert(eq(sz, frame.size, 0));
    kf__slab_release(frame.slab);
    cr_assert(zero(ptr, inbox.shared));
}

/* A peer that announces 100 MB and sends ten bytes must not cost 100 MB. */
Test(inbox, takes_memory_for_a_large_frame_only_as_its_bytes_come)
{
    feed("\x05\xf5\xe1\x00"
         "0123456789",
         14);
    cr_assert(zero(ptr, next(false).slab));
    cr_assert(eq(sz, inbox.large->capacity, KF__INBOX_FIRST_BYTES));
    static uint8_t bytes[1 << 20];
    for (size_t total = 10; total < KF__INBOX_FIRST_BYTES;)
        total += feed(bytes, sizeof bytes);
    feed(bytes, 1);
    cr_assert(eq(sz, inbox.large->capacity, 2 * KF__INBOX_FIRST_BYTES));
}

Test(inbox, copies_at_most_one_window_of_a_large_frame)
{
    static uint8_t bytes[200004];
    memcpy(bytes, "\x00\x03\x0d\x40", 4);
    for (size_t i = 4; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 31);
    size_t at = feed(bytes, sizeof bytes);
    cr_assert(eq(sz, at, KF__INBOX_WINDOW_BYTES));
    cr_assert(zero(ptr, next(false).slab));
    at += feed(bytes + at, sizeof bytes - at);
    cr_assert(eq(sz, at, sizeof bytes));
    struct kf__frame frame = next(false);
    cr_assert(eq(sz, frame.size, 200000));
    cr_assert(zero(int, memcmp(frame.bytes, bytes + 4, 200000)));
    cr_assert(eq(uint, atomic_load(&frame.slab->references), 1));
    kf__slab_release(frame.slab);
}

Test(inbox, a_small_frame_that_must_be_alone_gets_a_slab_of_its_own)
{
    feed("\0\0\0\1a\0\0\0\1b", 10);
    struct kf__frame one = next(true), two = next(true);
    cr_assert(ne(ptr, one.slab, two.slab));
    cr_assert(eq(int, one.bytes[0], 'a'));
    cr_assert(eq(int, two.bytes[0], 'b'));
    cr_assert(eq(sz, one.slab->capacity, 4096));
    kf__slab_release(one.slab);
    kf__slab_release(two.slab);
}

/* Frames of every size, in reads of every size, some of them retained for long. */
Test(inbox, loses_no_byte_whatever_the_sizes)
{
    enum {
        FRAMES = 3000
    };
    static struct kf__frame kept[FRAMES];
    static uint8_t stream[KF__INBOX_WINDOW_BYTES];
    static uint8_t frame_bytes[40004];
    unsigned seed = 3;
    size_t pending = 0, at = 0;
    int sent = 0, got = 0, held = 0;
    size_t sizes[FRAMES];
    while (got < FRAMES) {
        if (at == pending && sent < FRAMES) {
            seed = seed * 1103515245u + 12345u;
            size_t size = sent % 10 == 0 ? (seed >> 8) % 40000 : (seed >> 8) % 300;
            memset(frame_bytes + 4, sent & 0xff, size);
            frame_bytes[0] = frame_bytes[1] = 0;
            frame_bytes[2] = (uint8_t)(size >> 8);
            frame_bytes[3] = (uint8_t)size;
            sizes[sent++] = size;
            pending = size + 4;
            at = 0;
        }
        seed = seed * 1103515245u + 12345u;
        size_t part = (seed >> 8) % sizeof stream + 1;
        part = part < pending - at ? part : pending - at;
        at += feed(frame_bytes + at, part);
        for (struct kf__frame frame = next(got % 7 == 0); frame.slab; frame = next(got % 7 == 0)) {
            cr_assert(eq(sz, frame.size, sizes[got]));
            for (size_t i = 0; i < frame.size; i += 97)
                cr_assert(eq(int, frame.bytes[i], got & 0xff));
            got++;
            if (got % 5)
                kf__slab_release(frame.slab);
            else
                kept[held++] = frame;
        }
    }
    for (int i = 0; i < held; i++) {
        for (size_t j = 0; j < kept[i].size; j += 31)
            cr_assert(eq(int, kept[i].bytes[j], (i * 5 + 4) & 0xff));
        kf__slab_release(kept[i].slab);
    }
}

Test(inbox, refuses_sizes_that_are_negative_or_above_the_limit)
{
    struct kf__frame frame;
    feed("\xff\xff\xff\xff", 4);
    cr_assert(eq(int, kf__inbox_next(&inbox, false, &frame), KF_ERR_FRAME_NEGATIVE));
    kf__inbox_free(&inbox);
    feed("\x05\xf5\xe1\x01", 4);
    cr_assert(eq(int, kf__inbox_next(&inbox, false, &frame), KF_ERR_FRAME_TOO_LARGE));
    cr_assert(zero(ptr, inbox.large));
}
