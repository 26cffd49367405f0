/* hint: guesses from first bytes. See hint.h. */
#include "net/conn/hint.h"

#include <stdbool.h>
#include <string.h>

enum {
    TLS_ALERT = 0x15,
    TLS_HANDSHAKE = 0x16,
    TLS_MAJOR = 0x03,
    SHOWN_BYTES = 12
};

static bool begins_with(const uint8_t *bytes, size_t size, const char *word)
{
    size_t length = strlen(word);
    return size >= length && memcmp(bytes, word, length) == 0;
}

static bool is_tls(const uint8_t *bytes, size_t size)
{
    return size >= 3 && (bytes[0] == TLS_ALERT || bytes[0] == TLS_HANDSHAKE) &&
           bytes[1] == TLS_MAJOR && bytes[2] <= 4;
}

static void show(const uint8_t *bytes, size_t size, char *hex)
{
    *hex = 0;
    for (size_t i = 0; i < size && i < SHOWN_BYTES; i++)
        sprintf(hex + 3 * i, "%02x ", bytes[i]);
}

kf_err kf__hint_of_bytes(const char *peer, const uint8_t *bytes, size_t size, char *text,
                         size_t text_size)
{
    if (is_tls(bytes, size)) {
        snprintf(text, text_size,
                 "%s answered with TLS: its port expects TLS, but this client speaks plaintext; "
                 "use the address of a PLAINTEXT listener, or set security.protocol to the "
                 "listener's",
                 peer);
        return KF_ERR_TLS_EXPECTED;
    }
    if (begins_with(bytes, size, "HTTP/")) {
        snprintf(text, text_size,
                 "%s answered as an HTTP server: this is not a Kafka broker's port; check host "
                 "and port in bootstrap.servers",
                 peer);
        return KF_ERR_NOT_KAFKA;
    }
    char hex[3 * SHOWN_BYTES + 1];
    show(bytes, size, hex);
    snprintf(text, text_size,
             "%s answered with bytes that are not Kafka's protocol (%.*s): check host and port in "
             "bootstrap.servers",
             peer, (int)(strlen(hex) ? strlen(hex) - 1 : 0), hex);
    return KF_ERR_NOT_KAFKA;
}
