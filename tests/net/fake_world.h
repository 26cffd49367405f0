/*
 * fake_world: a cluster of a few brokers inside the test, and its clock.
 *
 *   cluster under test ◀─socketpair─▶ fake brokers (served between turns)
 *
 * Time stands still unless fake_run moves it to whatever is due next, so a
 * test of minutes takes milliseconds and runs the same each time. Names
 * resolve to what the test says; an address is a number, its broker's place.
 */
#ifndef KF_TESTS_NET_FAKE_WORLD_H
#define KF_TESTS_NET_FAKE_WORLD_H

#include "net/cluster/cluster.h"
#include "proto/codec/frame.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <errno.h>
#include <fcntl.h>
#include <kafiber/messages.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    FAKE_BROKERS = 8,
    FAKE_TOPICS = 4,
    FAKE_PARTITIONS = 4,
    FAKE_SOCKETS = 256,
    FAKE_APIS = 128,
    FAKE_PORT = 9000, /* of broker 0; the next has one more */
};

struct fake_broker {
    int32_t id;
    bool up;
    bool listed;        /* metadata names it */
    bool mute;          /* never answers a Heartbeat or FindCoordinator */
    const char *greets; /* sent instead of any answer */
    const char *rack;
    int requests[FAKE_APIS];
    int connects;
};

struct fake_topic {
    const char *name; /* NULL: none */
    kf_uuid id;
    int16_t error;
    int count;
    struct {
        int32_t leader, epoch;
        int16_t error;
    } partitions[FAKE_PARTITIONS];
};

struct fake_socket {
    int fd; /* ours; -1: free */
    int theirs;
    int broker;
    size_t used;
    uint8_t bytes[4096];
};

static struct fake {
    kf_time now;
    uint64_t random;
    struct fake_broker brokers[FAKE_BROKERS];
    struct fake_topic topics[FAKE_TOPICS];
    struct fake_socket sockets[FAKE_SOCKETS];
    /* the name "many" resolves to these places; "b3" to 3 */
    int many[4];
    int many_count;
    const char *cluster_id;
    int32_t controller;
    int16_t metadata_error;
    int16_t max_version[FAKE_APIS]; /* -1: not offered */
    int16_t coordinator_errors[8];
    int coordinator_error_count;
    int32_t coordinator;
    int open;        /* the client's sockets */
    int last_topics; /* in the latest Metadata request; -1: all */
    int16_t last_version;
} fake;

/* ---- the world ---- */

static kf_time fake_now(void *context)
{
    (void)context;
    return fake.now;
}

static int64_t fake_wall(void *context)
{
    (void)context;
    return 1700000000000;
}

static uint64_t fake_random(void *context)
{
    (void)context;
    fake.random = fake.random * 6364136223846793005u + 1442695040888963407u;
    return fake.random >> 33;
}

static int fake_connect(void *context, const struct kf__address *address, int *error)
{
    (void)context;
    struct sockaddr_in in;
    memcpy(&in, &address->storage, sizeof in);
    int place = ntohs(in.sin_port) - FAKE_PORT;
    int ends[2];
    struct fake_socket *slot = fake.sockets;
    fake.brokers[place].connects++;
    if (!fake.brokers[place].up) {
        *error = ECONNREFUSED;
        return -1;
    }
    while (slot->fd >= 0)
        slot++;
    cr_assert(eq(int, socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0));
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    fcntl(ends[1], F_SETFL, O_NONBLOCK);
    slot->fd = ends[1];
    slot->theirs = ends[0];
    slot->broker = place;
    slot->used = 0;
    fake.open++;
    return ends[0];
}

static int fake_connect_result(void *context, int fd)
{
    (void)context;
    (void)fd;
    return 0;
}

static void fake_close(void *context, int fd)
{
    (void)context;
    fake.open--;
    close(fd);
}

static void fake_address(struct kf__address *address, int place)
{
    struct sockaddr_in in = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)(FAKE_PORT + place))};
    memcpy(&address->storage, &in, sizeof in);
    address->size = sizeof in;
}

