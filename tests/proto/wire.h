/*
 * wire: bytes as hex for the codec's tests. Golden bytes were written by
 * Kafka's own classes (kafka-clients 4.4.0).
 */
#ifndef TESTS_PROTO_WIRE_H
#define TESTS_PROTO_WIRE_H

#include <kafiber/codec.h>
#include <kafiber/messages.h>
#include <stdio.h>
#include <string.h>

/* Two hex digits a byte; returns the number of bytes. */
static inline size_t from_hex(const char *hex, uint8_t *bytes, size_t room)
{
    size_t size = 0;
    unsigned value;
    while (size < room && sscanf(hex + 2 * size, "%2x", &value) == 1)
        bytes[size++] = (uint8_t)value;
    return size;
}

static inline const char *to_hex(const kf_writer *writer, char *hex)
{
    hex[0] = '\0';
    for (size_t i = 0; i < writer->used; i++)
        sprintf(hex + 2 * i, "%02x", writer->bytes[i]);
    return hex;
}

static inline kf_string text(const char *chars) { return (kf_string){chars, strlen(chars)}; }

#endif
