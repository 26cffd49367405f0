#include "proto/bytes/cursor.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

TestSuite(cursor);

static struct kf__cursor over(const char *bytes, size_t size)
{
    return kf__cursor_over(bytes, size);
}

Test(cursor, reads_big_endian)
{
    struct kf__cursor in = over("\1\2\3\4\5\6\7\x80\xff", 9);
    cr_assert(eq(u64, kf__take_u64(&in), 0x0102030405060780));
    cr_assert(eq(i8, kf__take_i8(&in), -1));
    cr_assert(eq(int, in.err, KF_OK));
}

Test(cursor, keeps_its_first_error_and_reads_zeros_from_then_on)
{
    struct kf__cursor in = over("\1\2\3", 3);
    cr_assert(eq(i32, kf__take_i32(&in), 0));
    cr_assert(eq(u8, kf__take_u8(&in), 0));
    cr_assert(eq(int, in.err, KF_ERR_TRUNCATED));
    kf__fail(&in, KF_ERR_BAD_TAG);
    cr_assert(eq(int, in.err, KF_ERR_TRUNCATED));
}

Test(cursor, no_bytes_are_not_null)
{
    struct kf__cursor in = kf__cursor_over(NULL, 0);
    cr_assert(not(zero(ptr, (void *)(uintptr_t)kf__take(&in, 0))));
    cr_assert(eq(int, in.err, KF_OK));
}

Test(cursor, reads_varints_of_every_length)
{
    struct kf__cursor in = over("\0\x7f\x80\1\xff\xff\xff\xff\x0f", 9);
    cr_assert(eq(u32, kf__take_varuint32(&in), 0));
    cr_assert(eq(u32, kf__take_varuint32(&in), 127));
    cr_assert(eq(u32, kf__take_varuint32(&in), 128));
    cr_assert(eq(u32, kf__take_varuint32(&in), UINT32_MAX));
    cr_assert(eq(int, in.err, KF_OK));
}

Test(cursor, reads_zigzag)
{
    struct kf__cursor in = over("\0\1\2\xff\xff\xff\xff\x0f", 8);
    cr_assert(eq(i32, kf__take_varint32(&in), 0));
    cr_assert(eq(i32, kf__take_varint32(&in), -1));
    cr_assert(eq(i32, kf__take_varint32(&in), 1));
    cr_assert(eq(i32, kf__take_varint32(&in), INT32_MIN));
}

Test(cursor, reads_ten_bytes_for_64_bits_and_no_bit_more)
{
    struct kf__cursor in = over("\xff\xff\xff\xff\xff\xff\xff\xff\xff\1", 10);
    cr_assert(eq(i64, kf__take_varint64(&in), INT64_MIN));
    in = over("\xff\xff\xff\xff\xff\xff\xff\xff\xff\2", 10);
    kf__take_varint64(&in);
    cr_assert(eq(int, in.err, KF_ERR_VARINT));
}

Test(cursor, tells_a_varint_cut_short_from_one_too_long)
{
    struct kf__cursor in = over("\x80\x80", 2);
    kf__take_varuint32(&in);
    cr_assert(eq(int, in.err, KF_ERR_TRUNCATED));
}