static kf_err fake_resolve(void *context, const char *host, uint16_t port,
                           struct kf__address *addresses, size_t *count)
{
    (void)context;
    (void)port;
    if (strcmp(host, "many") == 0) {
        for (int i = 0; i < fake.many_count; i++)
            fake_address(&addresses[i], fake.many[i]);
        *count = (size_t)fake.many_count;
        return fake.many_count ? KF_OK : KF_ERR_NAME_NOT_RESOLVED;
    }
    if (host[0] != 'b')
        return KF_ERR_NAME_NOT_RESOLVED;
    fake_address(&addresses[0], host[1] - '0');
    *count = 1;
    return KF_OK;
}

/* ---- the brokers ---- */

static void fake_write(struct fake_socket *socket, const kf_schema *schema, int16_t version,
                       int32_t id, const void *message)
{
    kf_writer writer;
    kf_writer_init(&writer, &kf_default_allocator);
    kf_err err = kf__encode_response(&writer, schema, version, id, message);
    cr_assert(eq(int, err, KF_OK));
    cr_assert(eq(int, (int)write(socket->fd, writer.bytes, writer.used), (int)writer.used));
    kf_writer_free(&writer);
}

static void fake_versions(struct fake_socket *socket, int16_t version, int32_t id)
{
    struct kf_api_versions_response_api_version apis[FAKE_APIS];
    struct kf_api_versions_response response;
    memset(apis, 0, sizeof apis);
    kf_reset(&kf_schema_of_api_versions_response, &response);
    response.api_keys.items = apis;
    for (int16_t i = 0; i < FAKE_APIS; i++)
        if (fake.max_version[i] >= 0) {
            apis[response.api_keys.count].api_key = i;
            apis[response.api_keys.count++].max_version = fake.max_version[i];
        }
    if (version > fake.max_version[KF_API_API_VERSIONS]) {
        response.error_code = KF_ERR_UNSUPPORTED_VERSION;
        version = 0;
    }
    fake_write(socket, &kf_schema_of_api_versions_response, version, id, &response);
}

static void fake_metadata(struct fake_socket *socket, int16_t version, int32_t id,
                          const struct kf_metadata_request *request)
{
    struct kf_metadata_response_broker brokers[FAKE_BROKERS];
    struct kf_metadata_response_topic topics[FAKE_TOPICS];
    struct kf_metadata_response_partition partitions[FAKE_TOPICS][FAKE_PARTITIONS];
    static int32_t replicas[] = {1, 2};
    char hosts[FAKE_BROKERS][12];
    struct kf_metadata_response response;
    memset(brokers, 0, sizeof brokers);
    memset(topics, 0, sizeof topics);
    memset(partitions, 0, sizeof partitions);
    kf_reset(&kf_schema_of_metadata_response, &response);
    response.error_code = fake.metadata_error;
    response.controller_id = fake.controller;
    response.cluster_id = (kf_string){fake.cluster_id, strlen(fake.cluster_id)};
    response.brokers.items = brokers;
    for (int i = 0; i < FAKE_BROKERS; i++) {
        const struct fake_broker *broker = &fake.brokers[i];
        if (!broker->listed)
            continue;
        snprintf(hosts[i], sizeof hosts[i], "b%d", i);
        struct kf_metadata_response_broker *row = &brokers[response.brokers.count++];
        row->node_id = broker->id;
        row->host = (kf_string){hosts[i], 2};
        row->port = FAKE_PORT + i;
        if (broker->rack)
            row->rack = (kf_string){broker->rack, strlen(broker->rack)};
    }
    response.topics.items = topics;
    for (int i = 0; i < FAKE_TOPICS; i++) {
        const struct fake_topic *topic = &fake.topics[i];
        if (!topic->name)
            continue;
        struct kf_metadata_response_topic *row = &topics[response.topics.count++];
        row->error_code = topic->error;
        row->name = (kf_string){topic->name, strlen(topic->name)};
        row->topic_id = topic->id;
        row->topic_authorized_operations = INT32_MIN;
        row->partitions.items = partitions[i];
        row->partitions.count = topic->count;
        for (int j = 0; j < topic->count; j++) {
            struct kf_metadata_response_partition *partition = &partitions[i][j];
            partition->partition_index = j;
            partition->leader_id = topic->partitions[j].leader;
            partition->leader_epoch = topic->partitions[j].epoch;
            partition->error_code = topic->partitions[j].error;
            partition->replica_nodes.items = replicas;
            partition->replica_nodes.count = 2;
        }
    }
    fake.last_topics = request->topics.count;
    fake.last_version = version;
    fake_write(socket, &kf_schema_of_metadata_response, version, id, &response);
}

