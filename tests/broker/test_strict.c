#include "broker/help_client.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static kf_broker *broker;
static struct client client;

/* What the broker says about each of them is looked at below. */
static void hush(void)
{
    int null = open("/dev/null", O_WRONLY);
    dup2(null, STDERR_FILENO);
    close(null);
}

static void open_broker(void)
{
    kf_error error = KF_ERROR_INIT;
    kf_broker_options options = {.size = sizeof options, .thread = true, .strict = true};
    broker = kf_broker_start(&options, &error);
    cr_assert(ne(ptr, broker, NULL), "%s", error.text);
    client_open(&client, kf_broker_bootstrap(broker), 1);
    hush();
}

static void close_broker(void)
{
    client_close(&client);
    kf_broker_stop(broker);
}

TestSuite(broker_strict, .init = open_broker, .fini = close_broker, .timeout = 60);

/* ApiVersions v3, correlation 7, client "a", software "kf" "1", as any encoder writes it. */

#define HEADER  "\0\x12\0\3\0\0\0\7\0\1a\0"
#define MESSAGE "\3kf\2\x31\0"

static void expect_refusal(const char *bytes, size_t size, const char *told)
{
    kf_error why = KF_ERROR_INIT;
    struct client other;
    client_open(&other, kf_broker_bootstrap(broker), 1);
    client_send_bytes(&other, bytes, size);
    cr_assert(not(client_receive(&other)));
    client_close(&other);
    cr_assert(lt(i64, 0, kf_broker_refusals(broker, &why)));
    cr_assert(eq(str, (char *)why.text, (char *)(uintptr_t)told));
}
#define EXPECT_REFUSAL(bytes, told) expect_refusal(bytes, sizeof(bytes) - 1, told)

Test(broker_strict, takes_what_is_canonical)
{
    static const char bytes[] = "\0\0\0\x12" HEADER MESSAGE;
    client_send_bytes(&client, bytes, sizeof bytes - 1);
    cr_assert(client_receive(&client));
    cr_assert(eq(i64, kf_broker_refusals(broker, NULL), 0));
}

Test(broker_strict, names_a_padded_length)
{
    EXPECT_REFUSAL("\0\0\0\x13" HEADER "\x83\0kf\2\x31\0",
                   "ApiVersions v3: clientSoftwareName at byte 16 is not canonical: 83 00 6b 66");
}

Test(broker_strict, names_a_tag_that_nobody_knows)
{
    EXPECT_REFUSAL("\0\0\0\x15"
                   "\0\x12\0\3\0\0\0\7\0\1a\1\x63\1x" MESSAGE,
                   "ApiVersions v3: _tags (tag 99) at byte 15 is not canonical: 01");
}

Test(broker_strict, names_bytes_behind_the_message)
{
    EXPECT_REFUSAL("\0\0\0\x14" HEADER MESSAGE "\0\0",
                   "ApiVersions v3: 2 bytes stand behind the message, from byte 22 on");
}

/* Fetch v12: cluster_id is tagged, and null unless it is sent. */
Test(broker_strict, names_a_tagged_field_at_its_default)
{
    EXPECT_REFUSAL(
        "\0\0\0\x2c"
        "\0\1\0\x0c\0\0\0\7\0\1a\0"
        "\xff\xff\xff\xff\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\xff\xff\xff\xff\1\1\1\1\0\1\0",
        "Fetch v12: _tags (clusterId) at byte 44 is not canonical: 01");
}
