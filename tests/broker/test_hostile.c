/* Clients that mean harm, over memory: limits hold and others are served. */
#include "net/loop/world.h"
#include "tools/broker/state.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <netinet/in.h>
#include <stdlib.h>

static kf_broker *broker;
static const struct kf__world *world;

static void open_broker(int32_t max_connections)
{
    kf_broker_options options = {
        .size = sizeof options, .virtual_time = true, .max_connections = max_connections};
    broker = kf_broker_start(&options, NULL);
    world = kf_broker_world(broker);
}

static int dial(void)
{
    struct kf__address address = {.size = sizeof(struct sockaddr_in)};
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(9092)};
    int error = 0;
    memcpy(&address.storage, &to, sizeof to);
    return world->connect(world->context, &address, &error);
}

static ssize_t send_bytes(int fd, const void *bytes, size_t size)
{
    int error = 0;
    struct iovec part = {(void *)(uintptr_t)bytes, size};
    return world->send(world->context, fd, &part, 1, &error);
}

Test(broker_hostile, more_connections_than_allowed_are_refused_until_one_goes)
{
    int fds[4];
    open_broker(3);
    for (int i = 0; i < 4; i++)
        fds[i] = dial();
    cr_assert(ge(int, fds[2], 0));
    cr_assert(lt(int, fds[3], 0));
    cr_assert(eq(i32, kf_broker_connections(broker), 3));
    world->close(world->context, fds[0]);
    kf_broker_step(broker, 0);
    cr_assert(ge(int, dial(), 0));
    kf_broker_stop(broker);
}

/* Each announces 100 MiB and sends slowly: nobody gets room for what has not come. */
Test(broker_hostile, an_announced_size_takes_no_memory)
{
    open_broker(0);
    for (int i = 0; i < 100; i++) {
        int fd = dial();
        cr_assert(eq(i64, send_bytes(fd, "\6\x40\0\0....", 8), 8));
    }
    kf_broker_step(broker, 0);
    cr_assert(eq(i32, kf_broker_connections(broker), 100));
    cr_assert(le(sz, broker->server.in_bytes, 100 * 4096));
    kf_broker_stop(broker);
}

Test(broker_hostile, what_all_have_sent_is_capped)
{
    static uint8_t noise[1 << 20] = "\6\x3F\xFF\xFF";
    open_broker(0);
    for (int i = 0; i < 8; i++) {
        int fd = dial();
        for (int mib = 0; mib < 99; mib++) {
            if (send_bytes(fd, mib ? noise + 4 : noise, sizeof noise - 4) < 0)
                break;
            kf_broker_step(broker, 0);
            kf_broker_step(broker, 0);
        }
        cr_assert(le(sz, broker->server.in_bytes, KF__MAX_IN_BYTES));
    }
    cr_assert(lt(i32, kf_broker_connections(broker), 8));
    kf_broker_stop(broker);
}

/* Room for one large request goes back when it is done. */
Test(broker_hostile, an_idle_connection_holds_little)
{
    enum {
        SIZE = 8 << 20
    };
    open_broker(0);
    uint8_t *frame = calloc(1, SIZE + 4);
    const uint8_t head[] = {0, 0x80, 0, 0, 0, 18, 0, 0, 0, 0, 0, 1, 0xFF, 0xFF};
    memcpy(frame, head, sizeof head); /* ApiVersions v0 and millions of bytes behind it */
    int fd = dial();
    size_t sent = 0;
    while (sent < SIZE + 4) {
        ssize_t more = send_bytes(fd, frame + sent, SIZE + 4 - sent);
        sent += more > 0 ? (size_t)more : 0;
        kf_broker_step(broker, 0);
    }
    free(frame);
    cr_assert(eq(i64, kf_broker_requests(broker, KF_API_API_VERSIONS), 1));
    cr_assert(eq(i64, send_bytes(fd, "\0", 1), 1));
    kf_broker_step(broker, 0);
    cr_assert(le(sz, broker->server.in_bytes, 1 << 20));
    kf_broker_stop(broker);
}

/* Kafka's sasl.server.max.receive.size: a stranger has no use for 100 MiB. */
Test(broker_hostile, who_has_not_said_who_he_is_sends_little)
{
    kf_broker_options options = {.size = sizeof options, .virtual_time = true};
    options.sasl.required = true;
    broker = kf_broker_start(&options, NULL);
    world = kf_broker_world(broker);
    int fd = dial();
    cr_assert(eq(i64, send_bytes(fd, "\0\x08\0\0....", 8), 8)); /* 524,288: as much as he may */
    kf_broker_step(broker, 0);
    cr_assert(eq(i32, kf_broker_connections(broker), 1));
    fd = dial();
    cr_assert(eq(i64, send_bytes(fd, "\0\x08\0\x01....", 8), 8));
    kf_broker_step(broker, 0);
    cr_assert(eq(i32, kf_broker_connections(broker), 1));
    kf_broker_stop(broker);
}
