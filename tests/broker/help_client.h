/*
 * help_client: a blocking client over the codec, just enough to ask the
 * broker one thing at a time.
 */
#ifndef KF_TESTS_HELP_CLIENT_H
#define KF_TESTS_HELP_CLIENT_H

#include <kafiber/broker.h>
#include <kafiber/codec.h>
#include <kafiber/messages.h>

struct client {
    int fd;
    uint8_t *answer;
    size_t answer_size; /* of the last frame, without its size */
    kf_arena arena;
};

/* At node `node` (from 1) of the bootstrap string. */
void client_open(struct client *client, const char *bootstrap, int node);
void client_close(struct client *client);

void client_send(struct client *client, int16_t api, int16_t version, const void *request);
void client_send_bytes(struct client *client, const void *bytes, size_t size);
/* The next frame into `answer`; false: the connection was closed before it was whole. */
bool client_receive(struct client *client);
/* Decodes the frame received last. */
kf_err client_decode(struct client *client, int16_t api, int16_t version, void *response);
/* All three; asserts that an answer came and decodes. */
void client_call(struct client *client, int16_t api, int16_t version, const void *request,
                 void *response);

/* What Metadata says of the topic. */
struct kf_metadata_response_topic client_ask_topic(struct client *client, const char *topic,
                                                   bool create);
/* One record without a key, acks=all; the partition's error code. */
int16_t client_produce(struct client *client, const char *topic, int32_t partition, kf_bytes value);

#endif
