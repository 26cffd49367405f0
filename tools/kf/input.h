/*
 * input: bytes of a file or a pipe as they come. Called by decode.c and
 * decode_text.c; knows nothing of what the bytes are.
 *
 *     │ passed │ at … end │ more to read │
 */
#ifndef KF_TOOLS_INPUT_H
#define KF_TOOLS_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct kf__input {
    const char *name; /* "-" for stdin */
    int fd;
    uint8_t *bytes; /* owned */
    size_t at;      /* those from here on are not yet used */
    size_t end;
    size_t room;
    bool ended; /* nothing comes behind `end` */
    int error;  /* errno of what ended it; 0: it ended by itself */
};

/* False where it can't be opened: errno. */
bool kf__input_open(struct kf__input *input, const char *name);
void kf__input_close(struct kf__input *input);

/* Waits for at least one byte more; false at the end. Bytes move: `at` is then 0. */
bool kf__input_more(struct kf__input *input);
/* Waits until there are `size` bytes from `at` on; false where it ends before. */
bool kf__input_wait(struct kf__input *input, size_t size);

#endif
