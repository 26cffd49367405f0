/* A program outside the tree: what is installed is enough to compile, link and run a member. */
#include <kafiber/kafiber.h>

static kf_verdict handle(const kf_message *message, void *context)
{
    (void)message;
    (void)context;
    return KF_HANDLED;
}

int main(void)
{
    kf_error error = KF_ERROR_INIT;
    kf_runtime *runtime = kf_runtime_open("no-such.properties", &error);
    kf_runtime_handle(runtime, "orders", KF_AT_LEAST_ONCE, handle, NULL);
    kf_runtime_run(runtime, &error);
    kf_runtime_close(runtime);
    return error.code == KF_OK; /* there is no such file, and that has to be said */
}
