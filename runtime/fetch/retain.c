/* retain: messages that outlive their handler: pinned with their batch, or copied. */
#include "runtime/fetch/held.h"

#include <string.h>

void kf_message_retain(const kf_message *message, kf_message *kept)
{
    *kept = *message;
    if (!kept->batch)
        return;
    kf__held_retain(kept->batch);
    kept->topic = kept->batch->topic;
}

void kf_message_release(kf_message *kept)
{
    kf__held_release(kept->batch);
    *kept = (kf_message){0};
}

static kf_bytes copy_bytes(uint8_t **at, kf_bytes bytes)
{
    if (!bytes.data)
        return bytes;
    uint8_t *copy = *at;
    if (bytes.size)
        memcpy(copy, bytes.data, bytes.size);
    *at += bytes.size;
    return (kf_bytes){copy, bytes.size};
}

kf_message *kf_message_copy(const kf_message *message)
{
    size_t topic = strlen(message->topic) + 1;
    /* One spare byte, so that an empty value at the end has an address of its own. */
    size_t size = sizeof *message + topic + message->key.size + message->value.size +
                  message->headers.size + 1;
    kf_message *copy = kf_alloc(&kf_default_allocator, size);
    if (!copy)
        return NULL;
    uint8_t *at = (uint8_t *)(copy + 1);
    *copy = *message;
    copy->batch = NULL;
    copy->topic = memcpy(at, message->topic, topic);
    at += topic;
    copy->key = copy_bytes(&at, message->key);
    copy->value = copy_bytes(&at, message->value);
    copy->headers = copy_bytes(&at, message->headers);
    return copy;
}

void kf_message_free(kf_message *copy) { kf_free(&kf_default_allocator, copy); }
