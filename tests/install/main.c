/* A program outside the tree: what is installed is enough to compile and link. */
#include <kafiber/error.h>
#include <string.h>

int main(void) { return strcmp(kf_err_text(KF_OK), "") == 0; }