static void fake_coordinator(struct fake_socket *socket, int16_t version, int32_t id,
                             const struct kf_find_coordinator_request *request)
{
    struct kf_find_coordinator_response response;
    struct kf_find_coordinator_response_coordinator row;
    int16_t error = fake.coordinator_error_count > 0
                        ? fake.coordinator_errors[--fake.coordinator_error_count]
                        : 0;
    char host[12];
    snprintf(host, sizeof host, "b%d", (int)fake.coordinator);
    memset(&row, 0, sizeof row);
    kf_reset(&kf_schema_of_find_coordinator_response, &response);
    if (version >= 4) {
        row.key = request->coordinator_keys.items[0];
        row.node_id = fake.coordinator;
        row.host = (kf_string){host, 2};
        row.port = FAKE_PORT + fake.coordinator;
        row.error_code = error;
        response.coordinators.items = &row;
        response.coordinators.count = 1;
    } else {
        response.node_id = fake.coordinator;
        response.host = (kf_string){host, 2};
        response.port = FAKE_PORT + fake.coordinator;
        response.error_code = error;
    }
    fake_write(socket, &kf_schema_of_find_coordinator_response, version, id, &response);
}

static void fake_heartbeat(struct fake_socket *socket, int16_t version, int32_t id)
{
    struct kf_heartbeat_response response;
    kf_reset(&kf_schema_of_heartbeat_response, &response);
    fake_write(socket, &kf_schema_of_heartbeat_response, version, id, &response);
}

/* One whole request, without its size. */
static void fake_answer(struct fake_socket *socket, const uint8_t *bytes, size_t size)
{
    struct fake_broker *broker = &fake.brokers[socket->broker];
    struct kf_request_header header;
    size_t used = 0;
    cr_assert(eq(int, kf__decode_request_header(bytes, size, &header, &used), KF_OK));
    int16_t version = header.request_api_version;
    broker->requests[header.request_api_key]++;
    if (broker->mute && (header.request_api_key == KF_API_HEARTBEAT ||
                         header.request_api_key == KF_API_FIND_COORDINATOR))
        return;
    if (header.request_api_key == KF_API_API_VERSIONS) {
        fake_versions(socket, version, header.correlation_id);
        return;
    }
    cr_assert(le(int, version, fake.max_version[header.request_api_key]));
    union {
        struct kf_metadata_request metadata;
        struct kf_find_coordinator_request coordinator;
        struct kf_heartbeat_request heartbeat;
    } request;
    kf_arena arena;
    kf_arena_init(&arena, &kf_default_allocator, 0);
    kf_err err = kf_decode(kf_schema_request(header.request_api_key), version, bytes + used,
                           size - used, &arena, &request);
    cr_assert(eq(int, err, KF_OK));
    if (header.request_api_key == KF_API_METADATA)
        fake_metadata(socket, version, header.correlation_id, &request.metadata);
    else if (header.request_api_key == KF_API_FIND_COORDINATOR)
        fake_coordinator(socket, version, header.correlation_id, &request.coordinator);
    else
        fake_heartbeat(socket, version, header.correlation_id);
    kf_arena_free(&arena);
}

static void fake_hang_up(struct fake_socket *socket)
{
    close(socket->fd);
    socket->fd = -1;
}

