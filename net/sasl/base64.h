/*
 * base64: RFC 4648, both alphabets, read strictly: no space, no missing or
 * needless padding, no bits left over. Pure; sizes in bytes.
 */
#ifndef KF_NET_BASE64_H
#define KF_NET_BASE64_H

#include <kafiber/types.h>
#include <stdbool.h>
#include <sys/types.h>

/* Characters that `size` bytes become, padding included, without a NUL. */
static inline size_t kf__base64_size(size_t size) { return (size + 2) / 3 * 4; }

/* Writes at most kf__base64_size characters, returns how many; no NUL. */
size_t kf__base64_write(const void *bytes, size_t size, char *text);
/* The alphabet for URLs, without padding, as in JSON web tokens. */
size_t kf__base64url_write(const void *bytes, size_t size, char *text);

/* How many bytes it was, at most size / 4 * 3 + 2; -1: not of this form. In place is allowed. */
ssize_t kf__base64_read(const char *text, size_t size, uint8_t *bytes);
ssize_t kf__base64url_read(const char *text, size_t size, uint8_t *bytes);

#endif
