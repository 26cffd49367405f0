#include "net/sasl/base64.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

TestSuite(base64);

/* RFC 4648, section 10. */
static const char *const vectors[][2] = {
    {"", ""},
    {"f", "Zg=="},
    {"fo", "Zm8="},
    {"foo", "Zm9v"},
    {"foob", "Zm9vYg=="},
    {"fooba", "Zm9vYmE="},
    {"foobar", "Zm9vYmFy"},
};

Test(base64, writes_and_reads_the_rfcs_vectors)
{
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        char text[16];
        uint8_t bytes[16];
        size_t size = kf__base64_write(vectors[i][0], strlen(vectors[i][0]), text);
        cr_assert(eq(sz, size, strlen(vectors[i][1])));
        cr_assert(eq(int, memcmp(text, vectors[i][1], size), 0));
        cr_assert(eq(int, (int)kf__base64_read(text, size, bytes), (int)strlen(vectors[i][0])));
        cr_assert(eq(int, memcmp(bytes, vectors[i][0], strlen(vectors[i][0])), 0));
    }
}

Test(base64, writes_for_urls_without_padding)
{
    char text[8];
    uint8_t bytes[8];
    cr_assert(eq(sz, kf__base64url_write("\xfb\xff\xfe\xff", 4, text), 6));
    cr_assert(eq(int, memcmp(text, "-__-_w", 6), 0));
    cr_assert(eq(int, (int)kf__base64url_read(text, 6, bytes), 4));
    cr_assert(eq(int, memcmp(bytes, "\xfb\xff\xfe\xff", 4), 0));
}

static int reads(const char *text)
{
    uint8_t bytes[32];
    return (int)kf__base64_read(text, strlen(text), bytes);
}

/* Lenient decoders accept several texts for the same bytes: a signature must have one. */
Test(base64, refuses_all_but_the_one_form)
{
    cr_assert(eq(int, reads("Zg"), -1));
    cr_assert(eq(int, reads("Zg="), -1));
    cr_assert(eq(int, reads("Zh=="), -1));
    cr_assert(eq(int, reads("Z==="), -1));
    cr_assert(eq(int, reads("===="), -1));
    cr_assert(eq(int, reads("Zm9v\n"), -1));
    cr_assert(eq(int, reads("Zm 9"), -1));
    cr_assert(eq(int, reads("Zm-_"), -1));
    cr_assert(eq(int, reads("Zg==Zg=="), -1));
}
