#include "broker/help_client.h"

#include "proto/batch/batch.h"
#include "proto/codec/frame.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum {
    CORRELATION = 4711
};

void client_open(struct client *client, const char *bootstrap, int node)
{
    const char *at = bootstrap;
    for (int i = 1; i < node; i++)
        at = strchr(at, ',') + 1;
    struct sockaddr_in address = {.sin_family = AF_INET};
    address.sin_port = htons((uint16_t)strtoul(strchr(at, ':') + 1, NULL, 10));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    struct timeval patience = {.tv_sec = 10};
    *client = (struct client){.fd = socket(AF_INET, SOCK_STREAM, 0)};
    setsockopt(client->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    cr_assert(eq(int, connect(client->fd, (struct sockaddr *)&address, sizeof address), 0));
    kf_arena_init(&client->arena, &kf_default_allocator, 0);
}

void client_close(struct client *client)
{
    close(client->fd);
    free(client->answer);
    kf_arena_free(&client->arena);
}

void client_send_bytes(struct client *client, const void *bytes, size_t size)
{
    cr_assert(eq(i64, send(client->fd, bytes, size, MSG_NOSIGNAL), (int64_t)size));
}

void client_send(struct client *client, int16_t api, int16_t version, const void *request)
{
    kf_writer writer;
    kf_string name = {"test", 4};
    kf_writer_init(&writer, &kf_default_allocator);
    cr_assert(
        eq(int,
           kf__encode_request(&writer, kf_schema_request(api), version, CORRELATION, name, request),
           KF_OK));
    client_send_bytes(client, writer.bytes, writer.used);
    kf_writer_free(&writer);
}

static bool receive_all(int fd, uint8_t *into, size_t size)
{
    size_t got = 0;
    while (got < size) {
        ssize_t more = recv(fd, into + got, size - got, 0);
        if (more < 0 && errno == EINTR) /* stopped and continued, on a socket with a timeout */
            continue;
        if (more <= 0)
            return false;
        got += (size_t)more;
    }
    return true;
}

bool client_receive(struct client *client)
{
    uint8_t head[4];
    if (!receive_all(client->fd, head, sizeof head))
        return false;
    client->answer_size =
        (size_t)head[0] << 24 | (size_t)head[1] << 16 | (size_t)head[2] << 8 | head[3];
    free(client->answer);
    client->answer = malloc(client->answer_size + 1);
    return receive_all(client->fd, client->answer, client->answer_size);
}

kf_err client_decode(struct client *client, int16_t api, int16_t version, void *response)
{
    const kf_schema *schema = kf_schema_response(api);
    int32_t correlation = 0;
    size_t used = 0;
    kf_arena_reset(&client->arena);
    kf_err err = kf__decode_response_header(schema, version, client->answer, client->answer_size,
                                            &correlation, &used);
    if (err)
        return err;
    cr_assert(eq(i32, correlation, CORRELATION));
    return kf_decode(schema, version, client->answer + used, client->answer_size - used,
                     &client->arena, response);
}

void client_call(struct client *client, int16_t api, int16_t version, const void *request,
                 void *response)
{
    client_send(client, api, version, request);
    cr_assert(client_receive(client), "%s v%d: no answer", kf_schema_name(kf_schema_request(api)),
              version);
    kf_err err = client_decode(client, api, version, response);
    cr_assert(eq(int, err, KF_OK), "%s v%d: %s", kf_schema_name(kf_schema_response(api)), version,
              kf_err_name(err));
}

static kf_string text(const char *of) { return (kf_string){of, strlen(of)}; }

struct kf_metadata_response_topic client_ask_topic(struct client *client, const char *topic,
                                                   bool create)
{
    struct kf_metadata_request request;
    struct kf_metadata_response response;
    struct kf_metadata_request_topic asked = {.name = text(topic)};
    kf_reset(&kf_schema_of_metadata_request, &request);
    request.topics.items = &asked;
    request.topics.count = 1;
    request.allow_auto_topic_creation = create;
    client_call(client, KF_API_METADATA, 12, &request, &response);
    cr_assert(eq(i32, response.topics.count, 1));
    return response.topics.items[0];
}

int16_t client_produce(struct client *client, const char *topic, int32_t partition, kf_bytes value)
{
    struct kf_produce_request_partition_produce_data asked = {.index = partition};
    struct kf_produce_request_topic_produce_data data = {.name = text(topic)};
    struct kf_produce_request request;
    struct kf_produce_response response;
    struct kf__codecs codecs;
    struct kf__buffer batch;
    struct kf__batch_builder builder;
    struct kf__batch_options options = {
        .producer_id = -1, .producer_epoch = -1, .base_sequence = -1};
    kf__codecs_init(&codecs, &kf_default_allocator);
    kf__buffer_init(&batch, &kf_default_allocator);
    kf__batch_builder_init(&builder, &kf_default_allocator, 0);
    kf__batch_builder_add(&builder, 1, (kf_bytes){0}, value, NULL, 0);
    kf__batch_builder_finish(&builder, &options, &codecs, &batch);
    asked.records = (kf_bytes){batch.bytes, batch.used};
    data.partition_data.items = &asked;
    data.partition_data.count = 1;
    kf_reset(&kf_schema_of_produce_request, &request);
    request.acks = -1;
    request.topic_data.items = &data;
    request.topic_data.count = 1;
    client_call(client, KF_API_PRODUCE, 9, &request, &response);
    kf__batch_builder_free(&builder);
    kf__buffer_free(&batch);
    kf__codecs_free(&codecs);
    return response.responses.items[0].partition_responses.items[0].error_code;
}
