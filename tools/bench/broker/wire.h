/*
 * wire: a blocking client of one connection that costs little itself, and
 * what a broker's process has used: the rows of bench_broker share both.
 * Whatever goes wrong ends the program: a figure of half a run is none.
 */
#ifndef BENCH_BROKER_WIRE_H
#define BENCH_BROKER_WIRE_H

#include <kafiber/codec.h>
#include <kafiber/messages.h>
#include <sys/types.h>

struct wire {
    int fd;
    uint8_t *input; /* the last answer, without its size */
    size_t capacity;
    size_t used;
    kf_writer output;
    kf_arena arena; /* of the last answer decoded */
};

/* Where the broker listens, and which process it is. */
struct target {
    const char *host; /* an IPv4 address */
    uint16_t port;
    pid_t pid;
};

_Noreturn void die(const char *what);
/* dies unless the code of an answer is 0 */
void must_be_good(int16_t error_code, const char *what);

void wire_open(struct wire *wire, const struct target *target);
void wire_close(struct wire *wire);
void wire_send(struct wire *wire, int16_t api, int16_t version, const void *request);
/* The next answer; it lasts until the one after it. */
void wire_receive(struct wire *wire, int16_t api, int16_t version, void *response);
void wire_call(struct wire *wire, int16_t api, int16_t version, const void *request,
               void *response);

/* CPU time of all its threads, user and system, in seconds; /proc counts in ticks, often 10 ms. */
double target_cpu_s(const struct target *target);
double target_memory_mb(const struct target *target); /* resident, 10^6 bytes */
double now_s(void);

kf_string string_of(const char *text);
/* One partition to be fetched from the offset on. */
struct kf_fetch_request_fetch_partition fetch_from(int32_t partition, int64_t offset);
/* One topic of replication factor 1. */
void create_topic(struct wire *wire, const char *name, int32_t partitions);
void delete_topic(struct wire *wire, const char *name);
/* `count` records of 1 KiB in one batch of magic 2; the bytes are the caller's to free. */
kf_bytes make_batch(int32_t count);

#endif