static void fake_take_frames(struct fake_socket *socket)
{
    while (socket->used >= 4) {
        const uint8_t *at = socket->bytes;
        size_t size = (size_t)at[0] << 24 | (size_t)at[1] << 16 | (size_t)at[2] << 8 | at[3];
        if (socket->used < size + 4)
            return;
        fake_answer(socket, at + 4, size);
        memmove(socket->bytes, socket->bytes + 4 + size, socket->used - 4 - size);
        socket->used -= 4 + size;
    }
}

/* Whether anything happened. */
static bool fake_serve_one(struct fake_socket *socket)
{
    ssize_t got =
        read(socket->fd, socket->bytes + socket->used, sizeof socket->bytes - socket->used);
    if (got < 0)
        return false;
    const char *greets = fake.brokers[socket->broker].greets;
    if (got > 0 && greets)
        cr_assert(gt(int, (int)write(socket->fd, greets, strlen(greets)), 0));
    socket->used += (size_t)got;
    if (got == 0)
        fake_hang_up(socket);
    else if (!greets)
        fake_take_frames(socket);
    return true;
}

static bool fake_serve(void)
{
    bool busy = false;
    for (int i = 0; i < FAKE_SOCKETS; i++) {
        struct fake_socket *socket = &fake.sockets[i];
        if (socket->fd >= 0 && !fake.brokers[socket->broker].up) {
            fake_hang_up(socket);
            busy = true;
        } else if (socket->fd >= 0) {
            busy |= fake_serve_one(socket);
        }
    }
    return busy;
}

/* ---- the test's side ---- */

static const struct kf__world fake_world = {
    .now = fake_now,
    .wall_ms = fake_wall,
    .random = fake_random,
    .connect = fake_connect,
    .connect_result = fake_connect_result,
    .close = fake_close,
    .resolve = fake_resolve,
};

static struct kf__world fake_world_with_sockets(void)
{
    struct kf__world world = fake_world;
    world.receive = kf__real_world.receive;
    world.send = kf__real_world.send;
    return world;
}

/* Three brokers, 1 to 3 at the places of their ids, and one topic of two partitions. */
static void fake_begin(void)
{
    memset(&fake, 0, sizeof fake);
    fake.now = 1000 * KF_SECOND;
    fake.random = 42;
    fake.cluster_id = "C1";
    fake.controller = 2;
    fake.coordinator = 3;
    for (int i = 0; i < FAKE_SOCKETS; i++)
        fake.sockets[i].fd = -1;
    for (int i = 0; i < FAKE_BROKERS; i++)
        fake.brokers[i].id = i;
    for (int i = 1; i <= 3; i++)
        fake.brokers[i].up = fake.brokers[i].listed = true;
    for (int i = 0; i < FAKE_APIS; i++)
        fake.max_version[i] = -1;
    fake.max_version[KF_API_API_VERSIONS] = 4;
    fake.max_version[KF_API_METADATA] = 13;
    fake.max_version[KF_API_FIND_COORDINATOR] = 6;
    fake.max_version[KF_API_HEARTBEAT] = 4;
    fake.topics[0] = (struct fake_topic){
        .name = "orders", .id = {{1}}, .count = 2, .partitions = {{1, 5, 0}, {2, 7, 0}}};
}

static void fake_end(void)
{
    for (int i = 0; i < FAKE_SOCKETS; i++)
        if (fake.sockets[i].fd >= 0)
            fake_hang_up(&fake.sockets[i]);
    cr_expect(eq(int, fake.open, 0));
}

/* Lets everything happen that is due, then moves the clock on, for so long. */
static void fake_run(struct kf__loop *loop, kf_time duration)
{
    kf_time end = fake.now + duration;
    int quiet = 0; /* turns: what the last of one opened is ready in the next */
    for (int turns = 0; turns < 1000000; turns++) {
        cr_assert(eq(int, kf__loop_turn(loop, 0), KF_OK));
        bool busy = fake_serve() || kf__loop_deadline(loop) <= fake.now;
        quiet = busy ? 0 : quiet + 1;
        if (quiet < 3)
            continue;
        quiet = 0;
        kf_time next = kf__loop_deadline(loop);
        if (next > end) {
            fake.now = end;
            return;
        }
        fake.now = next;
    }
    cr_fatal("time does not move on");
}

#endif
