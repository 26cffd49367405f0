/*
 * member: the smallest whole group member, to be linked statically with musl
 * and without OpenSSL, zlib, lz4 and zstd. tools/test prints its size.
 */
#include <kafiber/kafiber.h>
#include <stdio.h>

static kf_verdict print(const kf_message *message, void *context)
{
    size_t written = fwrite(message->value.data, 1, message->value.size, context);
    return written == message->value.size ? KF_HANDLED : KF_FAILED;
}

int main(int argc, char **argv)
{
    kf_error error = KF_ERROR_INIT;
    kf_runtime *runtime = kf_runtime_open(argc > 1 ? argv[1] : "client.properties", &error);

    kf_runtime_handle(runtime, "orders", KF_AT_LEAST_ONCE, print, stdout);

    kf_runtime_run(runtime, &error);
    kf_runtime_close(runtime);
    return kf_error_print(&error, stderr);
}
